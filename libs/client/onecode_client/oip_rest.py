"""Ask over REST, with tensors as bytes behind a JSON head."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onecode_client.nouns import part
from onecode_client.oip_messages import Reply
from onecode_client.rest import Rest
from onecode_client.tensors import Spec, Tensor
from onecode_common.errors import InvalidError

_LENGTH = "Inference-Header-Content-Length"


class RestFace:
    """One server.

    Args:
        url: ``http://host:port`` or ``https://host:port``.
        token: Bearer token; empty sends none.
        authority_file: PEM certificates to trust instead of the system's.
    """

    def __init__(self, url: str, token: str, authority_file: Path | None) -> None:
        self._rest = Rest(url, token, authority_file=authority_file)

    def inputs(self, model: str, version: str, timeout_s: float) -> list[Spec]:
        """Return what a model takes. Raises as :meth:`infer`."""
        document = self._rest.send("GET", self._path(model, version), headers=_deadline(timeout_s)).json()
        return [Spec(one["name"], one["datatype"], tuple(one["shape"])) for one in document["inputs"]]

    def infer(
        self, model: str, version: str, tensors: Sequence[Tensor], outputs: Sequence[str], unit: str, timeout_s: float
    ) -> Reply:
        """Return what it answers.

        Raises:
            OnecodeError: What the server refused with; UnavailableError if it did not answer in time.
        """
        head = json.dumps(_document(tensors, outputs, unit), separators=(",", ":")).encode()
        headers = {**_deadline(timeout_s), _LENGTH: str(len(head)), "Content-Type": "application/octet-stream"}
        content = b"".join((head, *(tensor.raw for tensor in tensors)))
        path = f"{self._path(model, version)}/infer"
        answer = self._rest.send("POST", path, content=content, headers=headers, timeout=timeout_s)
        return read_reply(answer.content, answer.headers.get(_LENGTH))

    def close(self) -> None:
        """Close connections."""
        self._rest.close()

    def _path(self, model: str, version: str) -> str:
        path = f"{self._rest.server}/v2/models/{part(model)}"
        return f"{path}/versions/{part(version)}" if version else path


def read_reply(content: bytes, length: str | None) -> Reply:
    """Return the reply of a binary body: a JSON head of some length, then the tensors.

    Raises:
        InvalidError: It is something else.
    """
    try:
        size = int(length) if length else len(content)
        document = json.loads(content[:size])
        reply = Reply(str(document.get("model_name", "")), str(document.get("model_version", "")))
        reply.parameters = document.get("parameters", {})
        place = size
        for output in document["outputs"]:
            raw = content[place : place + output["parameters"]["binary_data_size"]]
            place += len(raw)
            reply.outputs.append(Tensor(output["name"], output["datatype"], tuple(output["shape"]), raw))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f"the server's answer has no binary outputs: {content[:200]!r}"
        raise InvalidError(message, code="client.answer") from error
    return reply


def _document(tensors: Sequence[Tensor], outputs: Sequence[str], unit: str) -> dict[str, Any]:
    binary = {"binary_data_output": True}
    document: dict[str, Any] = {
        "parameters": {**binary, "onecode_unit": unit} if unit else binary,
        "inputs": [
            {
                "name": tensor.name,
                "datatype": tensor.datatype,
                "shape": list(tensor.shape),
                "parameters": {"binary_data_size": len(tensor.raw)},
            }
            for tensor in tensors
        ],
    }
    if outputs:
        document["outputs"] = [{"name": name, "parameters": {"binary_data": True}} for name in outputs]
    return document


def _deadline(timeout_s: float) -> Mapping[str, str]:
    return {"X-OneCode-Timeout-Ms": str(max(1, int(timeout_s * 1000)))}
