"""Measure what the verdict does to healthy and broken candidates: thousands of simulated rollouts, one table.

Run ``python bench/rollout_verdicts.py [RUNS] [SEED]``. Each run draws minutes of traffic (1,000 requests a
minute; 5 % of them for 10 minutes, 10 % for 10, 25 % for 15, then 50 %; 240 minutes at most) and asks the
product's own :func:`onecode_rollout.domain.verdict.verdict`. 1 % of 10,000 runs has a standard error of 0.1 %.
"""

import json
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onecode_rollout.domain.verdict import Params, Verdict, verdict

MINUTES = 240
RATE = 1000
RUNS = 10_000
SEED = 20_261_121
RESULTS = Path(__file__).with_suffix(".json")
CHUNKS = 40

Counts = NDArray[np.int64]
Draw = Callable[[np.random.Generator, Counts, Counts], tuple[Counts, Counts]]


@dataclass(frozen=True)
class Result:
    """One row of the table; requests and minutes are None when nothing ended that way."""

    scenario: str
    runs: int
    rolled_back: float
    promoted: float
    open: float
    median_requests_to_rollback: float | None
    p95_requests_to_rollback: float | None
    median_minutes_to_promotion: float | None
    goal: str
    met: bool


def shares() -> NDArray[np.float64]:
    """Return the candidate's share in each minute."""
    return np.concatenate([np.full(10, 0.05), np.full(10, 0.10), np.full(15, 0.25), np.full(MINUTES - 35, 0.50)])


def rates(stable: float, candidate: float) -> Draw:
    """Return a scenario of two constant error rates."""

    def draw(random: np.random.Generator, n_c: Counts, n_b: Counts) -> tuple[Counts, Counts]:
        return random.binomial(n_c, candidate), random.binomial(n_b, stable)

    return draw


def shared_outage(random: np.random.Generator, n_c: Counts, n_b: Counts) -> tuple[Counts, Counts]:
    """Both versions fail one request in five from minute 30 to minute 45."""
    rate = np.full(MINUTES, 0.005)
    rate[30:45] = 0.2
    return random.binomial(n_c, rate), random.binomial(n_b, rate)


def no_errors(_random: np.random.Generator, n_c: Counts, n_b: Counts) -> tuple[Counts, Counts]:
    """Nobody fails."""
    return np.zeros_like(n_c), np.zeros_like(n_b)


class Goal(NamedTuple):
    """A field of the result and its limit."""

    field: str
    sign: str
    limit: float

    def met(self, row: Result) -> bool:
        """Whether the row keeps to it; nothing ended that way = not met."""
        value = getattr(row, self.field)
        return value is not None and (value <= self.limit if self.sign == "<=" else value >= self.limit)


SCENARIOS: dict[str, tuple[Draw, tuple[Goal, ...]]] = {
    "A healthy, 0.5 % both": (rates(0.005, 0.005), (Goal("rolled_back", "<=", 0.015),)),
    "B doubled, 0.5 -> 1 %": (
        rates(0.005, 0.010),
        (
            Goal("rolled_back", ">=", 0.999),
            Goal("median_requests_to_rollback", "<=", 3500),
            Goal("p95_requests_to_rollback", "<=", 13_000),
        ),
    ),
    "at the edge r0 = 1.1": (rates(0.005, 0.0055), (Goal("rolled_back", "<=", 0.05),)),
    "at r1 = 1.5": (rates(0.005, 0.0075), (Goal("promoted", "<=", 0.01),)),
    "tenfold, 0.5 -> 5 %": (rates(0.005, 0.05), (Goal("median_requests_to_rollback", "<=", 150),)),
    "shared outage": (shared_outage, (Goal("rolled_back", "<=", 0.01),)),
    "no errors at all": (no_errors, (Goal("rolled_back", "<=", 0.0),)),
}
"""Scenarios with their goals; the first two are the reference examples."""


def chunk(name: str, runs: int, seed: list[int]) -> list[tuple[str, int, int]]:
    """Return (kind, minute, candidate requests until then) of some runs."""
    random = np.random.default_rng(seed)
    draw = SCENARIOS[name][0]
    share = shares()
    params = Params(min_observe=10)
    found = []
    for _ in range(runs):
        n_c, n_b = random.poisson(RATE * share), random.poisson(RATE * (1 - share))
        k_c, k_b = draw(random, n_c, n_b)
        stable = list(zip(n_b.tolist(), k_b.tolist(), strict=True))
        canary = list(zip(n_c.tolist(), k_c.tolist(), strict=True))
        result: Verdict = verdict(stable, canary, params)
        at = result.at or MINUTES
        found.append((result.kind, at, int(n_c[:at].sum())))
    return found


def summary(name: str, outcomes: list[tuple[str, int, int]]) -> Result:
    """Return the row of a scenario."""
    runs, goals = len(outcomes), SCENARIOS[name][1]
    requests = [seen for kind, _, seen in outcomes if kind == "rollback"]
    minutes = [at for kind, at, _ in outcomes if kind == "promote"]
    row = Result(
        scenario=name,
        runs=runs,
        rolled_back=len(requests) / runs,
        promoted=len(minutes) / runs,
        open=1 - (len(requests) + len(minutes)) / runs,
        median_requests_to_rollback=float(np.median(requests)) if requests else None,
        p95_requests_to_rollback=float(np.quantile(requests, 0.95)) if requests else None,
        median_minutes_to_promotion=float(np.median(minutes)) if minutes else None,
        goal=", ".join(f"{goal.field} {goal.sign} {goal.limit:g}" for goal in goals),
        met=False,
    )
    return replace(row, met=all(goal.met(row) for goal in goals))


def main() -> int:
    """Print the table, keep it as JSON beside this file, and return 1 when a goal is missed."""
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else RUNS
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else SEED  # noqa: PLR2004 - the second argument
    results = []
    with ProcessPoolExecutor() as pool:
        for number, name in enumerate(SCENARIOS):
            sizes = [len(part) for part in np.array_split(np.arange(runs), min(CHUNKS, runs))]
            jobs = [pool.submit(chunk, name, size, [seed, number, part]) for part, size in enumerate(sizes)]
            results.append(summary(name, [outcome for job in jobs for outcome in job.result()]))
            print_row(results[-1])
    RESULTS.write_text(json.dumps({"seed": seed, "results": [asdict(one) for one in results]}, indent=1) + "\n")
    return 0 if all(one.met for one in results) else 1


def print_row(row: Result) -> None:
    """Print one row."""

    def number(value: float | None) -> str:
        return "-" if value is None else f"{value:,.0f}"

    print(
        f"{row.scenario:24} rolled back {100 * row.rolled_back:6.2f} %  promoted {100 * row.promoted:6.2f} %  "
        f"open {100 * row.open:6.2f} %  requests {number(row.median_requests_to_rollback):>7} "
        f"(p95 {number(row.p95_requests_to_rollback):>7})  minutes {number(row.median_minutes_to_promotion):>4}  "
        f"{'met' if row.met else 'MISSED'}: {row.goal}",
        flush=True,
    )


if __name__ == "__main__":
    sys.exit(main())
