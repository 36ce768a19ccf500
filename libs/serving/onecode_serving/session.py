"""Open onnxruntime sessions in the one way that suits small models on shared cores."""

import ctypes
import logging
from dataclasses import replace
from functools import cache
from typing import Any

import onnxruntime as ort

from onecode_common.errors import InvalidError
from onecode_serving.domain.contract import Contract, TensorSpec
from onecode_serving.domain.datatypes import RUNTIME
from onecode_serving.runtime_errors import RUNTIME_ERRORS
from onecode_serving.session_bf16 import Bf16Session, has_bf16

_log = logging.getLogger(__name__)
_SMALL = 4 << 20
_NOWHERE = "/nonexistent"
_FATAL = 4
_AS_ASKED = 1
"""Let the arena grow by what is needed, not to the next power of two."""


def open_session(onnx: bytes) -> ort.InferenceSession:
    """Return a session with one thread that never spins; small models share one arena for what a run needs.

    Run it with :func:`returning` where a run needs much more than others do: the arena keeps what it once had.

    Raises:
        InvalidError: onnxruntime cannot load the bytes; its own words are in the message.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL
    if len(onnx) <= _SMALL:
        _share_arena()
        options.add_session_config_entry("session.use_env_allocators", "1")
        # Weights stay out of it, so that they leave the memory with their session.
        options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
    # A plan of one block for all of a run's tensors, kept for each number of rows, costs megabytes and buys nothing.
    options.enable_mem_pattern = False
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    # A model is its own bytes: weights beside it are never looked for.
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", _NOWHERE)
    try:
        session = ort.InferenceSession(onnx, options, providers=["CPUExecutionProvider"])
    except RUNTIME_ERRORS as error:
        message = f"the model cannot be loaded: {str(error)[:400]}"
        raise InvalidError(message, code="model.load") from error
    return Bf16Session(session) if has_bf16(session) else session


@cache
def _share_arena() -> None:
    """Make the arena of this process: an arena for each small model costs half a megabyte, none at all page faults."""
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    bounds = {
        "max_mem": 0,
        "arena_extend_strategy": _AS_ASKED,
        "initial_chunk_size_bytes": -1,
        "max_dead_bytes_per_chunk": -1,
    }
    ort.create_and_register_allocator(place, ort.OrtArenaCfg(bounds))


@cache
def returning() -> ort.RunOptions:
    """Return the options of a run after which the arena gives back all that nothing uses."""
    options = ort.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    return options


def trim_memory() -> None:
    """Give memory that sessions left behind back to the machine, where the C library can."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def contract_of(session: ort.InferenceSession) -> Contract:
    """Return what a session takes and gives.

    Raises:
        InvalidError: A tensor is of a type that the protocol cannot carry.
    """
    optional = [replace(_spec(node), optional=True) for node in session.get_overridable_initializers()]
    return Contract((*map(_spec, session.get_inputs()), *optional), tuple(map(_spec, session.get_outputs())))


def _spec(node: Any) -> TensorSpec:
    datatype = RUNTIME.get(node.type)
    if datatype is None:
        message = f"tensor {node.name!r} is a {node.type}: only plain tensors can be served"
        raise InvalidError(message, code="contract.datatype", params={"field": node.name, "got": node.type})
    shape = tuple(size if isinstance(size, int) else -1 for size in node.shape)
    return TensorSpec(node.name, datatype, shape)


def require_same(stated: Contract, found: Contract) -> None:
    """Refuse a model that does not take and give what its manifest states.

    Raises:
        InvalidError: With the first difference.
    """
    for kind, ours, theirs in (("input", stated.inputs, found.inputs), ("output", stated.outputs, found.outputs)):
        by_name = {spec.name: spec for spec in theirs}
        names = {spec.name for spec in ours}
        if names - set(by_name) or {spec.name for spec in theirs if not spec.optional} - names:
            expected, got = sorted(spec.name for spec in ours), sorted(by_name)
            raise _differs(kind, "names", expected, got)
        for spec in ours:
            other = by_name[spec.name]
            if spec.datatype != other.datatype and (spec.datatype, other.datatype) != ("BF16", "FP32"):
                raise _differs(f"{kind} {spec.name!r}", "datatype", spec.datatype, other.datatype)
            if not _fits(spec.shape, other.shape, output=kind == "output"):
                raise _differs(f"{kind} {spec.name!r}", "shape", list(spec.shape), list(other.shape))


def _fits(stated: tuple[int, ...], found: tuple[int, ...], *, output: bool) -> bool:
    """Return whether the graph can have the stated shape.

    An axis that the graph leaves open may be stated fixed. Graphs often do not know their outputs' shapes, or more
    of them than the manifest; there the check of each answer decides.
    """
    if output and not found:
        return True
    if len(stated) != len(found):
        return False
    return all(b in (-1, a) or (output and a == -1) for a, b in zip(stated, found, strict=True))


def _differs(what: str, part: str, expected: object, got: object) -> InvalidError:
    message = f"{what} of the model: its manifest states {part} {expected}, the graph has {got}"
    return InvalidError(message, code="contract.mismatch", params={"expected": expected, "got": got})
