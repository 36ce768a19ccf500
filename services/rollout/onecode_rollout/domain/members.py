"""Read from what members told last how far an installation is: on gateways, and on the cloud's server.

Success is the version that *answers* after probation, as the serving process itself says; never an intention.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onecode_rollout.domain.rollout import Rollout

CLOUD = "cloud"
"""Name of the segment of the cloud, and of its one source."""

FAILED = frozenset({"rejected", "rolled_back", "lost"})
UNCOUNTED = frozenset({"refused", "superseded", "timed_out"})
OPEN = frozenset({"downloading", "verified", "staged", "switching", "probation"})
ON_TRIAL = frozenset({"switching", "probation"})
SERVING = frozenset({"probation", "committed"})
ACTION_STATES = frozenset({*FAILED, *UNCOUNTED, *OPEN, "committed"}) - {"lost"}
"""States that a member may report; ``lost`` is concluded from silence."""

SMALL_FLEET = 52
"""Below this many members no gate of waves can be proven: people open it, and all that answer must agree."""

_QUORUM = 0.8
_STILL_OPEN = 0.02
_OUTAGE = 0.01
_FEW_SILENT = 3
_MISSED_REPORTS = 3
_LEAST_REACH_S = 15.0


@dataclass(frozen=True, slots=True)
class Action:
    """The newest action of a member for one version.

    Attributes:
        started: When the present state was reached, by our clock.
    """

    revision: int
    digest: str
    state: str
    cause: str = ""
    served_digest: str = ""
    at: float = 0.0


@dataclass(frozen=True, slots=True)
class Member:
    """One target of a rollout: what it told last.

    Attributes:
        trial: Its newest action for the candidate.
        back: Its newest action for the stable version.
        generation: Of the policy that it follows.
        serving: Version by model, from its serving process's own answer.
    """

    source: str
    segment: str
    last_heard: float = 0.0
    generation: int = 0
    serving: Mapping[str, str] = field(default_factory=dict)
    trial: Action | None = None
    back: Action | None = None


@dataclass(frozen=True, slots=True)
class Installs:
    """How installations went: only outcomes count.

    Attributes:
        silent: An outage explains the silence, lost members are not counted.
    """

    committed: int
    failed: tuple[tuple[str, str], ...]
    refused: tuple[tuple[str, str], ...]
    open: int
    silent: bool

    @property
    def outcomes(self) -> int:
        """Members with an outcome."""
        return self.committed + len(self.failed)


def of_steps(action: Action | None, rollout: Rollout, segment: str) -> Action | None:
    """Return what a member told last of the candidate, without what it did in shadow once that is over.

    A version that answers nobody has proven only that it can be loaded; a failure stays one. Policies have another
    revision as soon as the candidate answers somebody.
    """
    before = rollout.before.get(segment)
    if action is None or not rollout.plan.shadow_s or rollout.in_shadow or before is None:
        return action
    return action if action.revision > before.revision or action.state in FAILED else None


def reach_s(report_s: int) -> float:
    """Return after how many seconds of silence a member counts as not reachable: three missed reports."""
    return max(_MISSED_REPORTS * report_s, _LEAST_REACH_S)


def reachable(member: Member, now: float, report_s: int) -> bool:
    """Whether it was heard within three report intervals."""
    return now - member.last_heard <= reach_s(report_s)


def action_state(member: Member, now: float, lost_after_s: int) -> str:
    """Return where its installation stands; ``lost`` when it fell silent on trial; ``targeted`` before any word."""
    if member.trial is None:
        return "targeted"
    silent = now - max(member.last_heard, member.trial.at)
    if member.trial.state in ON_TRIAL and silent > lost_after_s:
        return "lost"
    return member.trial.state


def installs(members: Sequence[Member], now: float, lost_after_s: int) -> Installs:
    """Count outcomes; silence that an outage explains is no outcome."""
    silent = outage(members, now, lost_after_s)
    states = [(member, action_state(member, now, lost_after_s)) for member in members]
    failed = tuple(
        (member.source, "lost" if state == "lost" else (member.trial.cause if member.trial else ""))
        for member, state in states
        if state in FAILED and not (silent and state == "lost")
    )
    refused = tuple((m.source, m.trial.cause if m.trial else "") for m, state in states if state == "refused")
    return Installs(
        committed=sum(state == "committed" for _, state in states),
        failed=failed,
        refused=refused,
        open=sum(state in OPEN for _, state in states),
        silent=silent,
    )


def outage(members: Sequence[Member], now: float, lost_after_s: int) -> bool:
    """Whether silence has another cause than the candidate: members that are not on trial fell silent too."""
    heard = [member for member in members if member.last_heard]
    on_trial = [m for m in heard if m.trial is not None and m.trial.state in ON_TRIAL]
    others = [m for m in heard if m not in on_trial]
    if not others:
        return len(on_trial) >= _FEW_SILENT and all(now - m.last_heard > lost_after_s for m in on_trial)
    silent = sum(now - m.last_heard > lost_after_s for m in others)
    lost = any(now - m.last_heard > lost_after_s for m in on_trial)
    return lost and silent / len(others) > _OUTAGE


def nobody_can(members: Sequence[Member], now: float, lost_after_s: int) -> bool:
    """Whether every member has failed or refused: then no installation is left to wait for."""
    states = [action_state(member, now, lost_after_s) for member in members]
    return (
        bool(states)
        and all(state in {"rejected", "rolled_back", "refused"} for state in states)
        and (any(state != "refused" for state in states))
    )


def has_taken(member: Member, rollout: Rollout) -> bool:
    """Whether the member serves the candidate to everybody, proven by probation and by its own answer."""
    trial, mark = member.trial, rollout.marks.get(member.segment)
    wanted = rollout.plan.candidate
    if trial is None or mark is None or trial.state != "committed" or trial.served_digest != wanted:
        return False
    told = member.generation >= mark.last and member.serving.get(rollout.plan.model) == wanted
    return told or trial.revision >= mark.revision


def quorum(members: Sequence[Member], rollout: Rollout, now: float) -> bool:
    """Whether enough members serve the candidate.

    Many members: 80 % of them, and at most 2 % still under way. Few: all that are reachable, and at least
    half. Members that are offline never block; they follow the same policy when they return.
    """
    taken = [member for member in members if has_taken(member, rollout)]
    if not taken:
        return False
    if len(members) >= SMALL_FLEET:
        counted = installs(members, now, rollout.plan.preset.lost_after_s)
        started = counted.open + counted.outcomes + len(counted.refused)
        return len(taken) >= _QUORUM * len(members) and counted.open <= _STILL_OPEN * started
    return all(m in taken for m in _waited_for(members, rollout, now)) and 2 * len(taken) >= len(members)


def is_back(member: Member, rollout: Rollout) -> bool:
    """Whether the member no longer serves the candidate and will not begin to."""
    mark = rollout.marks.get(member.segment)
    if mark is None:
        return True
    trial, back, model = member.trial, member.back, rollout.plan.model
    if trial is None and member.generation < mark.first:
        return True
    if back is not None and back.state == "committed" and back.revision >= mark.revision:
        return back.served_digest == rollout.stable
    serves_stable = member.serving.get(model, "") == rollout.stable
    never_served = trial is not None and trial.state in {"rejected", "refused", "superseded", "timed_out"}
    if never_served:
        return member.serving.get(model, "") != rollout.plan.candidate
    knows = member.generation >= mark.last
    ended = trial is not None and trial.state == "rolled_back"
    return serves_stable and (knows or ended)


def settled(members: Sequence[Member], rollout: Rollout, now: float, *, all_of_them: bool) -> bool:
    """Whether every affected member is back; only the reachable ones are waited for unless ``all_of_them``."""
    waited = members if all_of_them else _waited_for(members, rollout, now)
    return all(is_back(member, rollout) for member in waited)


def _waited_for(members: Sequence[Member], rollout: Rollout, now: float) -> list[Member]:
    """Return the members that are reachable; at first everybody, so that a slow one gets its chance to speak."""
    report_s = rollout.plan.preset.report_s
    early = now - rollout.changed < reach_s(report_s)
    return [member for member in members if early or reachable(member, now, report_s)]
