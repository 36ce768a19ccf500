"""What both faces say about the server."""

from importlib.metadata import version

SERVER_NAME = "onecode"
PLATFORM = "onnx_onnxv1"
EXTENSIONS = ("classification", "binary_tensor_data", "parameters")
"""Extensions of the protocol that work."""

MAX_MESSAGE = 4 << 20
"""Bytes of a request, in the message, in the body, and in the body after it was decompressed."""


def server_version() -> str:
    """Return the version of the installed distribution."""
    return version("onecode")
