"""Flood a dear model and see what the callers of a cheap one on the same server feel."""

from dataclasses import dataclass, replace

from bench.serving.job import Job
from bench.serving.load import drive
from bench.serving.overload import flood
from bench.serving.workers import Workers

DEADLINE_MS = 200
TIMES = 2.0
"""Of the dear model's capacity is asked for: its queue is as long as it may become."""

_FEW_S = 1.0


@dataclass(frozen=True)
class TwoModels:
    """The cheap model's p99 without and with the flood, and how long one run of the dear one takes; milliseconds."""

    alone_ms: float
    beside_ms: float
    run_ms: float
    failures: int
    note: str

    @property
    def goal_ms(self) -> float:
        """What is promised: a cheap request waits for the run that is under way and for no other."""
        return 2 * self.alone_ms + self.run_ms


def both_at_once(workers: Workers, cheap: Job, dear: Job) -> TwoModels:
    """Measure.

    Args:
        workers: The cheap model is asked by the first load process, the dear one by the second.
        cheap: A closed loop.
        dear: Of another model on the same server; its closed loop says what it can do.
    """
    alone = workers.load(drive, cheap)
    single = workers.load(drive, replace(dear, connections=1, seconds=_FEW_S))
    closed = workers.load(drive, replace(dear, seconds=_FEW_S))
    rate = TIMES * closed.answers / closed.seconds
    flooding = workers.beside(flood, replace(dear, seconds=cheap.seconds + 1.0), rate, DEADLINE_MS)
    beside = workers.load(drive, cheap)
    flooded = flooding.result()
    note = f"alone {alone.quantile(0.99) * 1e3:.2f} ms; {beside.answers / beside.seconds:,.0f} cheap answers a second"
    return TwoModels(
        alone.quantile(0.99) * 1e3,
        beside.quantile(0.99) * 1e3,
        single.quantile(0.5) * 1e3,
        alone.failures + beside.failures + flooded.other,
        f"{note} beside {flooded.sent / flooded.seconds:,.0f} dear calls",
    )
