"""Hand out signed metadata and files; a gateway gets what its own policy names, and learns of nothing else."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from onecode_common.errors import NotFoundError
from onecode_common.ids import hex_of
from onecode_registry.domain.version import READY
from onecode_registry.ports import Ports
from onecode_registry.rows import Unit

_VERSIONED = re.compile(r"([1-9][0-9]{0,9})\.(root|targets|models|fleet|snapshot)\.json")
_MANIFEST = re.compile(r"models/([a-z0-9._-]{1,63})/([1-9][0-9]{0,9})/([0-9a-f]{64})\.manifest\.json")
_POLICY = re.compile(r"fleet/([a-z0-9._-]{1,63})/([0-9a-f]{64})\.policy\.json")


@dataclass(frozen=True, slots=True)
class Reader:
    """Who fetches: a gateway of one segment, or a service of ours that may fetch all."""

    segment: str | None


class Distribution:
    """What gateways and the inference server may fetch."""

    def __init__(self, ports: Ports) -> None:
        self._records = ports.records
        self._objects = ports.objects

    def metadata(self, name: str) -> bytes:
        """Return a file of TUF metadata.

        Raises:
            NotFoundError: There is none (a client that looks for a newer root is told so).
        """
        found = _VERSIONED.fullmatch(name)
        with self._records.transaction() as unit:
            if found is not None:
                content = unit.trust.version(found.group(2), int(found.group(1)))
            else:
                content = unit.trust.current("timestamp") if name == "timestamp.json" else None
        return _existing(content, name)

    def target(self, path: str, reader: Reader) -> bytes:
        """Return a manifest or a policy by its signed path with its digest in the name.

        Raises:
            NotFoundError: There is none, or it is not for this reader.
        """
        content = None
        with self._records.transaction() as unit:
            manifest, policy = _MANIFEST.fullmatch(path), _POLICY.fullmatch(path)
            if manifest is not None:
                content = self._manifest(unit, manifest.group(1), int(manifest.group(2)), manifest.group(3), reader)
            elif policy is not None and reader.segment in (None, policy.group(1)):
                content = unit.trust.policy(f"fleet/{policy.group(1)}/policy.json", policy.group(2))
        return _existing(content, path)

    def size(self, hex_digest: str, reader: Reader) -> int:
        """Return the number of bytes of a file.

        Raises:
            NotFoundError: There is none, or it is not for this reader.
        """
        digits = hex_of(hex_digest)
        if reader.segment is not None:
            with self._records.transaction() as unit:
                allowed = unit.trust.may_fetch(reader.segment, digits)
            if not allowed:
                raise _missing(digits)
        return self._objects.size(digits)

    def read(self, hex_digest: str, start: int, length: int) -> Iterator[bytes]:
        """Yield a part of a file whose :meth:`size` the reader was told."""
        return self._objects.read(hex_of(hex_digest), start, length)

    def _manifest(self, unit: Unit, model: str, release: int, hex_digest: str, reader: Reader) -> bytes | None:
        version = unit.versions.by_digest(f"sha256:{hex_digest}")
        if version is None or (version.model, version.release, version.state) != (model, release, READY):
            return None
        if reader.segment is not None and not unit.trust.may_fetch(reader.segment, hex_digest):
            return None
        return version.manifest.encode()


def _existing(content: bytes | None, name: str) -> bytes:
    if content is None:
        raise _missing(name)
    return content


def _missing(name: str) -> NotFoundError:
    message = f"there is no {name[:120]!r} here"
    return NotFoundError(message, code="object.missing", params={"value": name[:120]})
