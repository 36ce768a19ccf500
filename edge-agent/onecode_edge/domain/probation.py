"""Judge a new version by what it does on this gateway alone, without a word from the cloud.

One gateway sees little, so it convicts only on strong evidence: what it lets pass, the fleet's verdict finds.
"""

import math
from dataclasses import dataclass

LEVEL = math.log(1000)
"""Evidence at which a version is sent back: one in a thousand good ones."""

LEAST_RATE = 0.02
"""Bad answers below this rate are tolerated, whatever the old version did."""

MAX_NON_FINITE = 3
_MULTIPLES = (1.5, 2.5, 5.0, 10.0, 25.0)
_HIGHEST = 0.9


@dataclass(frozen=True, slots=True)
class Observed:
    """What one version did: answers, bad ones, and those of them that were NaN or infinite."""

    requests: int = 0
    errors: int = 0
    non_finite: int = 0

    def __add__(self, other: "Observed") -> "Observed":
        return Observed(self.requests + other.requests, self.errors + other.errors, self.non_finite + other.non_finite)


def log_evidence(observed: Observed, tolerated: float) -> float:
    """Return ln of the odds that the version errs more often than tolerated.

    One-sample e-process: the mean over alternatives a of (a/p0)^k ((1-a)/(1-p0))^(n-k); it may be looked at any time.
    """
    n, k = observed.requests, observed.errors
    terms = []
    for multiple in _MULTIPLES:
        rate = min(multiple * tolerated, _HIGHEST)
        terms.append(k * math.log(rate / tolerated) + (n - k) * math.log((1 - rate) / (1 - tolerated)))
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms) / len(terms))


def tolerated_rate(before: Observed) -> float:
    """Return the rate of bad answers that is tolerated, from the last day of the version before."""
    rate = before.errors / before.requests if before.requests else 0.0
    return min(max(2 * rate, LEAST_RATE), _HIGHEST / 2)


def verdict(new: Observed, before: Observed) -> str:
    """Return why the new version must go back: ``non_finite``, ``errors``, or nothing.

    Args:
        new: Since it began to serve here.
        before: The version that it replaces, over its last day.
    """
    if new.non_finite >= MAX_NON_FINITE and before.non_finite == 0:
        return "non_finite"
    if new.errors and log_evidence(new, tolerated_rate(before)) >= LEVEL:
        return "errors"
    return ""
