"""Hold what members found who show a candidate, in spare time, what the stable version is asked."""

from dataclasses import dataclass

from onecode_rollout.domain.evaluation import Interval

ENOUGH_PAIRS = 200
"""Requests that a candidate must have been shown before its first step; as many as the largest golden set has rows."""


@dataclass(frozen=True, slots=True)
class Shadow:
    """What was found so far, over all members.

    Attributes:
        intervals: For each source requests shown to the candidate and those it failed on, and all requests of the
            stable version and its errors: the form of evidence, so that it is weighed by the same rule.
        pairs: Requests that the candidate was shown.
        different: Those to which it said something different.
        failed: Those that it failed on.
        dropped: Requests that there was no spare time for.
        largest: Largest difference between two answers: of scores where the contract has a class, else relative.
    """

    intervals: tuple[Interval, ...] = ()
    pairs: int = 0
    different: int = 0
    failed: int = 0
    dropped: int = 0
    largest: float = 0.0

    @property
    def last_start(self) -> int:
        """Start of the newest interval in which the candidate was shown a request; 0 = none."""
        return next((one.start for one in reversed(self.intervals) if any(cell[1] for cell in one.cells)), 0)

    @property
    def counts(self) -> dict[str, int | str]:
        """The numbers alone, as a decision keeps them."""
        return {
            "pairs": self.pairs,
            "different": self.different,
            "failed": self.failed,
            "dropped": self.dropped,
            "largest": repr(self.largest),
        }

    def in_words(self, candidate: str, stable: str) -> str:
        """Return one sentence.

        Args:
            candidate: Name of the version that is shown requests.
            stable: Name of the version that answers them.
        """
        if not self.pairs and self.dropped:
            return f"{self.dropped:,} requests came in shadow, and there was no spare time to show {candidate} any."
        if not self.pairs:
            return f"No traffic came in shadow: {candidate} was shown no request."
        apart = f", the largest difference is {self.largest:.3g}" if self.largest else ""
        return (
            f"In shadow {candidate} was shown {self.pairs:,} requests: it answers {self.different:,} of them"
            f" differently from {stable}{apart}, and fails on {self.failed:,}."
        )


NO_SHADOW = Shadow()
"""Nothing was shown."""
