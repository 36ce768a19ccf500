"""Judge a new version by what it does here, without asking anybody: commit it, go on watching, or revert.

The same rules hold on a gateway that has been offline for a week and in the cloud. They must therefore be right at
any number of looks: errors are judged by an always-valid test (a mixture of likelihood ratios, which exceeds
1/level with probability at most ``level``, ever).
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEVEL = 0.001
"""Probability of ever reverting a version whose error rate is at most p0."""

LEAST_P0 = 0.02
MOST_P0 = 0.89
MULTIPLES = (1.5, 2.5, 5.0, 10.0, 25.0)
"""Alternatives, as multiples of p0, none above :data:`HIGHEST`."""

HIGHEST = 0.9
NON_FINITE_LIMIT = 3
CRASH_LIMIT = 3
CRASH_WINDOW_S = 300.0
HANG_LIMIT = 2
START_LIMIT = 3

CONTINUE = "continue"
COMMIT = "commit"
REVERT = "revert"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What the old version did here in its last day (or since this process started).

    Attributes:
        exists: False for a model's first release: then there is nothing to be worse than.
    """

    requests: int = 0
    errors: int = 0
    non_finite: int = 0
    exists: bool = True

    @property
    def p0(self) -> float:
        """The error rate that the new version may have: twice the old one's, at least 2 %."""
        rate = self.errors / self.requests if self.requests else 0.0
        return min(max(2 * rate, LEAST_P0), MOST_P0)


@dataclass(frozen=True, slots=True)
class Observation:
    """What the new version did since it was switched to.

    Attributes:
        serving_s: Time that it could have answered; a pause or a power cut does not count.
        crashes: When its process died, in seconds on any one clock.
        hung: Requests that took longer than ten seconds.
        starts: How often its process was started again while it was in probation.
    """

    serving_s: float
    requests: int = 0
    errors: int = 0
    non_finite: int = 0
    crashes: tuple[float, ...] = ()
    hung: int = 0
    starts: int = 0


@dataclass(frozen=True, slots=True)
class Judgement:
    """What to do now.

    Attributes:
        kind: ``continue``, ``commit`` (after the golden set was asked once more) or ``revert``.
        cause: Of a revert: ``crash``, ``hang``, ``non_finite`` or ``errors``.
        evidence: Of a commit: ``traffic`` or ``golden``.
        detail: One sentence for people.
        log_e: Natural logarithm of the evidence for "more errors than p0".
    """

    kind: str
    cause: str = ""
    evidence: str = ""
    detail: str = ""
    log_e: float = 0.0


def error_evidence(bad: int, total: int, p0: float) -> float:
    """Return ln of the evidence that the error rate exceeds p0, after ``bad`` of ``total`` requests."""
    terms = []
    for multiple in MULTIPLES:
        rate = min(p0 * multiple, HIGHEST)
        terms.append(bad * math.log(rate / p0) + (total - bad) * math.log((1 - rate) / (1 - p0)))
    top = max(terms)
    return top + math.log(sum(math.exp(term - top) for term in terms) / len(terms))


def crashes_within(crashes: Sequence[float], window_s: float) -> int:
    """Return the largest number of crashes in any window of this length."""
    times = sorted(crashes)
    return max((sum(1 for later in times if start <= later <= start + window_s) for start in times), default=0)


def judge(observation: Observation, baseline: Baseline, probation_s: float) -> Judgement:
    """Return what to do with a version in probation; a rule that is broken wins over a probation that is over."""
    crashes = crashes_within(observation.crashes, CRASH_WINDOW_S)
    if crashes >= CRASH_LIMIT or observation.starts >= START_LIMIT:
        detail = f"{crashes} crashes in {CRASH_WINDOW_S:.0f} s, {observation.starts} starts in probation"
        return Judgement(REVERT, "crash", detail=detail)
    if observation.hung >= HANG_LIMIT:
        return Judgement(REVERT, "hang", detail=f"{observation.hung} requests hung")
    if baseline.exists and observation.non_finite >= NON_FINITE_LIMIT and baseline.non_finite == 0:
        detail = (
            f"{observation.non_finite} non-finite outputs in {observation.requests} requests, the old version had none"
        )
        return Judgement(REVERT, "non_finite", detail=detail)
    log_e = error_evidence(observation.errors, observation.requests, baseline.p0)
    if log_e >= -math.log(LEVEL):
        detail = f"{observation.errors} errors in {observation.requests} requests, allowed are {baseline.p0:.1%}"
        return Judgement(REVERT, "errors", detail=detail, log_e=log_e)
    if observation.serving_s >= probation_s:
        return Judgement(COMMIT, evidence="traffic" if observation.requests else "golden", log_e=log_e)
    return Judgement(CONTINUE, log_e=log_e)
