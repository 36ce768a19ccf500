"""Gather all that a decision may look at, so that deciding needs nothing else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onecode_common.assignment import BUCKETS
from onecode_rollout.domain.evaluation import Answer, Interval, Question, answer, counted_starts
from onecode_rollout.domain.members import SERVING, Installs, Member, action_state, installs
from onecode_rollout.domain.rollout import Rollout, share_of
from onecode_rollout.domain.shadow import NO_SHADOW, Shadow
from onecode_rollout.domain.verdict import Params

_SETTLING_S = 5.0
"""Longest time between a gateway's report of a policy and its first request under it, with two intervals added."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A source whose counters cannot be believed; it counts for neither arm."""

    source: str
    cause: str


@dataclass(frozen=True, slots=True)
class Situation:
    """What is known about a rollout.

    Attributes:
        suspects: Only those that nobody has looked at yet.
        exposed: When a source was first known to follow a step's policy, by (source, step).
        slots_free: No other rollout holds a slot that this one needs.
        now: Unix seconds.
        shadow: What the candidate was found to say while it answered nobody.
    """

    rollout: Rollout
    members: Sequence[Member]
    intervals: tuple[Interval, ...]
    suspects: Sequence[Suspect]
    exposed: Mapping[tuple[str, int], float]
    slots_free: bool
    now: float
    shadow: Shadow = NO_SHADOW

    @property
    def counts(self) -> Installs:
        """How the installations went."""
        return installs(self.members, self.now, self.rollout.plan.preset.lost_after_s)

    @property
    def last_counted(self) -> float:
        """End of the newest interval that was evidence; 0 = none."""
        if self.rollout.in_shadow:
            last = self.shadow.last_start
            return last + self.rollout.plan.preset.interval_s if last else 0.0
        starts = counted_starts(self.intervals)
        return starts[-1] + self.rollout.plan.preset.interval_s if starts else 0.0

    @property
    def observed_s(self) -> float:
        """Seconds of evidence since the start: whole intervals, not time of day."""
        return self._observed(0.0)

    @property
    def step_observed_s(self) -> float:
        """Seconds of evidence in this step."""
        return self._observed(self.rollout.step_start.at)

    @property
    def step_is_observed(self) -> bool:
        """Whether the step has lasted long enough; waves of gateways are timed, requests need evidence."""
        wanted = self.rollout.plan.min_observe_s(self.rollout.step)
        if self.rollout.plan.unit == "gateway":
            return self.now - self.rollout.step_start.at >= wanted
        return self.step_observed_s >= wanted

    def _observed(self, since: float) -> float:
        length = self.rollout.plan.preset.interval_s
        return float(
            length * sum(since <= start and start + length <= self.now for start in counted_starts(self.intervals))
        )


def question(situation: Situation) -> Question:
    """Return what has to be weighed now."""
    rollout = situation.rollout
    counts = situation.counts
    promotable = rollout.state == "running" and rollout.on_last_step and situation.step_is_observed
    return Question(
        intervals=situation.shadow.intervals if rollout.in_shadow else situation.intervals,
        params=_params(rollout),
        promotable=promotable and not rollout.first_release and not rollout.in_shadow,
        step=rollout.step,
        outcomes=counts.outcomes,
        failures=len(counts.failed),
        windows=windows(situation),
    )


def weigh(situation: Situation) -> tuple[Question, Answer]:
    """Return the question of this moment and its answer."""
    asked = question(situation)
    return asked, answer(asked)


def windows(situation: Situation) -> tuple[tuple[int, int, float], ...]:
    """Return the counts for the check of the split, one window a step.

    Only requests are drawn at random one by one; a source counts from two intervals after it was known to
    follow the step, and only while it can serve both versions.
    """
    rollout = situation.rollout
    if rollout.plan.unit != "request" or rollout.first_release:
        return ()
    lost_after = rollout.plan.preset.lost_after_s
    able = {m.source for m in situation.members if action_state(m, situation.now, lost_after) in SERVING}
    found = []
    for index, begun in enumerate(rollout.steps):
        if not 0 < begun.width < BUCKETS:
            continue
        end = rollout.steps[index + 1].at if index + 1 < len(rollout.steps) else _end(situation)
        candidates, units = _window(situation, begun.step, end, able)
        if units:
            found.append((candidates, units, share_of(begun.width)))
    return tuple(found)


def _end(situation: Situation) -> float:
    rollout = situation.rollout
    frozen = rollout.state in {"running", "paused"} and rollout.paused_from != "promoting"
    return situation.now if frozen else rollout.changed


def _window(situation: Situation, step: int, end: float, able: set[str]) -> tuple[int, int]:
    length = situation.rollout.plan.preset.interval_s
    candidates = units = 0
    for interval in situation.intervals:
        if interval.start + length > end:
            continue
        for source, n_c, _, n_b, _ in interval.cells:
            since = situation.exposed.get((source, step))
            if source in able and since is not None and interval.start >= since + 2 * length + _SETTLING_S:
                candidates, units = candidates + n_c, units + n_c + n_b
    return candidates, units


def _params(rollout: Rollout) -> Params:
    accepted = rollout.overrides.shadow if rollout.in_shadow else rollout.overrides.worse
    return replace(rollout.plan.preset.params, worse_offset=accepted)
