"""Rollouts: release a version step by step, watch the evidence, step in."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from onecode_client.nouns import Noun, part, wait_until
from onecode_client.results import Decision, Rollout
from onecode_common.ids import new_id

_EVERY_S = 1.0
_FULL = 10_000
DEFAULT_SHARES = (1_000, 5_000, _FULL)
"""10 %, 50 %, 100 %, in basis points of the unit."""

Plan = Mapping[str, Any]


def make_plan(
    model: str,
    candidate: str,
    segments: Sequence[str],
    *,
    shares: Sequence[int] = DEFAULT_SHARES,
    unit: str = "request",
    preset: Mapping[str, Any] | None = None,
    shadow_s: int = 0,
) -> dict[str, Any]:
    """Return a plan as the contract writes it.

    Args:
        model: Name.
        candidate: Digest of the version to release.
        segments: Where; ``cloud`` is one of them.
        shares: Basis points of the unit that see the candidate, step by step.
        unit: ``request``, ``key`` or ``gateway``.
        preset: Times and statistics; what is left out is the server's default.
        shadow_s: Seconds before the first step in which the candidate is shown requests and answers nobody.
    """
    return {
        "model": model,
        "candidate": candidate,
        "segments": list(segments),
        "unit": f"UNIT_{unit.upper()}",
        "steps": [{"share": share} for share in shares],
        **({"preset": dict(preset)} if preset else {}),
        **({"shadow_seconds": shadow_s} if shadow_s else {}),
    }


class Rollouts(Noun):
    """Gray releases."""

    def plan(self, plan: Plan, *, requests_per_second: float = 1.0, error_rate: float = 0.001) -> Mapping[str, Any]:
        """Return what a plan would need at this traffic; nothing is started."""
        body = {"plan": dict(plan), "requests_per_second": requests_per_second, "error_rate": error_rate}
        answer: dict[str, Any] = self._rest.post("/rollouts/plan", body)
        return answer

    def start(self, plan: Plan, *, rollout_id: str = "") -> Rollout:
        """Start a rollout.

        Args:
            plan: See :func:`make_plan`.
            rollout_id: Own id, so that a repetition starts nothing twice.

        Raises:
            InvalidError: The plan does not fit.
            ConflictError: The id is taken, or another rollout of the model runs there.
        """
        body = {"rollout_id": rollout_id or new_id("ro"), "plan": dict(plan)}
        return Rollout.read(self._rest.post("/rollouts", body)["rollout"])

    def get(self, rollout_id: str) -> Rollout:
        """Return a rollout."""
        return Rollout.read(self._rest.get(f"/rollouts/{part(rollout_id)}")["rollout"])

    def list(self, *, model: str | None = None) -> Sequence[Rollout]:
        """Return all rollouts, newest first, or those of a model."""
        return [Rollout.read(one) for one in self._pages("/rollouts", "rollouts", model=model)]

    def explain(self, rollout_id: str) -> Sequence[Decision]:
        """Return every decision, replayed from the stored counters."""
        answer = self._rest.get(f"/rollouts/{part(rollout_id)}/explain")
        return [Decision.read(one) for one in answer.get("decisions", [])]

    def pause(self, rollout_id: str, *, reason: str = "") -> Rollout:
        """Hold the split as it is; nothing is decided meanwhile."""
        return self._act(rollout_id, "pause", reason=reason)

    def resume(self, rollout_id: str, *, reason: str = "", override: bool = False) -> Rollout:
        """Go on after a pause.

        Args:
            rollout_id: Which.
            reason: Kept in the decision log.
            override: Go on although a rule paused it.
        """
        return self._act(rollout_id, "resume", reason=reason, override=override)

    def promote(self, rollout_id: str, *, reason: str = "", force: bool = False) -> Rollout:
        """Take the next step before the evidence does.

        Args:
            rollout_id: Which.
            reason: Kept in the decision log.
            force: Also against the evidence.
        """
        return self._act(rollout_id, "promote", reason=reason, force=force)

    def abort(self, rollout_id: str, *, reason: str = "", revert: bool = True) -> Rollout:
        """End it: back to the stable version, or with ``revert=False`` leaving the split as it is."""
        return self._act(rollout_id, "abort", reason=reason, revert=revert)

    def rollback(self, rollout_id: str, *, reason: str = "") -> Rollout:
        """Send everybody back to the stable version."""
        return self._act(rollout_id, "rollback", reason=reason)

    def approve(self, rollout_id: str, *, reason: str = "", reject: bool = False) -> Rollout:
        """Approve a rollout that waits for it, or reject it."""
        return self._act(rollout_id, "approve", reason=reason, reject=reject)

    def cancel(self, rollout_id: str) -> Rollout:
        """Withdraw a rollout that has not begun."""
        return self._act(rollout_id, "cancel")

    def wait(
        self,
        rollout_id: str,
        *,
        timeout_s: float | None = None,
        on_change: Callable[[Rollout], None] = lambda _rollout: None,
    ) -> Rollout:
        """Return the rollout when it has ended, well or not.

        Raises:
            WorkTimeoutError: It has not, in time.
        """

        def look() -> Rollout:
            rollout = self.get(rollout_id)
            on_change(rollout)
            return rollout

        return wait_until(look, lambda rollout: rollout.ended, timeout_s, _EVERY_S)

    def _act(self, rollout_id: str, verb: str, **body: Any) -> Rollout:
        return Rollout.read(self._rest.post(f"/rollouts/{part(rollout_id)}/{verb}", body)["rollout"])
