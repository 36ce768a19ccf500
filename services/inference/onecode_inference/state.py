"""Remember across restarts what was proven and what was found bad here; losing it costs only work."""

import json
import logging
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from onecode_common.errors import OnecodeError
from onecode_common.files import write_file

_log = logging.getLogger(__name__)
_SCHEMA = 1
_MAX_BANNED = 200


@dataclass(slots=True)
class ModelState:
    """What is known of one model here.

    Attributes:
        committed: Digest that passed its probation; empty if none did.
        release: Its release number.
        banned: Versions that failed here: by digest, the state it came to and the cause, ``rejected golden``.
        probation: Digest that is being watched; empty if none is.
        served_s: How long it has been.
        starts: How often this process was started meanwhile.
        shadow: Digest that is shown requests and answers nobody; empty if none is.
        shadow_starts: How often this process was started meanwhile, and did not live for long.
    """

    committed: str = ""
    release: int = 0
    banned: dict[str, str] = field(default_factory=dict)
    probation: str = ""
    served_s: float = 0.0
    starts: int = 0
    shadow: str = ""
    shadow_starts: int = 0

    def ban(self, digest: str, state: str, cause: str) -> None:
        """Note that a version failed here; the oldest of very many are forgotten."""
        self.banned[digest] = f"{state} {cause}"
        while len(self.banned) > _MAX_BANNED:
            del self.banned[next(iter(self.banned))]


class StateFile:
    """One JSON file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._last = b""

    def load(self) -> dict[str, ModelState]:
        """Return the state by model; a file that cannot be read is an empty one."""
        try:
            document: Any = json.loads(self._path.read_bytes())
            if document["schema"] != _SCHEMA:
                return {}
            return {name: ModelState(**entry) for name, entry in document["models"].items()}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            _log.warning("the state in %s cannot be read and is made anew: %r", self._path, error)
            return {}

    def save(self, models: dict[str, ModelState]) -> None:
        """Write the state if it changed; a disk that does not take it is logged, because serving goes on."""
        document = {"schema": _SCHEMA, "models": {name: _entry(state) for name, state in models.items()}}
        content = json.dumps(document, sort_keys=True).encode()
        if content == self._last:
            return
        try:
            write_file(self._path, content, mode=0o600)
            self._last = content
        except OnecodeError as error:
            _log.warning("the state cannot be kept: %s", error.message)


def _entry(state: ModelState) -> dict[str, Any]:
    entry = asdict(state)
    if not state.shadow:
        # An earlier release cannot read these.
        del entry["shadow"], entry["shadow_starts"]
    return entry
