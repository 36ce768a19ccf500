"""Answer the three questions of an operator's tools: alive, ready, how much.

The ops port is the one listener without a credential: it is bound to loopback or the pod network and says
nothing about ids or contents.
"""

import json
import logging
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import REGISTRY, CollectorRegistry, make_wsgi_app

from onecode_common.addresses import split_address

StartResponse = Callable[[str, list[tuple[str, str]]], object]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Quiet(WSGIRequestHandler):
    timeout = 10

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it so
        logging.getLogger(__name__).debug(format, *args)


class OpsServer:
    """Serves ``/healthz``, ``/readyz`` and ``/metrics``.

    Args:
        address: host:port; port 0 picks a free one.
        ready: Returns why the process is not ready, or None.
        alive: Returns whether its loop turns; never asks what it depends on, or all restart when one is away.
        metrics: What ``/metrics`` shows.
    """

    name = "ops"

    def __init__(
        self,
        address: str,
        ready: Callable[[], str | None],
        alive: Callable[[], bool] = lambda: True,
        metrics: CollectorRegistry = REGISTRY,
    ) -> None:
        host, port = split_address(address)
        self._ready = ready
        self._alive = alive
        self._metrics = make_wsgi_app(metrics)
        self._server = make_server(host, port, self._answer, server_class=_Server, handler_class=_Quiet)
        self.port = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="ops", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()

    def ready(self) -> str | None:
        """Return None: this part is ready when it listens."""
        return None

    def _answer(self, environ: dict[str, object], start_response: StartResponse) -> Iterable[bytes]:
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [("Allow", "GET, HEAD"), ("Content-Length", "0")])
            return [b""]
        path = environ["PATH_INFO"]
        if path == "/metrics":
            pages: Iterable[bytes] = self._metrics(environ, start_response)
            return pages
        if path == "/healthz":
            alive = self._alive()
            return _json(start_response, "200 OK" if alive else "503 Service Unavailable", {"alive": alive})
        if path == "/readyz":
            reason = self._ready()
            status = "200 OK" if reason is None else "503 Service Unavailable"
            return _json(start_response, status, {"ready": reason is None, "reason": reason})
        return _json(start_response, "404 Not Found", {"error": "only /healthz, /readyz and /metrics are here"})


def _json(start_response: StartResponse, status: str, document: dict[str, object]) -> Iterable[bytes]:
    body = json.dumps(document).encode()
    start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]
