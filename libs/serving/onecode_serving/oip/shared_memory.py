"""Read inputs from and write outputs to POSIX shared memory that a caller on this machine has registered.

Objects are read and written by ``pread`` and ``pwrite`` and never mapped: a caller who shrinks a mapped object would
end this process with a bus error, and a copy is needed anyway, because the caller may change the bytes while they are
used.
"""

import os
import re
import stat
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from onecode_common.errors import ConflictError, ExhaustedError, InvalidError, NotFoundError, PreconditionError
from onecode_serving.domain.messages import InferenceReply, InferenceRequest, Output, RegionUse, Tensor, Wanted
from onecode_serving.domain.tensors import encode_raw

OBJECTS = Path("/dev/shm")  # noqa: S108 - the place of POSIX shared memory on Linux, not a temporary file of ours
MAX_REGIONS = 256
_MAX_NAME = 256
_LARGEST = 1 << 62
_PATTERN = r"[A-Za-z0-9_.-]{1,200}"


@dataclass(frozen=True, slots=True)
class Region:
    """A registered part of an object.

    Attributes:
        name: What requests call it.
        key: Of the POSIX object, as the caller wrote it.
        offset: Of its first byte in the object.
        byte_size: Its length.
        handle: The open object.
    """

    name: str
    key: str
    offset: int
    byte_size: int
    handle: int


class SharedMemory:
    """All registered regions; used by the loop's thread only.

    Args:
        on: Off, nothing can be registered, which is the default of the server.
        prefix: What the names of objects must begin with, so that nobody registers another program's.
        objects: Folder of the objects.
    """

    def __init__(self, *, on: bool, prefix: str = "", objects: Path = OBJECTS) -> None:
        self.on = on
        self._prefix = prefix
        self._keys = re.compile(f"/?({re.escape(prefix)}{_PATTERN})")
        self._objects = objects
        self._regions: dict[str, Region] = {}

    def register(self, name: str, key: str, offset: int, byte_size: int) -> None:
        """Make a part of an object that exists known under a name.

        Raises:
            PreconditionError: Shared memory is off here (code ``rpc.unimplemented``).
            ConflictError: The name is taken.
            InvalidError: Name, key or size is not possible, or the object is smaller.
            NotFoundError: No such object, or it cannot be opened.
            ExhaustedError: Too many regions.
        """
        self._require_on()
        if not name or len(name) > _MAX_NAME:
            message = f"region name of {len(name)} characters: expected 1..{_MAX_NAME}"
            raise InvalidError(message, code="shared_memory.name", params={"field": "name"})
        if name in self._regions:
            message = f"region {name[:80]!r} is registered already: unregister it first or choose another name"
            raise ConflictError(message, code="shared_memory.taken", params={"field": "name"})
        if len(self._regions) >= MAX_REGIONS:
            message = f"{MAX_REGIONS} regions are registered: unregister one first"
            raise ExhaustedError(message, code="shared_memory.regions")
        if byte_size < 1 or offset < 0:
            message = f"region {name[:80]!r}: offset {offset} and byte_size {byte_size} are no part of an object"
            raise InvalidError(message, code="shared_memory.size", params={"field": "byte_size"})
        self._regions[name] = Region(name, key, offset, byte_size, self._opened(key, offset + byte_size))

    def unregister(self, name: str) -> None:
        """Forget a region, or all if the name is empty; one that is not known is ignored.

        Raises:
            PreconditionError: Shared memory is off here (code ``rpc.unimplemented``).
        """
        self._require_on()
        for known in [name] if name else list(self._regions):
            region = self._regions.pop(known, None)
            if region is not None:
                os.close(region.handle)

    def status(self, name: str = "") -> list[Region]:
        """Return one region, or all if the name is empty.

        Raises:
            NotFoundError: No such region.
        """
        if not name or not self.on:
            return list(self._regions.values())
        return [self._region(name)]

    def filled(self, request: InferenceRequest) -> InferenceRequest:
        """Return the request with the bytes of its inputs in place of their regions.

        Raises:
            NotFoundError: No such region.
            InvalidError: A part lies outside of its region, also of a wanted output; or two outputs share bytes.
        """
        for wanted in request.wanted:
            if wanted.region is not None:
                self._part(f"output {wanted.name[:80]!r}", wanted.region)
        if all(tensor.region is None for tensor in request.inputs):
            return request
        return replace(request, inputs=tuple(self._filled(tensor) for tensor in request.inputs))

    def placed(self, reply: InferenceReply, wanted: Sequence[Wanted]) -> InferenceReply:
        """Return the answer after those of its outputs that belong there were put into shared memory.

        Raises:
            InvalidError: An output is larger than its room.
            NotFoundError: A region was unregistered meanwhile.
        """
        if all(item.region is None for item in wanted):
            return reply
        outputs = [
            output if item.region is None else self._placed(output, item.region)
            for output, item in zip(reply.outputs, wanted, strict=True)
        ]
        return replace(reply, outputs=tuple(outputs))

    def close(self) -> None:
        """Forget all regions."""
        for region in self._regions.values():
            os.close(region.handle)
        self._regions.clear()

    def _filled(self, tensor: Tensor) -> Tensor:
        if tensor.region is None:
            return tensor
        what = f"input {tensor.name[:80]!r}"
        region, start = self._part(what, tensor.region)
        content = os.pread(region.handle, tensor.region.byte_size, start)
        if len(content) != tensor.region.byte_size:
            raise _outside(what, tensor.region, region.byte_size)
        return replace(tensor, raw=content, region=None)

    def _placed(self, output: Output, use: RegionUse) -> Output:
        what = f"output {output.name!r}"
        region, start = self._part(what, use)
        content = encode_raw(output.array, output.datatype)
        if len(content) > use.byte_size:
            raise no_room(output.name, use, len(content))
        if os.pwrite(region.handle, content, start) != len(content):
            raise _outside(what, use, region.byte_size)
        return replace(output, region=replace(use, byte_size=len(content)))

    def _part(self, what: str, use: RegionUse) -> tuple[Region, int]:
        region = self._region(use.name)
        if use.offset + use.byte_size > region.byte_size:
            raise _outside(what, use, region.byte_size)
        return region, region.offset + use.offset

    def _region(self, name: str) -> Region:
        region = self._regions.get(name)
        if region is None:
            hint = "register it first" if self.on else "shared memory is off on this server"
            message = f"no region {name[:80]!r} is registered: {hint}"
            raise NotFoundError(message, code="shared_memory.unknown", params={"field": "name", "got": name[:80]})
        return region

    def _opened(self, key: str, end: int) -> int:
        found = self._keys.fullmatch(key)
        if found is None:
            message = f"key {key[:80]!r}: expected {self._prefix!r} and then letters, digits and _.- only"
            raise InvalidError(message, code="shared_memory.key", params={"field": "key", "got": key[:80]})
        try:
            handle = os.open(self._objects / found[1], os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            message = f"object {key[:80]!r} cannot be opened: {error.strerror}"
            raise NotFoundError(message, code="shared_memory.object", params={"field": "key"}) from error
        found_stat = os.fstat(handle)
        if stat.S_ISREG(found_stat.st_mode) and end <= min(found_stat.st_size, _LARGEST):
            return handle
        os.close(handle)
        message = f"object {key[:80]!r} has {found_stat.st_size} bytes: expected at least {end} for this region"
        raise InvalidError(message, code="shared_memory.size", params={"field": "byte_size", "expected": end})

    def _require_on(self) -> None:
        if not self.on:
            message = "shared memory is off on this server: ask its operator to allow it"
            raise PreconditionError(message, code="rpc.unimplemented")


def no_room(name: str, use: RegionUse, needed: int) -> InvalidError:
    """Return the refusal of an output that does not fit into its place."""
    message = f"output {name[:80]!r} has {needed} bytes: its part of region {use.name[:80]!r} has {use.byte_size}"
    params = {"field": name[:80], "expected": needed, "got": use.byte_size}
    return InvalidError(message, code="shared_memory.room", params=params)


def _outside(what: str, use: RegionUse, size: int) -> InvalidError:
    part = f"bytes {use.offset}..{use.offset + use.byte_size}"
    message = f"{what}: {part} lie outside of region {use.name[:80]!r}, which has {size}"
    return InvalidError(message, code="shared_memory.outside", params={"expected": size})
