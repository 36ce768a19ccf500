"""Remember the newest policy that was accepted, so that no older one is ever taken and none is needed to start."""

import json
import logging
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from onecode_common.canonical import canonical, sha256_hex
from onecode_common.errors import InvalidError
from onecode_common.files import write_file
from onecode_delivery.policy import Policy

_log = logging.getLogger(__name__)
_FARTHEST = 1 << 32


@dataclass(frozen=True, slots=True)
class Accepted:
    """The newest accepted policy.

    Attributes:
        generation: Its number; a lower one is refused for ever.
        content: Its bytes, as signed; empty if they were lost.
        floor: The latest signed time that was seen: no clock is believed that stands before it.
    """

    generation: int
    content: bytes
    floor: datetime


class PolicyRecord:
    """One file a segment: a line with generation, digest and time, then the policy; replaced as a whole."""

    def __init__(self, directory: Path, segment: str) -> None:
        self._path = directory / f"accepted-{segment}"

    def load(self) -> Accepted | None:
        """Return what was accepted last; None on a fresh or damaged record, which is logged."""
        try:
            head, _, content = self._path.read_bytes().partition(b"\n")
            state = json.loads(head)
            accepted = Accepted(int(state["generation"]), content, datetime.fromisoformat(state["floor"]))
            digest = str(state["sha256"])
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError) as error:
            _log.warning("the record of the accepted policy is damaged and is made anew: %r", error)
            return None
        if sha256_hex(content) != digest:
            _log.warning("the accepted policy on disk is damaged; its generation %d is kept", accepted.generation)
            return replace(accepted, content=b"")
        return accepted

    def accept(self, policy: Policy, content: bytes) -> None:
        """Take a verified policy as the newest one.

        Raises:
            InvalidError: ``sync.generation``: an older one, another one of the same number, or one absurdly far ahead.
        """
        last = self.load()
        if last is not None:
            _check(last, policy, content)
            if policy.generation == last.generation and content == last.content:
                return
        floor = max(policy.issued, last.floor) if last else policy.issued
        head = canonical({"generation": policy.generation, "sha256": sha256_hex(content), "floor": floor.isoformat()})
        write_file(self._path, head + b"\n" + content)


def _check(last: Accepted, policy: Policy, content: bytes) -> None:
    hint = "the last good policy stays in force"
    if policy.generation < last.generation:
        message = f"the policy has generation {policy.generation}, {last.generation} was accepted before"
        raise InvalidError(message, code="sync.generation", hint=hint)
    if policy.generation > last.generation + _FARTHEST:
        message = f"the policy's generation {policy.generation} is out of reach of {last.generation}"
        raise InvalidError(message, code="sync.generation", hint=hint)
    if policy.generation == last.generation and last.content and content != last.content:
        message = f"there are two policies of generation {policy.generation}"
        raise InvalidError(message, code="sync.generation", hint=hint)
