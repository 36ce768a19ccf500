"""Write answers: the parts that repeat are made once, the numbers are put between them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson

from onecode_common.errors import InvalidError
from onecode_serving.domain.datatypes import BINARY_ONLY, BYTES
from onecode_serving.domain.messages import InferenceReply, Output
from onecode_serving.domain.tensors import encode_raw
from onecode_serving.rest.body import Form
from onecode_serving.rest.errors import REASONS

JSON = "application/json"
OCTETS = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer before it may be compressed: status, the body's media type, further fields, the body in parts."""

    status: int
    media: str
    parts: Sequence[bytes]
    fields: Mapping[str, str] = field(default_factory=dict)

    def head(self, size: int) -> bytes:
        """Return the status line and all fields, for a body of this many bytes."""
        extra = "".join(f"{name}: {value}\r\n" for name, value in self.fields.items())
        line = f"HTTP/1.1 {self.status} {REASONS[self.status]}\r\nContent-Type: {self.media}\r\n"
        return f"{line}{extra}Content-Length: {size}\r\n".encode("latin-1")


@dataclass(frozen=True, slots=True)
class Provenance:
    """Which version answers, as every answer says it.

    Attributes:
        arm: ``stable`` or ``candidate``; empty if the caller named the version.
    """

    model: str
    version: str
    digest: str
    release: int
    arm: str

    def fields(self) -> dict[str, str]:
        """Return the fields of the head."""
        return {"X-OneCode-Model-Digest": self.digest, "X-OneCode-Model-Version": self.version}


def json_reply(status: int, document: Any) -> Reply:
    """Return a JSON answer."""
    return Reply(status, JSON, (orjson.dumps(document),))


def infer_reply(reply: InferenceReply, form: Form) -> Reply:
    """Return the answer to an inference: outputs as JSON, or as bytes behind it where that was asked for.

    Raises:
        InvalidError: An output cannot be JSON: FP16, BF16, NaN or infinity, bytes that are not UTF-8.
    """
    entries: list[bytes] = []
    raws: list[bytes] = []
    for output in reply.outputs:
        if output.region is None and form.binary(output.name):
            raw = encode_raw(output.array, output.datatype)
            raws.append(raw)
            entries.append(binary_entry(output.name, output.datatype, output.array.shape, len(raw)))
        elif output.region is not None:
            entries.append(_region_entry(output))
        else:
            start = data_entry(output.name, output.datatype, output.array.shape)
            entries.append(b"%b%b}" % (start, data_text(output.name, output.datatype, output.array)))
    source = Provenance(reply.model, reply.version, reply.digest, reply.release, reply.arm)
    start, rest = document_start(source)
    head = b"%b%b%b%b]}" % (start, id_member(json_text(reply.request_id)), rest, b",".join(entries))
    return framed(source, head, raws)


def framed(source: Provenance, head: bytes, raws: Sequence[bytes]) -> Reply:
    """Return the answer of a JSON head and the bytes of the binary outputs, if there are any."""
    fields = source.fields()
    if not raws:
        return Reply(200, JSON, (head,), fields)
    return Reply(200, OCTETS, (head, *raws), {**fields, "Inference-Header-Content-Length": str(len(head))})


def document_start(source: Provenance) -> tuple[bytes, bytes]:
    """Return the JSON of an answer up to its first output: before and after :func:`id_member`."""
    model = orjson.dumps({"model_name": source.model, "model_version": source.version})
    parameters: dict[str, Any] = {"onecode_model_digest": source.digest, "onecode_release": source.release}
    if source.arm:
        parameters["onecode_arm"] = source.arm
    return model[:-1] + b",", b'"parameters":%b,"outputs":[' % orjson.dumps(parameters)


def id_member(text: bytes) -> bytes:
    """Return the id of an answer, of its text as JSON writes it; nothing for an empty one."""
    return b'"id":"%b",' % text if text else b""


def json_text(text: str) -> bytes:
    """Return a text as JSON writes it, without quotation marks."""
    return orjson.dumps(text)[1:-1]


def binary_entry(name: str, datatype: str, shape: Sequence[int], size: int) -> bytes:
    """Return what the JSON says of an output whose bytes come behind it."""
    entry = _entry(name, datatype, shape)
    return orjson.dumps({**entry, "parameters": {"binary_data_size": size}})


def data_entry(name: str, datatype: str, shape: Sequence[int]) -> bytes:
    """Return what the JSON says of an output up to its data; a closing brace has to follow the data.

    Raises:
        InvalidError: The datatype has no JSON form.
    """
    if datatype in BINARY_ONLY:
        message = f"output {name!r} is {datatype}, which JSON cannot carry: ask for binary_data"
        raise InvalidError(message, code="output.binary_only", params={"field": name})
    return orjson.dumps(_entry(name, datatype, shape))[:-1] + b',"data":'


def data_text(name: str, datatype: str, array: npt.NDArray[Any]) -> bytes:
    """Return an output's values as a flat JSON list; floats in the fewest digits that give back the same bits.

    Raises:
        InvalidError: A float is NaN or infinite, or a text is not UTF-8: JSON has neither.
    """
    if datatype == BYTES:
        return orjson.dumps([_utf8(name, item) for item in array.ravel().tolist()])
    text = orjson.dumps(np.ascontiguousarray(array).reshape(-1), option=orjson.OPT_SERIALIZE_NUMPY)
    # NaN and infinities are written as null, and nothing else in a list of numbers has an n.
    if b"n" in text:
        message = f"output {name!r} holds NaN or infinity, which JSON cannot carry: ask for binary_data"
        raise InvalidError(message, code="output.binary_only", params={"field": name})
    return text


def _entry(name: str, datatype: str, shape: Sequence[int]) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def _region_entry(output: Output) -> bytes:
    region = output.region
    assert region is not None  # noqa: S101 - the caller asked
    size = len(encode_raw(output.array, BYTES)) if output.datatype == BYTES else region.byte_size
    parameters: dict[str, Any] = {"shared_memory_region": region.name, "shared_memory_byte_size": size}
    if region.offset:
        parameters["shared_memory_offset"] = region.offset
    return orjson.dumps({**_entry(output.name, output.datatype, output.array.shape), "parameters": parameters})


def _utf8(name: str, item: str | bytes) -> str:
    try:
        return item.decode() if isinstance(item, bytes) else item.encode().decode()
    except UnicodeError as error:
        message = f"output {name!r} is not UTF-8 text: ask for binary_data"
        raise InvalidError(message, code="output.binary_only", params={"field": name}) from error
