"""Say on a ModelRollout object how its rollout stands, in words that kubectl, Flux and Argo CD understand.

No counters and no devices: a status changes when the rollout changes, not with each request. ``Ready`` and
``Stalled`` are what kstatus looks at: ready = released; stalled = a person must look, or it ended otherwise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from onecode_common.assignment import BUCKETS
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.states import TERMINAL
from onecode_rollout.domain.wish import Followed, Wish

WRITE_EVERY_S = 10.0
"""A status is written at most this often."""

YES, NO = "True", "False"
"""As conditions have it: words, not booleans."""

_LONGEST_MESSAGE = 1000


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a spec cannot be honoured; ``code`` is the dotted code of an error."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class _Condition:
    kind: str
    status: str
    reason: str
    message: str


def status_of(
    wish: Wish,
    followed: Followed,
    rollout: Rollout | None,
    sentence: str,
    refusal: Refusal | None,
    before: Mapping[str, Any],
    now: float,
) -> dict[str, Any]:
    """Return the status document.

    Args:
        wish: The spec that it answers.
        followed: What the object asked for before.
        rollout: Its rollout, if there is one.
        sentence: Of the last decision about it.
        refusal: Why the spec was not honoured.
        before: The status that the object has; a condition that stays keeps its time.
        now: Unix seconds.
    """
    conditions = [_accepted(wish, followed, rollout, refusal), *_progress(wish, rollout, sentence)]
    document: dict[str, Any] = {
        "observedGeneration": wish.generation,
        "conditions": [_timed(one, wish.generation, before, now) for one in conditions],
    }
    if rollout is None:
        return {**document, "state": "Refused" if refusal else "Waiting", "message": conditions[0].message}
    return {**document, **_facts(rollout, sentence)}


def patch_of(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7396) that turns one status into the other; empty when they are the same."""
    if before == after:
        return {}
    return {**dict(after), **{name: None for name in before if name not in after}}


def may_write(last: float | None, now: float) -> bool:
    """Whether enough time has passed since the last writing (seconds of a clock that never runs back)."""
    return last is None or now - last >= WRITE_EVERY_S


def _facts(rollout: Rollout, sentence: str) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "rolloutId": rollout.rollout_id,
        "state": _word(rollout.state),
        "progress": _steps_done(rollout),
        "share": f"{100 * _share(rollout) / BUCKETS:g}%",
        "message": sentence[:_LONGEST_MESSAGE],
    }
    if rollout.reason:
        facts["reason"] = _word(rollout.reason)
    if rollout.stable_release:
        facts["stableVersion"] = rollout.stable_release
    if rollout.started:
        facts["startedAt"] = _time(rollout.started)
    if rollout.finished:
        facts["finishedAt"] = _time(rollout.finished)
    return facts


def _accepted(wish: Wish, followed: Followed, rollout: Rollout | None, refusal: Refusal | None) -> _Condition:
    if refusal is not None:
        return _Condition("Accepted", NO, _reason(refusal.code), refusal.message)
    if rollout is None:
        what = "withdrawn" if wish.withdrawn else "paused"
        return _Condition("Accepted", YES, "NotBegun", f"spec.{what} is true: nothing was started.")
    if rollout.state == "succeeded" and wish.withdrawn:
        text = "It is released already. To go back, release the earlier version by a ModelRollout of its own."
        return _Condition("Accepted", NO, "TooLate", text)
    if rollout.state in TERMINAL and wish.paused and not followed.paused:
        return _Condition("Accepted", NO, "Ended", "spec.paused has no effect: the rollout has ended.")
    if wish.paused and followed.paused and rollout.state in {"running", "promoting"}:
        text = "spec.paused is true, but somebody resumed the rollout later, which counts."
        return _Condition("Accepted", YES, "Overridden", text)
    return _Condition("Accepted", YES, "Honoured", "The rollout follows this spec.")


def _progress(wish: Wish, rollout: Rollout | None, sentence: str) -> Sequence[_Condition]:
    if rollout is None:
        return (
            _Condition("Ready", NO, "NotBegun", f"Version {wish.version} is not released."),
            _Condition("Stalled", NO, "NotBegun", ""),
        )
    word = _word(rollout.state)
    needs_person = rollout.state in {"paused", "rollback_incomplete", "awaiting_approval"} or (
        rollout.state in TERMINAL - {"succeeded"}
    )
    reason = f"{word}{_word(rollout.reason)}" if needs_person and rollout.reason else word
    return (
        _Condition("Ready", YES if rollout.state == "succeeded" else NO, reason, sentence),
        _Condition("Stalled", YES if needs_person else NO, reason, sentence if needs_person else ""),
    )


def _timed(one: _Condition, generation: int, before: Mapping[str, Any], now: float) -> dict[str, Any]:
    old: Mapping[str, Any] = next(
        (known for known in before.get("conditions") or () if known.get("type") == one.kind), {}
    )
    since = old.get("lastTransitionTime") if old.get("status") == one.status else None
    return {
        "type": one.kind,
        "status": one.status,
        "reason": one.reason,
        "message": one.message[:_LONGEST_MESSAGE],
        "observedGeneration": generation,
        "lastTransitionTime": since or _time(now),
    }


def _steps_done(rollout: Rollout) -> str:
    steps = len(rollout.plan.steps)
    if not rollout.started or rollout.in_shadow:
        return f"0/{steps}"
    return f"{steps if rollout.state == 'succeeded' else min(rollout.step + 1, steps)}/{steps}"


def _share(rollout: Rollout) -> int:
    """Return how much the candidate gets, in buckets."""
    state = rollout.paused_from if rollout.state == "paused" else rollout.state
    if state in {"promoting", "succeeded"}:
        return BUCKETS
    return rollout.step_start.width if state in {"running", "aborted"} and rollout.started else 0


def _word(text: str) -> str:
    """Return ``rolling_back`` as ``RollingBack``."""
    return "".join(part[:1].upper() + part[1:] for part in text.replace(".", "_").split("_"))


def _reason(code: str) -> str:
    """Return an error's code as a condition's reason: letters and digits only."""
    return "".join(letter for letter in _word(code) if letter.isalnum()) or "Refused"


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
