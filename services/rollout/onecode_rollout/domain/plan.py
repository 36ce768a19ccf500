"""Turn what an operator asked for into a complete plan, or say which value cannot be."""

from dataclasses import dataclass, replace
from itertools import pairwise

from onecode_common.assignment import BUCKETS
from onecode_common.errors import InvalidError
from onecode_common.ids import check_name, hex_of
from onecode_rollout.domain.verdict import Params

UNITS = ("request", "key", "gateway")
ON_BAD = ("rollback", "hold", "ask")
DECIDING_METRICS = ("errors",)
"""Metrics that may decide; all others are recorded and shown."""

MAX_STEPS = 20
MAX_SEGMENTS = 100
_DAY_S = 86_400
_LONGEST_S = 90 * _DAY_S


@dataclass(frozen=True, slots=True)
class Step:
    """One widening.

    Attributes:
        share: Of the unit, in basis points.
        manual_gate: A person opens the gate behind this step.
        min_observe_s: Observed seconds before the gate may open; 0 = the preset's.
    """

    share: int
    manual_gate: bool = False
    min_observe_s: int = 0


@dataclass(frozen=True, slots=True)
class Preset:
    """How long to wait (times) and what to believe (levels and ratios)."""

    name: str = "standard"
    min_observe_s: int = 600
    probation_s: int = 1800
    interval_s: int = 60
    poll_s: int = 30
    report_s: int = 30
    no_data_after_s: int = 1800
    limit_s: int = 14_400
    lost_after_s: int = 7200
    alpha: float = 0.05
    beta: float = 0.01
    r0: float = 1.1
    r1: float = 1.5
    floor: float = 0.0005

    @property
    def params(self) -> Params:
        """The statistical part; times are the controller's affair."""
        return Params(self.alpha, self.r0, self.r1, self.beta, self.floor, no_data_after=0, limit=0)


PRESETS = {
    "standard": Preset(),
    "cautious": Preset(name="cautious", min_observe_s=3600, probation_s=7200, no_data_after_s=7200, limit_s=_DAY_S),
    "fast": Preset(
        name="fast",
        min_observe_s=60,
        probation_s=60,
        interval_s=10,
        poll_s=5,
        report_s=5,
        no_data_after_s=300,
        limit_s=3600,
        lost_after_s=600,
    ),
}
"""Times only; the statistics of all presets are the same."""

_TIMES = (
    "min_observe_s",
    "probation_s",
    "interval_s",
    "poll_s",
    "report_s",
    "no_data_after_s",
    "limit_s",
    "lost_after_s",
)
_LEVELS = ("alpha", "beta", "r0", "r1", "floor")


@dataclass(frozen=True, slots=True)
class Budget:
    """What to do when a metric is bad."""

    metric: str = "errors"
    must_pass: bool = True
    on_bad: str = "rollback"


@dataclass(frozen=True, slots=True)
class Plan:
    """A complete plan; see :func:`completed`.

    Attributes:
        shadow_s: Seconds before the first step in which the candidate is shown requests and answers nobody; 0 = none.
    """

    model: str
    candidate: str
    segments: tuple[str, ...]
    unit: str = "request"
    steps: tuple[Step, ...] = ()
    preset: Preset = PRESETS["standard"]
    metrics: tuple[Budget, ...] = (Budget(),)
    supersede: bool = False
    shadow_s: int = 0

    @property
    def canary_steps(self) -> tuple[Step, ...]:
        """Steps below everything; what follows them is the promotion."""
        return tuple(step for step in self.steps if step.share < BUCKETS)

    @property
    def on_bad(self) -> str:
        """What to do when errors are proven worse."""
        return self.metrics[0].on_bad

    def min_observe_s(self, step: int) -> int:
        """Observed seconds that a step lasts at least."""
        own = self.steps[step].min_observe_s if step < len(self.steps) else 0
        return own or self.preset.min_observe_s


DEFAULT_STEPS = tuple(Step(share) for share in (500, 1000, 2500, 5000, BUCKETS))


def completed(plan: Plan, given: Preset) -> Plan:
    """Return the plan with defaults filled in and checked.

    Args:
        plan: As asked for.
        given: The preset as asked for: a name, and values where not 0.

    Raises:
        InvalidError: A value cannot be; the message names it.
    """
    check_name(plan.model, "model")
    hex_of(plan.candidate)
    segments = tuple(dict.fromkeys(check_name(name, "segment") for name in plan.segments))
    if not segments or len(segments) > MAX_SEGMENTS:
        message = f"a plan names 1 to {MAX_SEGMENTS} segments, not {len(segments)}"
        raise InvalidError(message, code="plan.segments", hint="the cloud is the segment 'cloud'")
    if plan.unit not in UNITS:
        raise InvalidError(f"unit {plan.unit!r} is unknown: use one of {', '.join(UNITS)}", code="plan.unit")
    if not 0 <= plan.shadow_s <= _LONGEST_S:
        raise InvalidError(f"shadow_seconds {plan.shadow_s} is negative or too long", code="plan.shadow")
    return replace(
        plan,
        segments=segments,
        steps=_steps(plan.steps or DEFAULT_STEPS),
        preset=preset(given),
        metrics=_metrics(plan.metrics),
    )


def preset(given: Preset) -> Preset:
    """Return the named preset with the given values in place of its own (0 = its own).

    Raises:
        InvalidError: A value lies outside its range; a name without values is unknown.
    """
    own = {name: getattr(given, name) for name in (*_TIMES, *_LEVELS) if getattr(given, name)}
    name = given.name or "standard"
    if name not in PRESETS and not own:
        message = f"preset {name[:40]!r} is unknown: use {', '.join(PRESETS)} or give its times"
        raise InvalidError(message, code="plan.preset", params={"value": name[:40]})
    chosen = replace(PRESETS.get(name, PRESETS["standard"]), name=check_name(name, "preset"), **own)
    for field in _TIMES:
        if not 1 <= getattr(chosen, field) <= _LONGEST_S:
            raise _outside(field, getattr(chosen, field), f"1 to {_LONGEST_S} seconds")
    for field, low, high in (("alpha", 0, 0.5), ("beta", 0, 0.5), ("floor", 0, 0.5), ("r0", 0.99, 10), ("r1", 1, 100)):
        if not low < getattr(chosen, field) < high:
            raise _outside(field, getattr(chosen, field), f"between {low} and {high}")
    return chosen


def _outside(field: str, value: float, allowed: str) -> InvalidError:
    message = f"preset value {field} = {value} is not allowed: {allowed}"
    return InvalidError(message, code="plan.preset", params={"field": field, "value": value})


def _steps(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    shares = [step.share for step in steps]
    if len(steps) > MAX_STEPS:
        raise InvalidError(f"{len(steps)} steps are too many: at most {MAX_STEPS}", code="plan.steps")
    if any(not 1 <= share <= BUCKETS for share in shares):
        message = f"shares {shares} are not within 1 to {BUCKETS} basis points"
        raise InvalidError(message, code="plan.steps")
    if any(later <= earlier for earlier, later in pairwise(shares)):
        raise InvalidError(f"shares {shares} do not increase", code="plan.steps", hint="each step must be wider")
    if any(not 0 <= step.min_observe_s <= _LONGEST_S for step in steps):
        raise InvalidError("a step's min_observe_seconds is negative or too long", code="plan.steps")
    return steps


def _metrics(metrics: tuple[Budget, ...]) -> tuple[Budget, ...]:
    chosen = tuple(
        Budget(one.metric, must_pass=True, on_bad=one.on_bad or "rollback") for one in metrics or (Budget(),)
    )
    for one in chosen:
        if one.metric not in DECIDING_METRICS:
            message = f"metric {one.metric[:40]!r} cannot decide: known are {', '.join(DECIDING_METRICS)}"
            raise InvalidError(message, code="plan.metric", params={"metric": one.metric[:40]})
        if one.on_bad not in ON_BAD:
            message = f"on_bad {one.on_bad[:40]!r} is unknown: use one of {', '.join(ON_BAD)}"
            raise InvalidError(message, code="plan.on_bad", params={"value": one.on_bad[:40]})
    if len(chosen) > len(DECIDING_METRICS):
        raise InvalidError("a metric is named twice", code="plan.metric")
    return chosen
