"""Keep the requests of one version in line, and say which of them run next."""

from collections.abc import Callable

from onecode_common.errors import OnecodeError
from onecode_serving.domain.cost import inline_limit, moved, pooled
from onecode_serving.domain.options import ModelOptions
from onecode_serving.domain.sampling import Tail
from onecode_serving.execution.answer_cache import AnswerCache
from onecode_serving.execution.job import Job
from onecode_serving.execution.run import Ran
from onecode_serving.execution.statistics import Tally
from onecode_serving.execution.windows import Windows
from onecode_serving.version import ServedVersion

MAX_WAITING = 8192
"""Requests of one version that may wait; more are refused at once."""

SHORT_S = 5e-3
_FEW = 16
_INSTANT_S = 1e-7
FIRST_PRIORITY = 1 << 62
"""Where requests without a priority stand: behind all that have one."""


class Lane:
    """The queue of one version; used by the loop's thread only.

    Attributes:
        waiting: In order of arrival.
        mixed: Whether some of them have a priority.
        running: Batches in threads.
        cost: What a run takes, learned from runs.
        pooled: Whether runs belong into a thread.
        limit: Most rows of one run.
        patience: Requests in line from which on the time that the next one has left is looked at.
        shed_s: Requests that come in this turn with so little time or less are refused like the last one, unseen.
        shed: That refusal.
        contract: What callers send and get; with a window not what the model takes.
        cache: Remembered answers, if they are switched on for the model.
        log: How calls are sampled, if they are written down.
        windows: Rows of sequences, if the model is declared to take windows.
        source: Returns the verified bytes of the version, to load it again; None if it must stay in memory.
        tail: What is slow for this version, if somebody follows single requests.
        waking: Whether it is being loaded again.
        roused: Who is told when it is.
        shadowed: Takes each run that was answered, where a candidate is compared with this version.
    """

    __slots__ = (
        "cache",
        "contract",
        "cost",
        "limit",
        "log",
        "mixed",
        "patience",
        "pooled",
        "roused",
        "running",
        "shadowed",
        "shed",
        "shed_s",
        "source",
        "tail",
        "tally",
        "version",
        "waiting",
        "waking",
        "windows",
    )

    def __init__(
        self, version: ServedVersion, options: ModelOptions | None = None, windows: Windows | None = None
    ) -> None:
        self.version = version
        self.log = options.log if options is not None else None
        self.source: Callable[[], bytes] | None = None
        self.shadowed: Callable[[Ran], None] | None = None
        self.waking = False
        self.roused: list[Callable[[OnecodeError | None], None]] = []
        self.windows = windows
        self.contract = version.contract if windows is None else windows.contract(version.contract)
        self.cache = AnswerCache(options.cache) if options is not None and options.cache is not None else None
        self.waiting: list[Job] = []
        self.mixed = False
        self.running = 0
        self.shed_s = 0.0
        self.shed: OnecodeError | None = None
        self.tally = Tally()
        self.tail: Tail | None = None
        self.cost = version.cost
        self.pooled = pooled(cost=version.cost, now_pooled=False)
        self.limit = version.limit if self.pooled else inline_limit(version.cost, version.limit)
        self.patience = self._patience()

    def _patience(self) -> int:
        """Return how many requests fill the shortest queue that is worth a look."""
        if self.pooled:
            return 0
        return max(_FEW, min(MAX_WAITING, int(SHORT_S * self.limit / max(self.cost.of(self.limit), _INSTANT_S))))

    @property
    def busy(self) -> bool:
        """Whether something waits or runs."""
        return bool(self.waiting) or self.running > 0 or self.waking

    def learn(self, rows: int, seconds: float) -> None:
        """Move the price by one more run, and change sides if it left the range of the one it is on."""
        self.cost = moved(self.cost, rows, seconds)
        self.patience = self._patience()
        if pooled(cost=self.cost, now_pooled=self.pooled) is not self.pooled:
            self.pooled = not self.pooled
            self.limit = self.version.limit if self.pooled else inline_limit(self.cost, self.version.limit)
            self.patience = self._patience()

    def backlog_s(self) -> float:
        """Return the seconds that all waiting work takes if it is run in full batches."""
        rows = len(self.waiting)
        return rows / self.limit * self.cost.of(self.limit)

    def next_run_s(self) -> float:
        """Return the seconds that the next run will take."""
        return self.cost.of(min(len(self.waiting), self.limit))

    def order(self) -> None:
        """Put those with a priority first; the others keep their order."""
        if self.mixed:
            self.waiting.sort(key=lambda job: job.priority or FIRST_PRIORITY)
            self.mixed = False

    def take(self) -> list[Job]:
        """Remove and return the jobs of the next run: alike, alive, at most ``limit`` rows (a larger one alone)."""
        waiting = self.waiting
        first = waiting[0]
        signature, limit = first.signature, self.limit
        rows = 0
        count = 0
        # The usual case, all alike and one row each, is a walk without a copy.
        for job in waiting:
            if job.signature is not signature:
                return self._pick(signature)
            rows += job.rows
            if rows > limit and count:
                break
            count += 1
            if signature is None:
                break
        taken = waiting[:count]
        del waiting[:count]
        return taken

    def _pick(self, signature: object) -> list[Job]:
        taken: list[Job] = []
        left: list[Job] = []
        rows = 0
        for job in self.waiting:
            fits = rows + job.rows <= self.limit or not taken
            if job.signature is signature and fits and not (taken and signature is None):
                taken.append(job)
                rows += job.rows
            else:
                left.append(job)
        self.waiting = left
        return taken
