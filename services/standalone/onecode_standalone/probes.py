"""Ask a process whether it is ready, the way an operator would."""

import http.client
import json
import socket
from contextlib import closing
from urllib.parse import urlsplit

_TIMEOUT_S = 1.5


def probe(url: str) -> str | None:
    """Return why the process is not ready, or None.

    Args:
        url: ``http://host:port/path`` that answers 200 when ready, or ``nats://host:port``.
    """
    parts = urlsplit(url)
    host, port = parts.hostname or "127.0.0.1", parts.port or 80
    try:
        return _nats(host, port) if parts.scheme == "nats" else _http(host, port, parts.path)
    except (OSError, http.client.HTTPException) as error:
        return f"does not answer: {getattr(error, 'strerror', None) or error or type(error).__name__}"


def _nats(host: str, port: int) -> str | None:
    with socket.create_connection((host, port), timeout=_TIMEOUT_S) as connection:
        return None if connection.recv(5) == b"INFO " else "does not speak NATS"


def _http(host: str, port: int, path: str) -> str | None:
    with closing(http.client.HTTPConnection(host, port, timeout=_TIMEOUT_S)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        body = answer.read(4096)
    if answer.status == http.client.OK:
        return None
    try:
        reason = json.loads(body).get("reason")
    except (ValueError, AttributeError):
        reason = None
    return str(reason or f"answers {answer.status}")
