"""Give each gateway of `onecode up` its identity the way any gateway gets one: with a one-time token, over REST."""

import http.client
import json
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from onecode_common.errors import ConflictError, InvalidError, OnecodeError, UnavailableError
from onecode_common.files import write_file
from onecode_standalone.home import Home
from onecode_standalone.provision import SEGMENT
from onecode_standalone.table import Preparation

_TIMEOUT_S = 20.0


class Enrolment:
    """Asks the console for segments, gateways and tokens.

    Args:
        home: Where tokens and identities lie.
        console_url: REST face.
    """

    def __init__(self, home: Home, console_url: str) -> None:
        self._home = home
        self._url = console_url

    def preparation(self, number: int) -> Preparation:
        """Return what to do before gateway 1, 2, ... starts."""
        return lambda: self.prepare(f"gw-{number}")

    def prepare(self, gateway: str) -> Mapping[str, str]:
        """Make sure that a gateway has an identity or a token to get one; return its settings.

        Raises:
            UnavailableError: The console does not answer.
            ConflictError: The server knows another gateway of this name.
            OnecodeError: It refused.
        """
        self._home.gateway(gateway).mkdir(mode=0o700, parents=True, exist_ok=True)
        pinned = self._home.root / "gateways" / f"{gateway}.root"
        if not (enrolled(self._home, gateway) and pinned.exists()):
            try:
                self._invite(gateway, pinned)
            except ConflictError:
                # The server let it in, but it was ended before it heard so: it asks again with its old token.
                if not pinned.exists():
                    raise
        return {"ONECODE_EDGE_ROOT_SHA256": pinned.read_text(encoding="ascii").strip()}

    def _invite(self, gateway: str, pinned: Path) -> None:
        self._post("/api/v1/segments", {"name": SEGMENT})
        answer = self._post("/api/v1/gateways", {"name": gateway, "segment": SEGMENT, "accept": True})
        if answer.get("token"):
            write_file(self._home.gateway_token(gateway), str(answer["token"]).encode(), mode=0o600)
        write_file(pinned, str(answer["root_sha256"]).encode(), mode=0o600)

    def _post(self, path: str, body: Mapping[str, object]) -> dict[str, object]:
        token = self._home.api_token_file.read_text(encoding="ascii").strip()
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
        parts = urlsplit(self._url)
        try:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=_TIMEOUT_S)
            with closing(connection):
                connection.request("POST", path, json.dumps(body).encode(), headers)
                answer = connection.getresponse()
                document = json.loads(answer.read(1 << 20))
        except (OSError, http.client.HTTPException, ValueError) as error:
            message = f"the console at {self._url} does not answer: {error}"
            raise UnavailableError(message, code="up.console") from error
        if answer.status >= http.client.BAD_REQUEST:
            raise _refusal(answer.status, document)
        return dict(document)


def enrolled(home: Home, gateway: str) -> bool:
    """Return whether a gateway has an identity that the server knows, so that it needs no token."""
    return (home.gateway(gateway) / "identity").exists()


def _refusal(status: int, document: Mapping[str, object]) -> OnecodeError:
    kinds: dict[int, type[OnecodeError]] = {409: ConflictError, 422: InvalidError, 503: UnavailableError}
    detail, code = str(document.get("detail", "")), str(document.get("code", ""))
    return kinds.get(status, OnecodeError)(f"the console refused: {detail}", code=code)
