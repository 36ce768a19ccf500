"""Say which reports can be believed, before anything of them is kept."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from onecode_rollout.domain.members import ACTION_STATES

CLOCK_TOLERANCE_S = 300
"""A source whose clock is further off is dropped, for both arms."""

MAX_COUNT = 1 << 53
_MAX_TEXT = 500
_MAX_INTERVAL_S = 3600
_LATE_S = 7 * 86_400
_MAX_PAIRS = 100


@dataclass(frozen=True, slots=True)
class CounterReport:
    """Totals of one interval, arm and model.

    Attributes:
        different: Of the role ``shadow``: requests to which the candidate said something different.
        dropped: Of the role ``shadow``: requests that there was no spare time for.
        largest: Of the role ``shadow``: largest difference between two answers.
    """

    model: str
    rollout: str
    revision: int
    digest: str
    role: str
    interval_start: int
    interval_s: int
    requests: int
    errors: int
    non_finite: int
    unassigned: int
    latency: tuple[int, ...] = ()
    different: int = 0
    dropped: int = 0
    largest: float = 0.0


@dataclass(frozen=True, slots=True)
class ActionReport:
    """An installation reached a state."""

    model: str
    rollout: str
    revision: int
    digest: str
    state: str
    cause: str
    served_digest: str
    detail: str
    evidence: str


@dataclass(frozen=True, slots=True)
class StatusReport:
    """What a source serves and how it is."""

    generation: int
    serving: Mapping[str, str] = field(default_factory=dict)
    health: str = ""
    outbox: int = 0
    rss_bytes: int = 0
    agent_version: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)
    http_url: str = ""
    grpc_address: str = ""


@dataclass(frozen=True, slots=True)
class Report:
    """One report; who sent it is known from the subject or the token, never from the body."""

    boot_id: str
    sequence: int
    sent_at: int
    counters: tuple[CounterReport, ...] = ()
    action: ActionReport | None = None
    status: StatusReport | None = None


def counter_fault(counter: CounterReport, owned: Mapping[str, str], received: float) -> str:
    """Return why a counter cannot be, or nothing.

    Args:
        counter: As reported.
        owned: Role by digest of the rollout that it names; empty when the rollout is not open.
        received: Unix seconds.
    """
    return _number_fault(counter, received) or _arm_fault(counter, owned)


def _number_fault(counter: CounterReport, received: float) -> str:
    numbers = (counter.requests, counter.errors, counter.non_finite, counter.unassigned, *counter.latency,
               counter.different, counter.dropped)  # fmt: skip
    if any(not 0 <= number <= MAX_COUNT for number in numbers):
        return "negative or huge counter"
    if counter.errors > counter.requests or counter.non_finite > counter.errors:
        return f"{counter.errors} errors in {counter.requests} requests"
    if counter.different + counter.errors > counter.requests or not 0 <= counter.largest < math.inf:
        return f"{counter.different} differences up to {counter.largest} in {counter.requests} requests"
    length = counter.interval_s
    if not 1 <= length <= _MAX_INTERVAL_S or counter.interval_start % length:
        return f"interval {counter.interval_start} is not a multiple of {length} s"
    if counter.interval_start - received > CLOCK_TOLERANCE_S:
        return f"clock is {counter.interval_start - received:.0f} s ahead"
    return ""


def _arm_fault(counter: CounterReport, owned: Mapping[str, str]) -> str:
    if owned and counter.digest not in owned:
        return f"answers with {counter.digest[:20]}, which no arm owns"
    return ""


def is_evidence(counter: CounterReport, owned: Mapping[str, str], received: float) -> bool:
    """Whether a counter tells about the split: it is not a week late, and its version answered in its own arm.

    A member that cannot serve one of the versions gives both arms to the other, which compares nothing.
    """
    own_arm = not owned or counter.role in {"", owned.get(counter.digest, "")}
    return own_arm and counter.interval_start >= received - _LATE_S


def clock_fault(report: Report, received: float) -> str:
    """Return why the source's clock cannot be used, or nothing; a report may wait in an outbox for long."""
    ahead = report.sent_at - received
    return f"clock is {ahead:.0f} s ahead" if ahead > CLOCK_TOLERANCE_S else ""


def readable_action(action: ActionReport) -> bool:
    """Whether the state is one that members report."""
    return action.state in ACTION_STATES and 0 < len(action.model) <= _MAX_TEXT and len(action.digest) <= _MAX_TEXT


def short(text: str) -> str:
    """Return text of a source, cut to what a row holds and free of NUL."""
    return text[:_MAX_TEXT].replace("\x00", "")


def short_pairs(pairs: Mapping[str, str]) -> dict[str, str]:
    """Return at most a hundred pairs of short texts, in order of name."""
    return {short(name): short(pairs[name]) for name in sorted(pairs)[:_MAX_PAIRS]}
