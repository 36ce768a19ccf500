"""Weigh counters as bets that stay honest however often one looks: e-processes, as sums of log odds.

Two questions are asked. *Between the arms*: given that a bad event happened, was it the candidate's more
often than its share of the traffic explains? The base rate cancels, so that shared incidents, daily cycles
and ramps do no harm. *Of one arm*: is its rate below a line? Each answer is a non-negative supermartingale
under the hypothesis that it tries to refute, so it reaches ``1/level`` with probability ``level`` at most,
at any schedule of looks (Ville). Only :mod:`math` is used: the same counters give the same bits.
"""

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import NamedTuple

WORSE_EFFECTS = (1.25, 1.5, 2.0, 3.0, 5.0, 10.0, 30.0)
"""Multiples of the tolerated ratio that the evidence for "worse" bets on, equally."""

BETTER_RATIOS = (0.25, 0.5, 0.65, 0.8, 1.0)
"""Ratios candidate/stable that the evidence for "good enough" bets on, equally."""

BELOW_PARTS = (0.1, 0.25, 0.5, 0.75)
"""Parts of a limit that the evidence for "the rate is below the limit" bets on."""

STOP_LIMIT = 0.02
"""Share of failing installations that is still tolerated."""

STOP_RATES = (0.03, 0.05, 0.10, 0.20, 0.50)
"""Failure rates that the evidence for "too many installations fail" bets on."""

FLEET_GATES = (0.10, 0.05, 0.03)
"""Failure rates that must be refuted before the second, third and fourth wave of gateways."""

FLEET_GATE_PARTS = (0.05, 0.1, 0.25, 0.5)
"""Parts of a wave's limit that its gate bets on."""

FLEET_LEVEL = math.log(100)
"""Log odds at which installations are judged: level 1 %."""

ALLOCATION_MULTIPLES = (0.5, 0.8, 1.25, 2.0)
"""Multiples of the planned odds that the check of the split bets on."""

ALLOCATION_LEVEL = math.log(1000)
"""Log odds at which a split is not the planned one."""


class Cell(NamedTuple):
    """Counters of one interval in one stratum: units and bad events of candidate and stable."""

    n_c: int
    k_c: int
    n_b: int
    k_b: int

    @property
    def counts(self) -> bool:
        """Whether both arms were seen: no data is no evidence."""
        return self.n_c >= 1 and self.n_b >= 1

    @property
    def possible(self) -> bool:
        """Whether 0 <= k <= n holds for both arms, with finite whole numbers (NaN fails every comparison)."""
        return (0 <= self.k_c <= self.n_c < math.inf) and (0 <= self.k_b <= self.n_b < math.inf)


def log_mean_exp(values: Sequence[float]) -> float:
    """Return ``ln mean exp(v)`` without overflow: the log odds of a mixture of equal bets."""
    top = max(values)
    return top + math.log(sum(math.exp(value - top) for value in values) / len(values))


def worse_ratios(tolerated: float) -> tuple[float, ...]:
    """Return the ratios that evidence for "worse than tolerated" bets on."""
    return tuple(tolerated * effect for effect in WORSE_EFFECTS)


@lru_cache(maxsize=1 << 17)
def contribution(cell: Cell, null: float, ratios: tuple[float, ...], share: float | None = None) -> tuple[float, ...]:
    """Return what one cell adds to the log odds of each ratio against ``null``.

    Args:
        cell: Counters; without both arms, or without a bad event, every term is exactly 0.
        null: Ratio that the evidence tries to refute.
        ratios: Ratios that are bet on.
        share: Planned share of the candidate; None takes the observed one, which errs on the safe side.
    """
    if not cell.counts or not (cell.k_c or cell.k_b):
        return (0.0,) * len(ratios)
    rho = cell.n_c / (cell.n_c + cell.n_b) if share is None else share
    base = rho * null + 1 - rho
    terms = []
    for ratio in ratios:
        mixed = rho * ratio + 1 - rho
        candidates = math.log(ratio / null * base / mixed)
        stables = math.log(base / mixed)
        terms.append(cell.k_c * candidates + cell.k_b * stables)
    return tuple(terms)


def ratio_evidence(cells: Sequence[Cell], null: float, ratios: tuple[float, ...], share: float | None = None) -> float:
    """Return the log odds that the candidate's ratio lies with ``ratios`` and not at ``null``; summed cell by cell."""
    sums = [0.0] * len(ratios)
    for cell in cells:
        for index, term in enumerate(contribution(cell, null, ratios, share)):
            sums[index] += term
    return log_mean_exp(sums)


def rate_evidence(n: int, k: int, limit: float, rates: Sequence[float]) -> float:
    """Return the log odds that a rate is one of ``rates`` and not ``limit``, after ``k`` bad of ``n``."""
    return log_mean_exp([k * math.log(rate / limit) + (n - k) * math.log((1 - rate) / (1 - limit)) for rate in rates])


def below_evidence(n: int, k: int, limit: float) -> float:
    """Return the log odds that the rate is below the limit (requests)."""
    return rate_evidence(n, k, limit, [limit * part for part in BELOW_PARTS])


def stop_evidence(outcomes: int, failures: int) -> float:
    """Return the log odds that more installations fail than :data:`STOP_LIMIT`."""
    return rate_evidence(outcomes, failures, STOP_LIMIT, STOP_RATES)


def wave_evidence(outcomes: int, failures: int, limit: float) -> float:
    """Return the log odds that fewer installations fail than ``limit`` (gates of waves)."""
    return rate_evidence(outcomes, failures, limit, [limit * part for part in FLEET_GATE_PARTS])


def allocation_evidence(windows: Sequence[tuple[int, int, float]]) -> float:
    """Return the log odds that units are not split as planned.

    Args:
        windows: For each window of one planned share: units of the candidate, all units, the planned share
            (0 < share < 1). The terms add up, so that a ramp is no false alarm.
    """
    sums = [0.0] * len(ALLOCATION_MULTIPLES)
    for candidates, units, share in windows:
        odds = share / (1 - share)
        for index, multiple in enumerate(ALLOCATION_MULTIPLES):
            other = odds * multiple / (1 + odds * multiple)
            sums[index] += candidates * math.log(other / share)
            sums[index] += (units - candidates) * math.log((1 - other) / (1 - share))
    return log_mean_exp(sums)
