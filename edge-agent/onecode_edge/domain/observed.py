"""Count what a version did on this gateway; the rules of ``onecode_serving.domain.probation`` judge it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Observed:
    """Answers, bad ones, and those of them that were NaN or infinite."""

    requests: int = 0
    errors: int = 0
    non_finite: int = 0

    def __add__(self, other: "Observed") -> "Observed":
        return Observed(self.requests + other.requests, self.errors + other.errors, self.non_finite + other.non_finite)
