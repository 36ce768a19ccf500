"""Name what onnxruntime raises: its errors share no public root, so each adapter would have to catch everything."""

from onnxruntime.capi import onnxruntime_pybind11_state as _state

_OWN = tuple(kind for kind in vars(_state).values() if isinstance(kind, type) and issubclass(kind, Exception))

RUNTIME_ERRORS: tuple[type[Exception], ...] = (
    *_OWN, RuntimeError, ValueError, TypeError, ArithmeticError, LookupError, MemoryError, OSError,
)  # fmt: skip
"""Its own, and those that a C++ exception becomes on its way to Python."""
