"""Write answers and errors as REST bodies."""

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from onecode_common.errors import (
    ConflictError,
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    PreconditionError,
    UnauthenticatedError,
    UnavailableError,
)
from onecode_serving.data_plane import DEADLINE
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.datatypes import BYTES
from onecode_serving.domain.messages import InferenceReply, Output
from onecode_serving.domain.tensors import encode_raw
from onecode_serving.faces.server_facts import PLATFORM
from onecode_serving.version import ServedVersion

_STATUS: Mapping[str, int] = {
    OnecodeError.kind: 500,
    InvalidError.kind: 400,
    UnauthenticatedError.kind: 401,
    DeniedError.kind: 403,
    NotFoundError.kind: 404,
    ConflictError.kind: 400,
    PreconditionError.kind: 400,
    ExhaustedError.kind: 413,
    UnavailableError.kind: 503,
}
_JSON = "application/json"
_COMPRESS_FROM = 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes
    media: str = _JSON
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, document: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Reply:
    """Return a JSON answer."""
    return Reply(status, orjson.dumps(document), headers=headers or {})


def error_reply(error: OnecodeError) -> Reply:
    """Return what stock clients read, ``error``, and beside it what programs want: code and values."""
    status = _STATUS[error.kind]
    if error.code == DEADLINE:
        status = 504
    if error.code == "body.encoding":
        status = 415
    headers = {"WWW-Authenticate": "Bearer"} if error.kind == UnauthenticatedError.kind else {}
    if error.kind == UnavailableError.kind and status != 504:  # noqa: PLR2004 - HTTP's number
        headers["Retry-After"] = "1"
    document: dict[str, Any] = {"error": _ascii(error.message), "code": error.code}
    if error.params:
        document["params"] = {name: _ascii(value) for name, value in error.params.items()}
    return json_reply(status, document, headers)


def infer_reply(reply: InferenceReply, binary: Mapping[str, bool | None]) -> Reply:
    """Return the answer: outputs as JSON, or as bytes behind it where that was asked for.

    Raises:
        InvalidError: A text output is not UTF-8.
    """
    parts: list[bytes] = []
    outputs = [_output(output, binary, parts) for output in reply.outputs]
    parameters: dict[str, Any] = {"onecode_model_digest": reply.digest, "onecode_release": reply.release}
    if reply.arm:
        parameters["onecode_arm"] = reply.arm
    document: dict[str, Any] = {"model_name": reply.model, "model_version": reply.version}
    if reply.request_id:
        document["id"] = reply.request_id
    document |= {"parameters": parameters, "outputs": outputs}
    head = orjson.dumps(document)
    headers = {"X-OneCode-Model-Digest": reply.digest, "X-OneCode-Model-Version": reply.version}
    if not parts:
        return Reply(200, head, headers=headers)
    headers["Inference-Header-Content-Length"] = str(len(head))
    return Reply(200, b"".join([head, *parts]), "application/octet-stream", headers)


def metadata_reply(version: ServedVersion, versions: Sequence[str]) -> Reply:
    """Return the model metadata."""
    document = {
        "name": version.model,
        "versions": versions,
        "platform": PLATFORM,
        "inputs": [_described(spec) for spec in version.contract.inputs],
        "outputs": [_described(spec) for spec in version.contract.outputs],
        "properties": {"onecode_model_digest": version.digest, "onecode_release": version.version},
    }
    return json_reply(200, document)


def compressed(reply: Reply, accepted: str) -> Reply:
    """Return the answer in the first encoding that the caller accepts and that pays."""
    names = [part.split(";")[0].strip().lower() for part in accepted.split(",")]
    encoding = next((name for name in names if name in ("gzip", "deflate")), None)
    if encoding is None or len(reply.body) < _COMPRESS_FROM:
        return reply
    engine = zlib.compressobj(1, wbits=31 if encoding == "gzip" else 15)
    body = engine.compress(reply.body) + engine.flush()
    headers = {**reply.headers, "Content-Encoding": encoding, "Vary": "Accept-Encoding"}
    return Reply(reply.status, body, reply.media, headers)


def _output(output: Output, binary: Mapping[str, bool | None], parts: list[bytes]) -> dict[str, Any]:
    shape = list(output.array.shape)
    entry: dict[str, Any] = {"name": output.name, "datatype": output.datatype, "shape": shape}
    asked = binary.get(output.name)
    if asked if asked is not None else binary.get(""):
        raw = encode_raw(output.array, output.datatype)
        parts.append(raw)
        return {**entry, "parameters": {"binary_data_size": len(raw)}}
    if output.datatype == "FP16":
        message = f"output {output.name!r} is FP16, which JSON cannot carry: ask for binary_data"
        raise InvalidError(message, code="output.binary_only", params={"field": output.name})
    items = output.array.ravel().tolist()
    if output.datatype == BYTES:
        items = [_utf8(output.name, item) for item in items]
    return {**entry, "data": items}


def _utf8(name: str, item: str | bytes) -> str:
    try:
        return item.decode() if isinstance(item, bytes) else item.encode().decode()
    except UnicodeError as error:
        message = f"output {name!r} is not UTF-8 text: ask for binary_data"
        raise InvalidError(message, code="output.binary_only", params={"field": name}) from error


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _ascii(text: str) -> str:
    """Escape what is echoed, so that a lone surrogate in it cannot break the answer."""
    return text.encode("utf-8", "backslashreplace").decode()
