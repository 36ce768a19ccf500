"""Speak HTTP over Unix sockets that only this user can open: the control socket, and the link to a serving process.

Nothing but the standard library, because the side that keeps the gateway in step must stay small.
"""

import http.client
import json
import logging
import os
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from socketserver import StreamRequestHandler, ThreadingUnixStreamServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from onecode_common.errors import OnecodeError, UnavailableError

_log = logging.getLogger(__name__)
_MAX_BODY = 4 << 20
_OK = 200

Answer = Callable[[dict[str, Any]], Mapping[str, object]]
"""Takes the JSON body (or the query) and returns the JSON answer."""


class UnixHttpServer:
    """A part of a program that answers on one Unix socket.

    Args:
        path: Of the socket; one that is left over is replaced. Its mode is 0600.
        routes: ``"GET /v1/status"`` → what answers.
    """

    def __init__(self, path: Path, routes: Mapping[str, Answer], name: str = "control") -> None:
        self.name = name
        self._path = path
        path.unlink(missing_ok=True)
        with _short(path) as address:
            self._server = _Server(address, _Handler)
        path.chmod(0o600)
        self._server.routes = routes
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name=name, daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and remove the socket."""
        self._server.shutdown()
        self._server.server_close()
        self._path.unlink(missing_ok=True)

    def ready(self) -> str | None:
        """Return None: it is ready when it listens."""
        return None


def ask(path: Path, line: str, body: Mapping[str, object] | None = None, *, timeout_s: float = 5.0) -> dict[str, Any]:
    """Return the answer to ``"POST /v1/sync"`` or the like.

    Raises:
        UnavailableError: Nobody listens, or not in time.
        OnecodeError: The other side refused; its code and message.
    """
    method, _, target = line.partition(" ")
    connection = _Connection(path, timeout_s)
    try:
        payload = json.dumps(body).encode() if body is not None else None
        connection.request(method, target, payload)
        response = connection.getresponse()
        document: dict[str, Any] = json.loads(response.read())
    except (OSError, http.client.HTTPException, ValueError) as error:
        message = f"{path.name} does not answer: {type(error).__name__}"
        raise UnavailableError(message, code="edge.not_running", params={"path": path}) from error
    finally:
        connection.close()
    if response.status != _OK:
        raise OnecodeError(str(document.get("detail", "")), code=str(document.get("code", "internal")))
    return document


class _Connection(http.client.HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._path = path
        self._limit = timeout_s

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self._limit)
        with _short(self._path) as address:
            self.sock.connect(address)


class _Server(ThreadingUnixStreamServer):
    daemon_threads = True
    routes: Mapping[str, Answer] = {}

    def verify_request(self, request: Any, client_address: Any) -> bool:
        """Let in this user and root only, whatever the mode of the socket became."""
        del client_address
        packed = request.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
        _, uid, _ = struct.unpack("3i", packed)
        return uid in (0, os.geteuid())

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log instead of writing a trace to stderr."""
        del request, client_address
        _log.debug("a caller on a Unix socket went away", exc_info=True)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def setup(self) -> None:
        StreamRequestHandler.setup(self)
        self.client_address = ("unix", 0)

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        _log.debug(format, *args)

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        server: Any = self.server
        route: Answer | None = server.routes.get(f"{self.command} {parts.path}")
        if route is None:
            self._send(404, {"code": "http.404", "detail": f"there is no {self.command} {parts.path[:80]}"})
            return
        try:
            document = self._body() or {name: values[-1] for name, values in parse_qs(parts.query).items()}
            self._send(_OK, route(document))
        except OnecodeError as error:
            self._send(409, {"code": error.code, "detail": error.message})
        except ValueError as error:
            self._send(400, {"code": "json.invalid", "detail": f"the body is not a JSON object: {error}"[:200]})
        except Exception:  # noqa: BLE001 - the outermost frame of a call: its caller gets an answer, the log the reason.
            _log.exception("a call on a Unix socket failed")
            self._send(500, {"code": "internal", "detail": "see the log"})

    def _body(self) -> dict[str, Any]:
        length = int(self.headers.get("Content-Length") or 0)
        if not 0 <= length <= _MAX_BODY:
            message = f"{length} bytes are too many"
            raise ValueError(message)
        document = json.loads(self.rfile.read(length)) if length else {}
        if not isinstance(document, dict):
            message = f"found a {type(document).__name__}"
            raise ValueError(message)  # noqa: TRY004 - one answer for every body that does not fit
        return document

    def _send(self, status: int, document: Mapping[str, object]) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@contextmanager
def _short(path: Path) -> Iterator[str]:
    """Yield an address for the socket that fits into the kernel's 107 bytes, however deep the folder lies."""
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)
