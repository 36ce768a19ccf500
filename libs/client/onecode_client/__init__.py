"""The Python client of OneCode: ``OneCode.from_env()`` and one attribute for each noun; ``Predictor`` for one server.

Importing it costs nothing: the HTTP library is loaded when the first client is made.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onecode_client.client import OneCode
    from onecode_client.predictor import Predictor

__all__ = ["OneCode", "Predictor"]


def __getattr__(name: str) -> Any:
    if name == "OneCode":
        from onecode_client.client import OneCode  # noqa: PLC0415

        return OneCode
    if name == "Predictor":
        from onecode_client.predictor import Predictor  # noqa: PLC0415

        return Predictor
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
