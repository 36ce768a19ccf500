"""Have a model file looked into by a child with limits; whatever happens to the child is a typed refusal."""

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from typing import Any

from onecode_common.errors import InvalidError
from onecode_registry.domain.contract import Graph, Tensor
from onecode_registry.domain.formats import require_onnx_head

MAX_MODEL_BYTES = 256 << 20
"""Largest model file."""

_MODULE = "onecode_registry.adapters.inspect_child"
_HEAD = 16
_MEMORY = 1 << 30
_CPU_S = 5
_WALL_S = 6.0
_AT_ONCE = 2
_HINTS = {
    "model.not_onnx": "send the .onnx file that the converter wrote",
    "model.external_data": "onnx.save(model, path, save_as_external_data=False)",
    "model.unsupported": "convert it with opset 18 (ai.onnx.ml 3) and IR 10",
}


class ChildInspector:
    """See :class:`onecode_registry.ports.Inspector`."""

    def __init__(self) -> None:
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def inspect(self, content: bytes, *, foreign: bool) -> Graph:
        """Return what the graph states."""
        require_onnx_head(content[:_HEAD])
        if len(content) > MAX_MODEL_BYTES:
            message = f"the model has {len(content)} bytes: at most {MAX_MODEL_BYTES} are accepted"
            raise InvalidError(message, code="model.over_budget", params={"limit": MAX_MODEL_BYTES})
        with self._slots:
            answer = _ask(content, foreign=foreign)
        refused = answer.get("refused")
        if refused is not None:
            code = refused["code"]
            params = {"found": refused["found"]}
            raise InvalidError(refused["text"], code=code, hint=_HINTS.get(code, ""), params=params)
        graph = answer["graph"]
        return Graph(
            inputs=tensors(graph["inputs"]),
            outputs=tensors(graph["outputs"]),
            ir_version=graph["ir_version"],
            opset=graph["opset"],
            opset_ml=graph["opset_ml"],
        )


def tensors(entries: list[Mapping[str, Any]]) -> tuple[Tensor, ...]:
    """Return what a child tells of inputs or outputs."""
    return tuple(Tensor(entry["name"], entry["datatype"], tuple(entry["shape"])) for entry in entries)


def _ask(content: bytes, *, foreign: bool) -> dict[str, Any]:
    header = {"length": len(content), "memory": _MEMORY + 4 * len(content), "cpu": _CPU_S, "foreign": foreign}
    child = subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-I", "-B", "-m", _MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd="/",
        env={},
    )
    try:
        output, complaint = child.communicate(json.dumps(header).encode() + b"\n" + content, timeout=_WALL_S)
    except subprocess.TimeoutExpired as error:
        message = f"looking into the model took longer than {_WALL_S:.0f} s"
        raise InvalidError(message, code="model.over_budget") from error
    finally:
        child.kill()
        child.wait()
    if child.returncode == 0:
        answer: dict[str, Any] = json.loads(output)
        return answer
    if child.returncode == -signal.SIGXCPU or b"MemoryError" in complaint or b"bad_alloc" in complaint:
        message = f"looking into the model needs more than {_CPU_S} s or {_MEMORY >> 20} MiB"
        raise InvalidError(message, code="model.over_budget")
    message = f"looking into the model ended the process that did it (status {child.returncode})"
    raise InvalidError(message, code="model.crashed", params={"status": child.returncode})
