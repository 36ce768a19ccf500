"""The life of a rollout as one table: whatever is not in it cannot happen."""

from collections.abc import Mapping

from onecode_common.errors import PreconditionError

TERMINAL = frozenset({"succeeded", "rolled_back", "aborted", "superseded", "rejected", "canceled"})
"""States that nothing leaves."""

LIVE = ("running", "paused", "promoting")
"""States in which a policy gives the candidate to somebody and evidence counts."""

HOLDS_SLOT = frozenset({*LIVE, "rolling_back"})
"""States that own the unique slot of (segment, model)."""

STATES = (
    "draft",
    "awaiting_approval",
    "scheduled",
    "running",
    "paused",
    "promoting",
    "rolling_back",
    "rollback_incomplete",
    *sorted(TERMINAL),
)

TABLE: Mapping[tuple[str, str], str] = {
    ("draft", "submit"): "scheduled",
    ("draft", "submit_for_approval"): "awaiting_approval",
    ("draft", "cancel"): "canceled",
    ("awaiting_approval", "approve"): "awaiting_approval",
    ("awaiting_approval", "approved"): "scheduled",
    ("awaiting_approval", "reject"): "rejected",
    ("awaiting_approval", "expire"): "rejected",
    ("awaiting_approval", "cancel"): "canceled",
    ("scheduled", "cancel"): "canceled",
    ("scheduled", "start"): "running",
    ("scheduled", "refuse_start"): "canceled",
    ("running", "begin"): "running",
    ("running", "widen"): "running",
    ("running", "prove"): "promoting",
    ("running", "bad"): "rolling_back",
    ("running", "guard"): "rolling_back",
    ("running", "hold"): "paused",
    ("running", "pause"): "paused",
    ("running", "promote"): "promoting",
    ("running", "rollback"): "rolling_back",
    ("running", "abort"): "aborted",
    ("running", "supersede"): "superseded",
    ("paused", "resume"): "running",
    ("paused", "resume_promotion"): "promoting",
    ("paused", "data"): "running",
    ("paused", "bad"): "rolling_back",
    ("paused", "guard"): "rolling_back",
    ("paused", "ask_expired"): "rolling_back",
    ("paused", "promote"): "promoting",
    ("paused", "rollback"): "rolling_back",
    ("paused", "abort"): "aborted",
    ("paused", "supersede"): "superseded",
    ("paused", "close"): "succeeded",
    ("promoting", "quorum"): "succeeded",
    ("promoting", "hold"): "paused",
    ("promoting", "quorum_late"): "paused",
    ("promoting", "bad"): "rolling_back",
    ("promoting", "guard"): "rolling_back",
    ("promoting", "pause"): "paused",
    ("promoting", "rollback"): "rolling_back",
    ("promoting", "abort"): "aborted",
    ("promoting", "supersede"): "superseded",
    ("rolling_back", "settled"): "rolled_back",
    ("rolling_back", "settle_late"): "rollback_incomplete",
    ("rollback_incomplete", "settled"): "rolled_back",
}
"""(state, event) -> next state.

``begin`` ends the shadow; ``close`` is the forced end of a promotion that was held, with stragglers.
"""

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "approve": ("approve", "approved"),
    "reject": ("reject",),
    "cancel": ("cancel",),
    "pause": ("pause",),
    "resume": ("resume", "resume_promotion"),
    "promote": ("promote", "close"),
    "rollback": ("rollback",),
    "abort": ("abort",),
}
"""What a person may ask for, and the events that it can become."""

_ANSWERED: Mapping[str, frozenset[str]] = {
    "approve": frozenset({"scheduled", "running", "paused", "promoting", "succeeded"}),
    "reject": frozenset({"rejected"}),
    "cancel": frozenset({"canceled"}),
    "resume": frozenset({"running", "promoting"}),
    "promote": frozenset({"promoting", "succeeded"}),
    "rollback": frozenset({"rolling_back", "rollback_incomplete", "rolled_back"}),
    "abort": frozenset({"aborted"}),
}


def following(state: str, event: str) -> str:
    """Return the next state.

    Raises:
        PreconditionError: The state does not allow the event; the message names both and what is allowed.
    """
    target = TABLE.get((state, event))
    if target is None:
        allowed = ", ".join(allowed_commands(state)) or "nothing: it has ended"
        message = f"the rollout is {state}, which does not allow {event}; allowed now: {allowed}"
        raise PreconditionError(message, code="rollout.state", params={"state": state, "event": event})
    return target


def allowed_commands(state: str) -> tuple[str, ...]:
    """Return what a person may ask for in this state."""
    return tuple(name for name, events in COMMANDS.items() if any((state, event) in TABLE for event in events))


def already(command: str, state: str, reason: str) -> bool:
    """Whether a command was carried out before, so that its repeat is answered as the first time."""
    if command == "pause":
        return state == "paused" and reason == "operator"
    return state in _ANSWERED.get(command, frozenset())
