"""Say once what happened to a version under a policy entry."""

from collections.abc import Callable

from onecode.edge.v1 import edge_pb2
from onecode_delivery.policy import ModelPolicy

VERIFIED = "verified"
STAGED = "staged"
SWITCHING = "switching"
PROBATION = "probation"
COMMITTED = "committed"
REJECTED = "rejected"
REFUSED = "refused"
ROLLED_BACK = "rolled_back"


class Actions:
    """Reports states of (model, revision, digest), each state once in a row.

    Args:
        tell: Takes the report.
    """

    def __init__(self, tell: Callable[[edge_pb2.Action], None]) -> None:
        self._tell = tell
        self._last: dict[tuple[str, int, str], tuple[str, str]] = {}

    def reached(
        self,
        entry: ModelPolicy,
        digest: str,
        state: str,
        *,
        cause: str = "",
        served: str = "",
        detail: str = "",
        evidence: str = "",
    ) -> None:
        """Report a state, unless it is the one that was reported last."""
        key = (entry.name, entry.revision, digest)
        if self._last.get(key) == (state, cause):
            return
        self._last[key] = (state, cause)
        self._tell(
            edge_pb2.Action(
                model=entry.name,
                rollout=entry.rollout,
                revision=entry.revision,
                digest=digest,
                state=state,
                cause=cause,
                served_digest=served,
                detail=detail[:500],
                evidence=evidence,
            )
        )

    def forget_other_revisions(self, entry: ModelPolicy) -> None:
        """Let go of what was reported under earlier revisions of the entry."""
        self._last = {
            key: value for key, value in self._last.items() if key[0] != entry.name or key[1] == entry.revision
        }
