"""Reach one OneCode server from Python: ``OneCode.from_env()``, then one attribute for each noun."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from onecode_client.data import Data
from onecode_client.events import Events
from onecode_client.fleet import Gateways, Segments
from onecode_client.models import Models
from onecode_client.predict import Predict, Rows
from onecode_client.rest import PATIENCE_S, Rest
from onecode_client.results import Prediction
from onecode_client.rollouts import Rollouts
from onecode_client.train import Train
from onecode_common.errors import UnauthenticatedError

DEFAULT_SERVER = "http://127.0.0.1:8080"


class OneCode:
    """One server.

    Args:
        server: URL of the console.
        token: Bearer token.
        patience_s: How long to wait for a server that restarts.

    Attributes:
        data: Data sets.
        train: Training runs.
        models: Models and versions.
        segments: Groups of gateways.
        gateways: Gateways.
        rollouts: Gray releases.
        events: Facts as they happen.
    """

    def __init__(self, server: str, token: str, *, patience_s: float = PATIENCE_S) -> None:
        self.rest = Rest(server, token, patience_s=patience_s)
        self.data = Data(self.rest)
        self.train = Train(self.rest)
        self.models = Models(self.rest)
        self.segments = Segments(self.rest)
        self.gateways = Gateways(self.rest)
        self.rollouts = Rollouts(self.rest)
        self.events = Events(self.rest)
        self._predict = Predict(self.rest)

    @classmethod
    def from_env(cls, server: str = "", token_file: Path | None = None) -> Self:
        """Return the server that arguments, environment, or a platform on this machine name, in that order.

        The environment is ``ONECODE_SERVER`` and ``ONECODE_TOKEN_FILE``; the platform on this machine is found by
        its home, ``ONECODE_HOME`` or ``~/.onecode``.

        Raises:
            UnauthenticatedError: There is no token to be found.
        """
        home = Path(os.environ.get("ONECODE_HOME") or Path.home() / ".onecode").expanduser()
        named = server or os.environ.get("ONECODE_SERVER", "") or _server_of(home)
        path = token_file or Path(os.environ.get("ONECODE_TOKEN_FILE") or home / "api-token")
        try:
            token = path.read_text(encoding="ascii").strip()
        except (OSError, UnicodeDecodeError) as error:
            message = f"there is no token at {path}"
            hint = "start the platform with: onecode up; or name a file with --token-file or ONECODE_TOKEN_FILE"
            raise UnauthenticatedError(message, code="client.no_token", hint=hint, params={"path": path}) from error
        return cls(named, token)

    def predict(self, model: str, rows: Rows, *, unit: str = "", url: str = "", token: str = "") -> Prediction:
        """Return the outputs for some rows; see :meth:`onecode_client.predict.Predict.predict`."""
        return self._predict.predict(model, rows, unit=unit, url=url, token=token)

    def version(self) -> Mapping[str, Any]:
        """Return which release answers."""
        document: dict[str, Any] = self.rest.get("/version")
        return document

    def status(self) -> Mapping[str, Any]:
        """Return how each service is, as the console sees it."""
        document: dict[str, Any] = self.rest.get("/status")
        return document

    def close(self) -> None:
        """Close connections."""
        self.rest.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _server_of(home: Path) -> str:
    try:
        return str(json.loads((home / "ports.json").read_text(encoding="utf-8"))["urls"]["console"])
    except (OSError, ValueError, KeyError, TypeError):
        return DEFAULT_SERVER
