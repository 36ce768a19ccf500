"""Serve MLflow in one process that answers nobody without the token and ends with the registry.

Run as ``python -m onecode_registry.adapters.mlflow_program HOST PORT TOKEN_FILE``; MLflow's own settings come
in the environment. MLflow's login needs packages that its plain distribution does not bring, and it forgot
new routes more than once; one check before everything else cannot forget any. Standard input is a pipe from
the registry: when it ends, so does this program.
"""

import hmac
import os
import signal
import sys
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import uvicorn

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]

_OPEN_PATH = "/health"


class TokenGate:
    """Lets an ASGI request pass that carries the token; everything else is told nothing."""

    def __init__(self, app: App, token: str) -> None:
        self._app = app
        self._expected = f"Bearer {token}".encode()

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer 401, or pass the request on."""
        if scope["type"] == "lifespan" or self._may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            headers = [(b"www-authenticate", b"Bearer"), (b"content-length", b"0")]
            await send({"type": "http.response.start", "status": 401, "headers": headers})
            await send({"type": "http.response.body", "body": b""})
        else:
            await send({"type": "websocket.close", "code": 1008})

    def _may_pass(self, scope: Message) -> bool:
        if scope["type"] == "http" and scope["path"] == _OPEN_PATH:
            return True
        given = [value for name, value in scope["headers"] if name == b"authorization"]
        return len(given) == 1 and hmac.compare_digest(given[0], self._expected)


def end_with_parent() -> None:
    """Kill the own process group once the pipe on standard input ends."""

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 64):
            pass
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, name="parent", daemon=True).start()


def main() -> None:
    """Load MLflow and serve it."""
    host, port, token_file = sys.argv[1:4]
    end_with_parent()
    # Heavy, and it reads its settings while it is imported.
    from mlflow.server.fastapi_app import app  # noqa: PLC0415

    token = Path(token_file).read_text(encoding="ascii").strip()
    uvicorn.run(TokenGate(app, token), host=host, port=int(port), log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
