"""Tell the supervisor which serving processes to start and end, and hear from it how they fared."""

import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from typing import Any

_log = logging.getLogger(__name__)
_ORPHANED = 3


class Orders:
    """The line to the supervisor. When it breaks, this process has no purpose and ends.

    Args:
        handle: Descriptor of the socket that the supervisor left open for this process.
        heard: Called in a thread with each fact: ``{"is": "serves", …}`` once, then ``{"is": "ended", …}``.
    """

    name = "orders"

    def __init__(self, handle: int, heard: Callable[[Mapping[str, Any]], None]) -> None:
        self._socket = socket.socket(fileno=handle)
        self._heard = heard
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._listen, name="orders", daemon=True)

    def start(self) -> None:
        """Begin to listen."""
        self._thread.start()

    def stop(self) -> None:
        """Nothing to end: the line closes with the process."""

    def ready(self) -> str | None:
        """Return None: without the line there is no process."""
        return None

    def start_serve(self, name: str, set_id: str, gateway: str) -> None:
        """Have a serving process started."""
        self._send({"do": "start", "serve": name, "set": set_id, "gateway": gateway})

    def stop_serve(self, name: str, grace_s: float) -> None:
        """Have it drain and end, and be killed after the grace."""
        self._send({"do": "stop", "serve": name, "grace_s": grace_s})

    def kill_serve(self, name: str) -> None:
        """Have it killed."""
        self._send({"do": "kill", "serve": name})

    def _send(self, order: Mapping[str, object]) -> None:
        with self._lock:
            self._socket.sendall(json.dumps(order).encode() + b"\n")

    def _listen(self) -> None:
        buffer = b""
        while piece := self._receive():
            *lines, buffer = (buffer + piece).split(b"\n")
            for line in lines:
                self._heard(json.loads(line))
        _log.warning("the supervisor is gone")
        os._exit(_ORPHANED)

    def _receive(self) -> bytes:
        try:
            return self._socket.recv(65536)
        except OSError:
            return b""
