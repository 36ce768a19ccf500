"""Speak the Open Inference Protocol over REST: a plain ASGI application, without a framework on the path."""

import asyncio
import logging
import socket
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import unquote_to_bytes

import uvicorn

from onecode_common.addresses import split_address
from onecode_common.errors import ConflictError, InvalidError, NotFoundError, OnecodeError, UnavailableError
from onecode_serving.data_plane import DEADLINE, DataPlane
from onecode_serving.faces.access import Access
from onecode_serving.faces.rest_body import inflated, request_from_body, too_large
from onecode_serving.faces.rest_reply import Reply, compressed, error_reply, infer_reply, json_reply, metadata_reply
from onecode_serving.faces.server_facts import EXTENSIONS, MAX_MESSAGE, SERVER_NAME, server_version

_log = logging.getLogger(__name__)
_BODY_S = 30.0
_INLINE_BYTES = 64 << 10
_DRAINED_BYTES = 64 << 20

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class RestApp:
    """The routes of the protocol over one data plane.

    Args:
        plane: Answers.
        access: Lets in.
        max_message: Bytes of a body, before and after decompression.
    """

    def __init__(self, plane: DataPlane, access: Access, max_message: int = MAX_MESSAGE) -> None:
        self._plane = plane
        self._access = access
        self._max_message = max_message
        self._version = server_version()

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one HTTP request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        try:
            reply = await self._answer(scope, headers, receive)
        except OnecodeError as error:
            reply = error_reply(error)
        except Exception:  # noqa: BLE001 - the outermost frame of a request: nothing of it may reach the peer.
            _log.exception("a request failed")
            reply = error_reply(OnecodeError("the server failed on this request: see its log"))
        if "accept-encoding" in headers:
            reply = compressed(reply, headers["accept-encoding"])
        await _send(send, reply, head_only=scope["method"] == "HEAD")

    async def _answer(self, scope: MutableMapping[str, Any], headers: dict[str, str], receive: Receive) -> Reply:
        path = _parts(scope.get("raw_path") or scope["path"].encode())
        method = "GET" if scope["method"] == "HEAD" else scope["method"]
        if path[:2] == ["v2", "health"] and path[2:] in (["live"], ["ready"]):
            return _allowed(method, "GET") or self._health(path[2])
        self._access.check(headers.get("authorization"))
        if path == ["v2"]:
            return _allowed(method, "GET") or self._server()
        model, version, rest = _model(path)
        if rest == ["infer"]:
            return _allowed(method, "POST") or await self._infer(model, version, headers, receive)
        return _allowed(method, "GET") or self._about(model, version, rest)

    def _health(self, what: str) -> Reply:
        good = what == "live" or self._plane.ready() is None
        return json_reply(200 if good else 400, {what: good})

    def _server(self) -> Reply:
        return json_reply(200, {"name": SERVER_NAME, "version": self._version, "extensions": EXTENSIONS})

    def _about(self, model: str, version: str, rest: list[str]) -> Reply:
        if rest == ["ready"]:
            good = self._plane.model_ready(model, version)
            return json_reply(200 if good else 400, {"name": model, "ready": good})
        return metadata_reply(*self._plane.metadata(model, version))

    async def _infer(self, model: str, version: str, headers: dict[str, str], receive: Receive) -> Reply:
        deadline = self._plane.deadline(_seconds(headers.get("x-onecode-timeout-ms")))
        body = await self._body(headers, receive)

        def run() -> Reply:
            plain = inflated(body, headers.get("content-encoding", "").strip().lower(), self._max_message)
            length = headers.get("inference-header-content-length")
            unit = headers.get("x-onecode-unit")
            text = unit.encode("latin-1").decode("utf-8", "replace") if unit is not None else None
            request, binary = request_from_body(model, version, plain, length, text, deadline)
            return infer_reply(self._plane.infer(request), binary)

        if len(body) <= _INLINE_BYTES:
            return run()
        return await asyncio.to_thread(run)

    async def _body(self, headers: dict[str, str], receive: Receive) -> bytes:
        if int(headers.get("content-length") or 0) > _DRAINED_BYTES:
            raise too_large(self._max_message)
        try:
            async with asyncio.timeout(_BODY_S):
                return await self._read(receive)
        except TimeoutError as error:
            text = f"the body did not arrive within {_BODY_S:.0f} s"
            raise UnavailableError(text, code=DEADLINE) from error

    async def _read(self, receive: Receive) -> bytes:
        pieces: list[bytes] = []
        size, more = 0, True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                text = "the caller went away"
                raise UnavailableError(text, code="body.cut")
            piece, more = message.get("body", b""), message.get("more_body", False)
            size += len(piece)
            if size <= self._max_message:
                pieces.append(piece)
            elif size > _DRAINED_BYTES:
                break
        if size > self._max_message:
            # Read to its end and thrown away: a caller that is still sending would not see the refusal.
            raise too_large(self._max_message)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


class RestFace:
    """The REST listener, as a part of a program, served by uvicorn in a thread of its own.

    Args:
        plane: Answers.
        access: Lets in.
        address: host:port; port 0 picks a free one, see :attr:`port`.
        reuse_port: Share the port with another process of the same user, for a switch without a gap.
        grace_s: How long :meth:`stop` lets requests in hand finish.
        max_message: Bytes of a body.
    """

    name = "rest"

    def __init__(
        self,
        plane: DataPlane,
        access: Access,
        address: str,
        *,
        reuse_port: bool = True,
        grace_s: float = 5.0,
        max_message: int = MAX_MESSAGE,
    ) -> None:
        self._host, self._port = split_address(address)
        self._reuse_port = reuse_port
        self._grace_s = grace_s
        config = uvicorn.Config(
            RestApp(plane, access, max_message),
            log_config=None,
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=max(1, round(grace_s)),
            timeout_keep_alive=75,
        )
        self._server = uvicorn.Server(config)
        self._socket: socket.socket | None = None
        self._thread = threading.Thread(target=self._run, name="oip-rest", daemon=True)

    @property
    def port(self) -> int:
        """The port it listens on; 0 before :meth:`start`."""
        return int(self._socket.getsockname()[1]) if self._socket is not None else 0

    def start(self) -> None:
        """Listen.

        Raises:
            ConflictError: The port is taken.
        """
        try:
            self._socket = socket.create_server((self._host, self._port), backlog=1024, reuse_port=self._reuse_port)
        except OSError as error:
            address = f"{self._host}:{self._port}"
            message = f"cannot listen on {address}: {error.strerror}; free the port or change the setting"
            raise ConflictError(message, code="port.taken", params={"address": address}) from error
        self._thread.start()

    def stop(self) -> None:
        """Take no new requests and finish those in hand."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=self._grace_s + 2)

    def ready(self) -> str | None:
        """Return why it does not answer, or None."""
        return None if self._server.started else "not listening"

    def _run(self) -> None:
        self._server.run(sockets=[self._socket] if self._socket else None)


async def _send(send: Send, reply: Reply, *, head_only: bool) -> None:
    headers = {"Content-Type": reply.media, "Content-Length": str(len(reply.body)), **reply.headers}
    raw = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    await send({"type": "http.response.start", "status": reply.status, "headers": raw})
    await send({"type": "http.response.body", "body": b"" if head_only else reply.body})


def _parts(raw_path: bytes) -> list[str]:
    path = raw_path.split(b"?", 1)[0]
    return [unquote_to_bytes(part).decode("utf-8", "replace") for part in path.removeprefix(b"/").split(b"/")]


def _model(path: list[str]) -> tuple[str, str, list[str]]:
    """Split ``v2/models/{model}[/versions/{version}][/ready|/infer]``."""
    if path[:2] == ["v2", "models"] and len(path) > 2 and path[2]:  # noqa: PLR2004 - the third part is the name
        version, rest = "", path[3:]
        if rest[:1] == ["versions"] and len(rest) > 1 and rest[1]:
            version, rest = rest[1], rest[2:]
        if rest in ([], ["ready"], ["infer"]):
            return path[2], version, rest
    message = f"there is no path {'/'.join(path)[:120]!r}: see /v2 and /v2/models/<name>"
    raise NotFoundError(message, code="http.404")


def _allowed(method: str, wanted: str) -> Reply | None:
    if method == wanted:
        return None
    document = {"error": f"method {method[:20]} is not allowed here: use {wanted}", "code": "http.405"}
    return json_reply(405, document, {"Allow": "GET, HEAD" if wanted == "GET" else wanted})


def _seconds(milliseconds: str | None) -> float | None:
    if milliseconds is None:
        return None
    if not (milliseconds.isascii() and milliseconds.isdigit() and 0 < len(milliseconds) <= 9):  # noqa: PLR2004
        message = f"X-OneCode-Timeout-Ms: expected a whole number of milliseconds, got {milliseconds[:40]!r}"
        raise InvalidError(message, code="timeout.invalid", params={"field": "x-onecode-timeout-ms"})
    return int(milliseconds) / 1000
