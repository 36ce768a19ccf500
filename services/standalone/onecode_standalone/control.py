"""Let commands reach the running supervisor: JSON lines over a socket that only its owner may open."""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from pathlib import Path

from onecode_common.errors import KINDS, InvalidError, OnecodeError, PreconditionError, UnavailableError

_log = logging.getLogger(__name__)
_LONGEST_LINE = 64 << 10
_IDLE_S = 30.0
_ANSWER_S = 60.0
_LONGEST_NAME = 100

Operation = Callable[[str], Mapping[str, object]]
"""Takes the name in the request (empty without one) and returns what to answer."""


class ControlServer:
    """Answers requests ``{"op": ..., "name": ...}`` with ``{"ok": true, ...}`` or ``{"ok": false, "error": ...}``.

    Args:
        path: Of the socket; an old one is replaced, since the caller holds the home's lock.
        operations: By ``op``.
    """

    def __init__(self, path: Path, operations: Mapping[str, Operation]) -> None:
        self._path = path
        self._operations = operations
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._thread = threading.Thread(target=self._accept, name="control", daemon=True)

    def start(self) -> None:
        """Listen."""
        self._path.unlink(missing_ok=True)
        before = os.umask(0o177)
        try:
            with _short(self._path) as name:
                self._socket.bind(name)
        finally:
            os.umask(before)
        self._socket.listen(16)
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), name="control-call", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        connection.settimeout(_IDLE_S)
        with closing(connection), connection.makefile("rwb") as stream, suppress(OSError):
            while line := stream.readline(_LONGEST_LINE):
                stream.write(json.dumps(self._answer(line)).encode() + b"\n")
                stream.flush()

    def _answer(self, line: bytes) -> Mapping[str, object]:
        try:
            operation, name = _parse(line)
            if operation not in self._operations:
                message = f"unknown operation {operation[:40]!r}: known are {', '.join(self._operations)}"
                raise InvalidError(message, code="control.operation")
            return {"ok": True, **self._operations[operation](name)}
        except OnecodeError as error:
            return {
                "ok": False,
                "error": {"kind": error.kind, "code": error.code, "message": error.message, "hint": error.hint},
            }


def _parse(line: bytes) -> tuple[str, str]:
    try:
        document = json.loads(line)
        return str(document["op"]), str(document.get("name", ""))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        message = f'{line[:60]!r} is not a request: send {{"op": "status"}}'
        raise InvalidError(message, code="control.request") from error


def ask(path: Path, operation: str, process: str = "") -> dict[str, object]:
    """Ask the supervisor of a home, and return its answer.

    Raises:
        PreconditionError: None runs on this home.
        UnavailableError: It does not answer.
        OnecodeError: What it answered instead.
    """
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            with _short(path) as name:
                connection.connect(name)
        except OSError as error:
            message = f"nothing runs on {path.parent}"
            hint = f"start it with: onecode up --home {path.parent}"
            raise PreconditionError(message, code="up.not_running", hint=hint) from error
        try:
            connection.sendall(json.dumps({"op": operation, "name": process}).encode() + b"\n")
            with connection.makefile("rb") as stream:
                answer = json.loads(stream.readline())
        except (OSError, ValueError) as error:
            message = f"the supervisor of {path.parent} does not answer"
            raise UnavailableError(message, code="up.silent") from error
    if not answer.pop("ok"):
        error_document = answer["error"]
        kind = KINDS.get(error_document["kind"], OnecodeError)
        raise kind(error_document["message"], code=error_document["code"], hint=error_document["hint"])
    return dict(answer)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield a name of the socket that fits into 107 bytes, however deep the home lies."""
    if len(os.fsencode(path)) <= _LONGEST_NAME:
        yield str(path)
        return
    handle = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{handle}/{path.name}"
    finally:
        os.close(handle)
