"""Turn what somebody wrote into a ModelRollout object into commands, each given once.

An object says what should be, not what to do. What was asked of us before is remembered beside the rollout, so that
only a *change* of the object's word acts: whoever pauses or resumes by hand is not overruled by the next look at an
unchanged object. The database stays the truth; the object is one more face of it.
"""

import hashlib
from dataclasses import dataclass, replace

from onecode_rollout.domain.plan import DEFAULT_STEPS, Plan, Preset, Step
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.states import TERMINAL

NOT_STARTED = frozenset({"draft", "awaiting_approval", "scheduled"})
_MOVING = frozenset({"running", "promoting"})
_LONGEST_ID = 100
_KEPT = 80
_NO_PRESET = Preset("", 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)
"""Nothing of its own: all values are those that the name stands for."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The spec of one ModelRollout.

    Attributes:
        generation: Grows with each change of the spec.
        version: Release number of the model.
        shadow_s: Seconds before the first step in which the version is shown requests and answers nobody; 0 = none.
        paused: Nothing moves while it is true.
        advance_to: Gates before this step (1 = first) are opened by hand; 0 = none.
        withdrawn: The version is taken back everywhere, for good.
    """

    namespace: str
    name: str
    generation: int
    model: str
    version: int
    segments: tuple[str, ...]
    unit: str = "request"
    preset: str = "standard"
    steps: tuple[Step, ...] = ()
    shadow_s: int = 0
    paused: bool = False
    advance_to: int = 0
    withdrawn: bool = False

    @property
    def rollout_id(self) -> str:
        """Id of its rollout: the same object made again finds the same rollout."""
        return rollout_id(self.namespace, self.name)

    def plan(self, digest: str) -> tuple[Plan, Preset]:
        """Return what to ask for, once the version's digest is known."""
        plan = Plan(
            model=self.model,
            candidate=digest,
            segments=self.segments,
            unit=self.unit,
            steps=self.steps,
            shadow_s=self.shadow_s,
        )
        return plan, replace(_NO_PRESET, name=self.preset)


@dataclass(frozen=True, slots=True)
class Followed:
    """What is remembered of an object.

    Attributes:
        paused: What it asked for last, and was carried out.
        present: Whether it exists.
    """

    namespace: str
    name: str
    rollout_id: str
    paused: bool = False
    present: bool = True


def rollout_id(namespace: str, name: str) -> str:
    """Return ``namespace:name``; a long one ends with a digest instead, so that it fits and stays unique."""
    plain = f"{namespace}:{name}"
    if len(plain) <= _LONGEST_ID:
        return plain
    return f"{plain[:_KEPT]}.{hashlib.sha256(plain.encode()).hexdigest()[:16]}"


def difference(wish: Wish, rollout: Rollout) -> str:
    """Return the first field in which a rollout is not the one that an object asks for, or nothing.

    An object cannot change these fields; one that was deleted and made again under its old name can.
    """
    plan = rollout.plan
    same = {
        "model": plan.model == wish.model,
        "version": rollout.candidate_release == wish.version,
        "segments": set(plan.segments) == set(wish.segments),
        "unit": plan.unit == wish.unit,
        "preset": plan.preset.name == wish.preset,
        "steps": plan.steps == (wish.steps or DEFAULT_STEPS),
        "shadowSeconds": plan.shadow_s == wish.shadow_s,
    }
    return next((name for name, is_same in same.items() if not is_same), "")


def command(wish: Wish, followed: Followed, rollout: Rollout | None) -> str:
    """Return what to do now: create, cancel, rollback, pause, resume, open_gate, or nothing ("").

    Args:
        wish: What the object says.
        followed: What it said before.
        rollout: Its rollout, if there is one.
    """
    if rollout is None:
        return "" if wish.paused or wish.withdrawn else "create"
    if rollout.state in TERMINAL:
        return ""
    if wish.withdrawn:
        if rollout.state in NOT_STARTED:
            return "cancel"
        return "rollback" if rollout.state in {*_MOVING, "paused"} else ""
    if wish.paused != followed.paused:
        return _stop_or_go(rollout, paused=wish.paused)
    held_at_gate = rollout.state == "paused" and rollout.reason == "gate"
    return "open_gate" if held_at_gate and not wish.paused and wish.advance_to >= rollout.step + 2 else ""


def command_without(followed: Followed, rollout: Rollout | None) -> str:
    """Return what to do for an object that is gone: hold what moves, never more."""
    if rollout is None or followed.paused or rollout.state in TERMINAL:
        return ""
    return _stop_or_go(rollout, paused=True)


def carried_out(rollout: Rollout | None, *, paused: bool) -> bool:
    """Whether a wish to pause or to go on was met, so that it may be remembered; what has ended meets none."""
    if rollout is None or rollout.state in TERMINAL:
        return False
    if paused:
        return rollout.state == "paused" and rollout.reason == "operator"
    return not (rollout.state == "paused" and rollout.reason == "operator")


def _stop_or_go(rollout: Rollout, *, paused: bool) -> str:
    if paused:
        # One that is held for another reason, or has not begun, is paused when it moves again.
        return "pause" if rollout.state in _MOVING else ""
    return "resume" if rollout.state == "paused" and rollout.reason == "operator" else ""
