"""Give every HTTP face the same manners: problem documents, strict JSON, bearer tokens, a thread of its own."""

import json
import logging
import socket
import threading
from collections.abc import Awaitable, Callable
from typing import Any

import uvicorn
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from onecode_common.addresses import split_address
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

_log = logging.getLogger(__name__)
_MAX_JSON = 1 << 20
_MAX_DEPTH = 32
_QUOTE = ord('"')
_BACKSLASH = ord("\\")
_MAX_INTEGER_DIGITS = 20

STATUS: dict[type[OnecodeError], int] = {
    OnecodeError: 500,
    InvalidError: 422,
    UnauthenticatedError: 401,
    DeniedError: 403,
    NotFoundError: 404,
    ConflictError: 409,
    PreconditionError: 409,
    ExhaustedError: 413,
    UnavailableError: 503,
}
"""HTTP status of each error type. A full disk (code ``disk.full``) is 507."""


def problem(status: int, code: str, detail: str, **more: object) -> Response:
    """Return an RFC 9457 problem document."""
    document = {"type": "about:blank", "status": status, "code": code, "detail": detail, **more}
    # ASCII, so that a lone surrogate in an echoed value cannot break the answer.
    body = json.dumps(document, ensure_ascii=True).encode()
    headers = {"Retry-After": "1"} if status in (429, 503, 507) else {}
    if status == 401:  # noqa: PLR2004 - named in the RFC
        headers["WWW-Authenticate"] = "Bearer"
    return Response(body, status, headers, media_type="application/problem+json")


def error_response(error: OnecodeError) -> Response:
    """Return the problem document of one of our errors."""
    status = 507 if error.code == "disk.full" else STATUS[type(error)]
    more: dict[str, object] = {"params": error.params} if error.params else {}
    if error.hint:
        more["hint"] = error.hint
    return problem(status, error.code, error.message, **more)


def install_errors(app: FastAPI) -> None:
    """Make an application answer every refusal with a problem document, and no failure with a trace."""

    async def ours(_request: Request, error: Exception) -> Response:
        return error_response(error) if isinstance(error, OnecodeError) else problem(500, "internal", "see the log")

    async def invalid(_request: Request, error: Exception) -> Response:
        first = error.errors()[0] if isinstance(error, RequestValidationError) else {"loc": (), "msg": str(error)}
        field = ".".join(str(part) for part in first["loc"])
        value = str(first.get("input", ""))[:80]
        return problem(422, "request.invalid", f"{field}: {first['msg']}", field=field, value=value)

    async def http(_request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = str(error.detail) if isinstance(error, HTTPException) else "see the log"
        answer = problem(status, f"http.{status}", detail)
        answer.headers.update((isinstance(error, HTTPException) and error.headers) or {})
        return answer

    app.add_exception_handler(OnecodeError, ours)
    app.add_exception_handler(RequestValidationError, invalid)
    app.add_exception_handler(HTTPException, http)
    app.add_exception_handler(Exception, ours)


def bearer(request: Request) -> str:
    """Return the bearer token of a request.

    Raises:
        UnauthenticatedError: There is none, or it stands in the query, where logs would keep it.
    """
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        message = "no bearer token: send Authorization: Bearer <token>"
        raise UnauthenticatedError(message, code="auth.missing")
    return token


async def strict_json(request: Request) -> Any:
    """Return the body as JSON, read strictly.

    Raises:
        InvalidError: Not JSON, or with duplicate keys, NaN, infinities, lone surrogates, huge integers, deep nesting.
        ExhaustedError: Larger than 1 MiB.
    """
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_JSON:
            message = f"the body is larger than {_MAX_JSON} bytes"
            raise ExhaustedError(message, code="body.too_large", params={"limit": _MAX_JSON})
    return parse_json(bytes(body))


def parse_json(body: bytes) -> Any:
    """Return the document. Raises as :func:`strict_json` does."""
    if _deepest(body) > _MAX_DEPTH:
        message = f"the JSON is nested deeper than {_MAX_DEPTH}"
        raise InvalidError(message, code="json.invalid")
    try:
        document = json.loads(
            body, object_pairs_hook=_no_twins, parse_constant=_no_constant, parse_int=_int, parse_float=_float
        )
        json.dumps(document, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        text = str(error).encode("ascii", "backslashreplace").decode()[:160]
        message = f"the body is not strict JSON: {text}"
        raise InvalidError(message, code="json.invalid") from error
    return document


def _deepest(body: bytes) -> int:
    depth = deepest = 0
    in_text = escaped = False
    for byte in body:
        if in_text:
            in_text = escaped or byte != _QUOTE
            escaped = not escaped and byte == _BACKSLASH
        elif byte == _QUOTE:
            in_text = True
        elif byte in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        elif byte in b"]}":
            depth -= 1
    return deepest


def _no_twins(pairs: list[tuple[str, object]]) -> dict[str, object]:
    document = dict(pairs)
    if len(document) != len(pairs):
        message = "a key occurs twice in one object"
        raise ValueError(message)
    return document


def _no_constant(text: str) -> object:
    message = f"{text} is not a JSON number"
    raise ValueError(message)


def _int(text: str) -> int:
    if len(text) > _MAX_INTEGER_DIGITS or not -(1 << 63) <= int(text) < (1 << 64):
        message = f"the integer {text[:24]} does not fit into 64 bits"
        raise ValueError(message)
    return int(text)


def _float(text: str) -> float:
    value = float(text)
    if value in (float("inf"), float("-inf")):
        message = f"the number {text[:24]} is too large"
        raise ValueError(message)
    return value


class HttpServer:
    """An ASGI application as a part of a program, served by uvicorn in a thread of its own."""

    name = "http"

    def __init__(self, app: FastAPI | Callable[..., Awaitable[None]], address: str) -> None:
        self._host, self._port = split_address(address)
        config = uvicorn.Config(
            app,
            host=self._host,
            port=self._port,
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            timeout_graceful_shutdown=3,
            h11_max_incomplete_event_size=32 << 10,
        )
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="http", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on; 0 before :meth:`start`."""
        return self._socket.getsockname()[1] if self._socket is not None else 0

    def start(self) -> None:
        """Listen.

        Raises:
            ConflictError: The port is taken.
        """
        self._socket = _listen(self._host, self._port)
        self._thread.start()

    def stop(self) -> None:
        """Finish the requests in hand, at most three seconds."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=5)

    def ready(self) -> str | None:
        """Return why it does not answer, or None."""
        return None if self._server.started else "not listening"

    def _run(self) -> None:
        self._server.run(sockets=[self._socket] if self._socket else None)


def _listen(host: str, port: int) -> socket.socket:
    try:
        return socket.create_server((host, port), backlog=512)
    except OSError as error:
        message = f"cannot listen on {host}:{port}: {error.strerror}; free the port or change the setting"
        raise ConflictError(message, code="port.taken", params={"address": f"{host}:{port}"}) from error
