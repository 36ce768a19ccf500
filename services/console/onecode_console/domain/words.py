"""Name every state once, with the word, shape and colour that all pages use."""

from collections.abc import Mapping
from dataclasses import dataclass

from onecode_console.domain.texts import N_


@dataclass(frozen=True, slots=True)
class Word:
    """How a state is shown; never by colour alone.

    Attributes:
        label: Message of the catalogue.
        shape: One character.
        tone: Class of the stylesheet: grey, run, warn, ok, bad, back, dark, none.
    """

    label: str
    shape: str
    tone: str


_QUEUED = Word(N_("Queued"), "◔", "grey")
_RUNNING = Word(N_("In progress"), "◐", "run")
_NEEDS_YOU = Word(N_("Needs your decision"), "◆", "warn")
_PAUSED = Word(N_("Paused"), "❚❚", "warn")
_DONE = Word(N_("Done"), "●", "ok")
_FAILED = Word(N_("Failed"), "✕", "bad")
_UNKNOWN = Word(N_("Not heard from"), "⌀", "none")
_SUPERSEDED = Word(N_("Superseded"), "»", "grey")

ROLLOUTS: Mapping[str, Word] = {
    "draft": Word(N_("Draft"), "○", "grey"),
    "awaiting_approval": Word(N_("Waiting for approval"), "◆", "warn"),
    "scheduled": _QUEUED,
    "running": _RUNNING,
    "paused": _PAUSED,
    "promoting": Word(N_("Going to all"), "◐", "run"),
    "rolling_back": Word(N_("Rolling back"), "↶", "back"),
    "rollback_incomplete": Word(N_("Rolled back but for some"), "↶", "warn"),
    "succeeded": _DONE,
    "rolled_back": Word(N_("Rolled back"), "↶", "back"),
    "aborted": Word(N_("Aborted"), "■", "dark"),
    "superseded": _SUPERSEDED,
    "rejected": Word(N_("Rejected"), "✕", "dark"),
    "canceled": Word(N_("Canceled"), "■", "dark"),
}

OPEN_ROLLOUTS = frozenset({"draft", "awaiting_approval", "scheduled", "running", "paused", "promoting", "rolling_back"})
"""States in which something may still change by itself."""

RUNS: Mapping[str, Word] = {
    "RUN_STATE_QUEUED": _QUEUED,
    "RUN_STATE_RUNNING": _RUNNING,
    "RUN_STATE_STOPPING": Word(N_("Stopping"), "◐", "grey"),
    "RUN_STATE_STOPPED": Word(N_("Stopped"), "■", "dark"),
    "RUN_STATE_INTERRUPTED": Word(N_("Interrupted"), "◆", "warn"),
    "RUN_STATE_FAILED": _FAILED,
    "RUN_STATE_SUCCEEDED": _DONE,
}

OPEN_RUNS = frozenset({"RUN_STATE_QUEUED", "RUN_STATE_RUNNING", "RUN_STATE_STOPPING"})

TRIALS: Mapping[str, Word] = {
    "waiting": _QUEUED,
    "running": _RUNNING,
    "done": _DONE,
    "failed": _FAILED,
    "ruled_out": Word(N_("Ruled out"), "–", "grey"),
}

GATEWAYS: Mapping[str, Word] = {
    "pending": Word(N_("Waiting to be accepted"), "◔", "warn"),
    "active": Word(N_("Enrolled"), "●", "ok"),
    "revoked": Word(N_("Revoked"), "✕", "dark"),
}

ACTIONS: Mapping[str, Word] = {
    "targeted": Word(N_("Targeted"), "○", "grey"),
    "notified": Word(N_("Notified"), "○", "grey"),
    "downloading": Word(N_("Downloading"), "◔", "run"),
    "verified": Word(N_("Verified"), "◔", "run"),
    "staged": Word(N_("Waiting to switch"), "◔", "run"),
    "switching": Word(N_("Switching"), "◐", "run"),
    "probation": Word(N_("On probation"), "◐", "run"),
    "committed": Word(N_("In effect"), "●", "ok"),
    "rejected": Word(N_("Refused by its tests"), "✕", "bad"),
    "rolled_back": Word(N_("Went back by itself"), "↶", "back"),
    "refused": Word(N_("Does not fit"), "–", "grey"),
    "timed_out": Word(N_("Timed out"), "◔", "warn"),
    "lost": _UNKNOWN,
    "superseded": _SUPERSEDED,
    "unreached": Word(N_("Not reached"), "⌀", "none"),
}

STAGES: Mapping[str, str] = {
    "prepare": N_("Prepare"),
    "search": N_("Search"),
    "convert": N_("Convert"),
    "parity": N_("Prove parity"),
    "measure": N_("Measure"),
    "register": N_("Register"),
    "done": N_("Finished"),
}
"""Stages of a run, in order."""

FAMILIES: Mapping[str, str] = {
    "baseline": N_("Trivial baseline"),
    "linear": N_("Linear"),
    "lightgbm": N_("Boosted trees"),
    "mlp": N_("Small neural network"),
}

COLUMN_TYPES: Mapping[str, str] = {
    "COLUMN_TYPE_FLOAT": N_("number"),
    "COLUMN_TYPE_INTEGER": N_("whole number"),
    "COLUMN_TYPE_BOOLEAN": N_("yes or no"),
    "COLUMN_TYPE_TIMESTAMP": N_("time"),
    "COLUMN_TYPE_TEXT": N_("text"),
}

DECISIONS: Mapping[str, str] = {
    "create": N_("Created"),
    "submit": N_("Submitted"),
    "approve": N_("Approved"),
    "reject": N_("Rejected"),
    "start": N_("Started"),
    "widen": N_("Widened"),
    "promote": N_("Promoted"),
    "rollback": N_("Rolled back"),
    "hold": N_("Held"),
    "pause": N_("Paused"),
    "resume": N_("Resumed"),
    "abort": N_("Aborted"),
    "cancel": N_("Canceled"),
    "succeed": N_("Succeeded"),
    "rolled_back": N_("Rollback finished"),
    "supersede": N_("Superseded"),
}

RULES: Mapping[str, str] = {
    "errors.worse": N_("fails more often"),
    "errors.better": N_("good enough by comparison"),
    "errors.floor": N_("good enough by itself"),
    "errors.gate": N_("the step has passed"),
    "errors.gate_ratio": N_("the step has passed by comparison"),
    "errors.gate_rate": N_("the step has passed by itself"),
    "errors.unanswered": N_("nobody decided in time"),
    "install.stop": N_("too many installations fail"),
    "install.nobody": N_("no member can serve it"),
    "install.outage": N_("too many members are silent at once"),
    "install.refused": N_("many members refuse it"),
    "install.few": N_("too few members for a proof"),
    "allocation": N_("requests are not split as planned"),
    "counters.invalid": N_("counters cannot be believed"),
    "no_data": N_("no data"),
    "data": N_("data arrives again"),
    "limit": N_("the time limit has passed"),
    "shadow.worse": N_("fails more often in shadow"),
    "shadow.pairs": N_("enough was compared in shadow"),
    "shadow.different": N_("most answers differ in shadow"),
    "shadow.no_data": N_("nothing to compare in shadow"),
    "shadow.limit": N_("too little was compared in time"),
    "operator.gate": N_("a person opened the gate"),
    "start": N_("its turn has come"),
    "first_release": N_("first release"),
    "quorum": N_("enough members have confirmed it"),
    "quorum.late": N_("too few members have confirmed it in time"),
    "settled": N_("all reachable members are back"),
    "settle.late": N_("some members were not reached"),
    "approval.expired": N_("nobody approved it in time"),
}
"""Rules of the controller that may fire, in words."""

PEERS: Mapping[str, str] = {
    "ingestion": N_("Data"),
    "training": N_("Training"),
    "registry": N_("Models"),
    "rollout": N_("Releases"),
    "inference": N_("Predictions in the cloud"),
    "bus": N_("Message bus"),
}


def word(table: Mapping[str, Word], state: str) -> Word:
    """Return how a state is shown; an unknown one by its own name, in grey."""
    return table.get(state) or Word(state or N_("Unknown"), "○", "grey")
