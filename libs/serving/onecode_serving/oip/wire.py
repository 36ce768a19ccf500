"""Hold the protocol's messages in a descriptor pool of our own, so that a stock client can live in the same process.

The protobuf runtime knows each full name once in its common pool, and every client of the protocol brings the names of
package ``inference`` along. The generated modules register there when they are imported; so they are not imported:
their descriptors are taken from their compiled constants. Types come from their stubs.
"""

from importlib.abc import InspectLoader
from importlib.util import find_spec
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar

from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError, Message
from google.protobuf.message_factory import GetMessageClass

from onecode_common.errors import InvalidError

_PACKAGE = "onecode.oip.v2"
_M = TypeVar("_M", bound=Message)

POOL = DescriptorPool()
"""Everything that is spoken here, for reflection."""


def _descriptor(module: str) -> bytes:
    """Return the serialized file descriptor that a generated module holds: its longest constant of bytes."""
    name = f"{_PACKAGE}.{module}_pb2"
    spec = find_spec(name)
    code = spec.loader.get_code(name) if spec is not None and isinstance(spec.loader, InspectLoader) else None
    if code is None:
        message = f"the generated module {name} is not installed"
        raise ImportError(message)
    return max((item for item in code.co_consts if isinstance(item, bytes)), key=len)


def _messages(module: str) -> Any:
    pool: Any = POOL
    pool.AddSerializedFile(_descriptor(module))
    file = pool.FindFileByName(f"{_PACKAGE.replace('.', '/')}/{module}.proto")
    return SimpleNamespace(
        **{name: GetMessageClass(one) for name, one in file.message_types_by_name.items()},
        **{name: one for enum in file.enum_types_by_name.values() for name, one in enum.values_by_name.items()},
        DESCRIPTOR=file,
    )


if TYPE_CHECKING:
    from onecode.oip.v2 import health_pb2 as health
    from onecode.oip.v2 import model_config_pb2 as config
    from onecode.oip.v2 import open_inference_pb2 as pb
    from onecode.oip.v2 import reflection_pb2 as reflection
    from onecode.oip.v2 import reflection_v1alpha_pb2 as reflection_v1alpha
else:
    config = _messages("model_config")
    pb = _messages("open_inference")
    health = _messages("health")
    reflection = _messages("reflection")
    reflection_v1alpha = _messages("reflection_v1alpha")

__all__ = ["POOL", "config", "health", "parsed", "pb", "reflection", "reflection_v1alpha"]


def parsed(kind: type[_M], body: bytes) -> _M:
    """Return the message.

    Raises:
        InvalidError: The bytes are not one.
    """
    try:
        return kind.FromString(body)
    except DecodeError as error:
        text = f"the request cannot be parsed as {kind.DESCRIPTOR.full_name}"
        raise InvalidError(text, code="rpc.undecodable") from error
