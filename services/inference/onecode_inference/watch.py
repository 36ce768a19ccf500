"""Watch a version in its probation: how long it served, how it did against the version before it."""

from dataclasses import dataclass

from onecode_inference.state import ModelState
from onecode_serving.counters import Counters, Totals
from onecode_serving.domain.probation import Baseline, Judgement, Observation, judge


@dataclass(slots=True)
class Watch:
    """One version in probation.

    Attributes:
        digest: The version.
        probation_s: How long it is watched.
        since: Its totals when it was switched to, so that only what follows counts.
        baseline: What the version before it did.
        last: When time was last added, on a monotonic clock.
    """

    digest: str
    probation_s: float
    since: Totals
    baseline: Baseline
    last: float

    @classmethod
    def begin(cls, digest: str, before: str, probation_s: float, counters: Counters, now: float) -> "Watch":
        """Return a watch that begins now; ``before`` is the digest of the version before it, empty if there is none."""
        old = counters.totals(before)
        baseline = Baseline(old.requests, old.errors, old.non_finite, exists=bool(before))
        return cls(digest, probation_s, counters.totals(digest), baseline, now)

    def look(self, state: ModelState, counters: Counters, now: float) -> Judgement:
        """Add the time that passed and judge."""
        state.served_s += max(0.0, now - self.last)
        self.last = now
        totals = counters.totals(self.digest)
        seen = Observation(
            serving_s=state.served_s,
            requests=totals.requests - self.since.requests,
            errors=totals.errors - self.since.errors,
            non_finite=totals.non_finite - self.since.non_finite,
            starts=state.starts,
        )
        return judge(seen, self.baseline, self.probation_s)
