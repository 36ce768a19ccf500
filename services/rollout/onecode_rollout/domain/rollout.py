"""A rollout as it is kept: what was asked for, where it stands, and what must be remembered to go on."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from onecode_common.assignment import BUCKETS
from onecode_rollout.domain.plan import Plan
from onecode_rollout.domain.planner import NO_ESTIMATE, Estimate
from onecode_rollout.domain.policy import Arm, Entry, split_arms, whole

SHADOW_GATE = -2
"""As the step whose gate was opened: what the shadow found was accepted."""


@dataclass(frozen=True, slots=True)
class StepStart:
    """A step began: its index, the width of the candidate's range (0: it is in shadow), and when."""

    step: int
    width: int
    at: float


@dataclass(frozen=True, slots=True)
class Mark:
    """Generations of one segment's policy that matter to a rollout.

    Attributes:
        first: The first that named the candidate.
        last: The newest that this rollout caused.
        revision: Of the model's entry then.
    """

    first: int
    last: int
    revision: int


@dataclass(frozen=True, slots=True)
class Overrides:
    """What a person has looked at and accepted; the rule asks for more before it fires again.

    Attributes:
        worse: Log odds for "worse" that were accepted.
        stop: Log odds for "installations fail" that were accepted.
        allocation: The split may differ from the plan.
        observed_s: Observed seconds when the limit was extended.
        refused: Refusals that were accepted.
        outage: Silence of members was accepted.
        gate: Step whose gate was opened by hand; -1 = none, :data:`SHADOW_GATE` = the one behind the shadow.
        shadow: Log odds for "worse" in shadow that were accepted.
    """

    worse: float = 0.0
    allocation: bool = False
    observed_s: float = 0.0
    refused: int = 0
    outage: bool = False
    gate: int = -1
    shadow: float = 0.0


@dataclass(frozen=True, slots=True)
class Rollout:
    """One rollout; times are Unix seconds, 0 = not yet.

    Attributes:
        body: Digest of the plan as asked for: a repeat of the creation is the same body.
        reason: Of a pause, a rollback or an end.
        paused_from: State to which ``resume`` returns.
        changed: When the state or step last changed.
        due: When a timer of the present state fires.
        steps: Steps begun so far.
        before: What each segment served of the model when it started; None = nothing.
        marks: By segment.
        needed_approvals: How many people other than the author must agree.
        alias: "", "wanted" (the champion alias has still to move), "moved" or "given_up".
        frozen: Counts and evidence at the end, as JSON; "" before.
        version: Of the record, for compare-and-set.
    """

    rollout_id: str
    plan: Plan
    body: str
    created_by: str
    created: float
    state: str = "draft"
    reason: str = ""
    paused_from: str = ""
    stable: str = ""
    stable_release: int = 0
    candidate_release: int = 0
    step: int = 0
    started: float = 0.0
    finished: float = 0.0
    changed: float = 0.0
    due: float = 0.0
    steps: tuple[StepStart, ...] = ()
    before: Mapping[str, Entry | None] = field(default_factory=dict)
    marks: Mapping[str, Mark] = field(default_factory=dict)
    overrides: Overrides = Overrides()
    needed_approvals: int = 0
    approvals: tuple[str, ...] = ()
    estimate: Estimate = NO_ESTIMATE
    alias: str = ""
    frozen: str = ""
    sequence: int = 0
    version: int = 0

    @property
    def first_release(self) -> bool:
        """Whether nothing was served before: golden set and probation decide."""
        return not self.stable

    @property
    def on_last_step(self) -> bool:
        """Whether the next widening is the promotion."""
        return self.step >= len(self.plan.canary_steps) - 1

    @property
    def step_start(self) -> StepStart:
        """The step that runs."""
        return self.steps[-1] if self.steps else StepStart(0, 0, self.started)

    @property
    def in_shadow(self) -> bool:
        """Whether the candidate is shown requests and answers nobody."""
        return self.state in {"running", "paused"} and bool(self.steps) and not self.steps[-1].width

    @property
    def generation(self) -> int:
        """Newest generation of any segment that this rollout caused."""
        return max((mark.last for mark in self.marks.values()), default=0)

    @property
    def revision(self) -> int:
        """Newest revision of the model in any segment that this rollout caused."""
        return max((mark.revision for mark in self.marks.values()), default=0)


def desired_entry(rollout: Rollout, segment: str, current: Entry | None) -> Entry | None:
    """Return what a segment must serve while a rollout is in its state: a function of the record alone.

    Args:
        rollout: After its change.
        segment: One of its targets.
        current: What the segment's policy says now; kept where the rollout has no say.
    """
    state = rollout.paused_from if rollout.state == "paused" else rollout.state
    candidate = (rollout.plan.candidate, rollout.candidate_release)
    stable = (rollout.stable, rollout.stable_release) if rollout.stable else None
    before = rollout.before.get(segment)
    if state == "running":
        arms = split_arms(stable, candidate, rollout.step_start.width)
    elif state == "promoting":
        arms = whole(candidate, "candidate")
    elif state == "succeeded":
        arms = whole(candidate, "stable")
    elif state in {"rolling_back", "rollback_incomplete", "rolled_back"}:
        if stable is None or before is None:
            return None
        arms = whole(stable, "stable")
    elif state == "aborted" and current is not None:
        return replace(current, hold=False, shadow=None)
    else:
        return current
    return Entry(
        model=rollout.plan.model,
        rollout=rollout.rollout_id,
        unit=rollout.plan.unit,
        arms=arms,
        probation_s=rollout.plan.preset.probation_s,
        rollback_to=_kept(rollout, before),
        hold=rollout.state == "paused" and rollout.reason == "operator",
        shadow=Arm(0, 0, candidate[1], candidate[0], "shadow") if rollout.in_shadow else None,
    )


def _kept(rollout: Rollout, before: Entry | None) -> tuple[str, ...]:
    if rollout.state in {"rolling_back", "rollback_incomplete", "rolled_back"}:
        return tuple(one for one in (before.rollback_to if before else ()) if one != rollout.plan.candidate)
    return (rollout.stable,) if rollout.stable else ()


def share_of(width: int) -> float:
    """Return a width in buckets as a share of 1."""
    return width / BUCKETS
