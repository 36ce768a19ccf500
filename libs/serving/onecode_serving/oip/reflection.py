"""Tell tools such as grpcurl what is spoken here."""

from typing import Any

from google.protobuf.descriptor import FileDescriptor

from onecode_common.errors import InvalidError, PreconditionError
from onecode_serving.oip.calls import READ, StreamCall
from onecode_serving.oip.service import OipService
from onecode_serving.oip.wire import POOL, health, parsed, pb, reflection, reflection_v1alpha

_NOT_FOUND, _INVALID = 5, 3
_ANONYMOUS = "anonymous"
_FILES: tuple[FileDescriptor, ...] = (
    pb.DESCRIPTOR, health.DESCRIPTOR, reflection.DESCRIPTOR, reflection_v1alpha.DESCRIPTOR,
)  # fmt: skip


class Reflection:
    """Answers each question of one stream; both versions of the protocol have the same bytes.

    Args:
        service: Says who may ask.
        call: Whose questions.

    Raises:
        PreconditionError: The caller showed no credential, and that is not allowed (code ``rpc.unimplemented``).
        DeniedError: The caller may not read.
    """

    def __init__(self, service: OipService, call: StreamCall) -> None:
        grant = call.grant
        if not service.options.open_reflection and (grant is None or grant.principal == _ANONYMOUS):
            message = "reflection is for callers with a credential: show one, or ask the operator to open it"
            raise PreconditionError(message, code="rpc.unimplemented")
        if grant is not None:
            grant.check(READ)
        self._call = call

    def message(self, body: bytes) -> None:
        """Answer one question."""
        try:
            question = parsed(reflection.ServerReflectionRequest, body)
        except InvalidError as error:
            self._call.finish(error)
            return
        reply = reflection.ServerReflectionResponse(valid_host=question.host, original_request=question)
        _answer(question, reply)
        self._call.send(reply.SerializeToString())

    def half_close(self) -> None:
        """End: everything is answered."""
        self._call.finish()

    def cancelled(self) -> None:
        """Nothing is in hand."""

    def resume(self) -> None:
        """Nothing waits here."""


def _answer(question: reflection.ServerReflectionRequest, reply: reflection.ServerReflectionResponse) -> None:
    kind = question.WhichOneof("message_request")
    if kind == "list_services":
        for file in _FILES:
            for one in file.services_by_name.values():
                reply.list_services_response.service.add(name=one.full_name)
    elif kind == "file_by_filename":
        _files(reply, question.file_by_filename, by_name=True)
    elif kind == "file_containing_symbol":
        _files(reply, question.file_containing_symbol, by_name=False)
    elif kind == "all_extension_numbers_of_type":
        _extensions(reply, question.all_extension_numbers_of_type)
    elif kind == "file_containing_extension":
        _refuse(reply, _NOT_FOUND, "there are no extensions here")
    else:
        _refuse(reply, _INVALID, "the question is empty: set one of its fields")


def _files(reply: reflection.ServerReflectionResponse, name: str, *, by_name: bool) -> None:
    try:
        file = _by_name(name) if by_name else _by_symbol(name)
    except KeyError:
        _refuse(reply, _NOT_FOUND, f"{name[:120]!r} is not known here")
        return
    reply.file_descriptor_response.file_descriptor_proto.extend(_with_dependencies(file, {}).values())


def _by_name(name: str) -> FileDescriptor:
    pool: Any = POOL
    file: FileDescriptor = pool.FindFileByName(name)
    return file


def _by_symbol(symbol: str) -> FileDescriptor:
    pool: Any = POOL
    try:
        file: FileDescriptor = pool.FindFileContainingSymbol(symbol)
    except KeyError:
        # The pool knows services by name and not their methods.
        service, _, method = symbol.rpartition(".")
        found = pool.FindServiceByName(service)
        file = found.methods_by_name[method].containing_service.file
    return file


def _with_dependencies(file: FileDescriptor, found: dict[str, bytes]) -> dict[str, bytes]:
    if file.name not in found:
        found[file.name] = file.serialized_pb
        for needed in file.dependencies:
            _with_dependencies(needed, found)
    return found


def _extensions(reply: reflection.ServerReflectionResponse, name: str) -> None:
    pool: Any = POOL
    try:
        pool.FindMessageTypeByName(name)
    except KeyError:
        _refuse(reply, _NOT_FOUND, f"{name[:120]!r} is not known here")
        return
    reply.all_extension_numbers_response.base_type_name = name


def _refuse(reply: reflection.ServerReflectionResponse, code: int, message: str) -> None:
    reply.error_response.error_code = code
    reply.error_response.error_message = message
