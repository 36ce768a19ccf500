"""Play the scenes that are no closed loop: swaps, overload, rapid resets, idle crowds."""

import time
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

from bench.serving.crowd import Crowd, with_crowd
from bench.serving.job import GRPC, Job, Seen, requests_for
from bench.serving.load import drive
from bench.serving.machine import peak_mib
from bench.serving.models import build
from bench.serving.overload import Flood, flood
from bench.serving.programs import Programs, compare
from bench.serving.resets import Resets, beside_resets
from bench.serving.rounds import Benches
from bench.serving.server import Server, release_of
from bench.serving.two_models import TwoModels, both_at_once
from bench.serving.workers import Workers, root_pid

SWAPS, REQUESTS = 50, 100_000
RELEASES = (1, 2, 3)
LAST = 4
"""A release that only the last swap leads to: the load has seen them all when it answers."""

IDLE = 1000
DEADLINE_MS = 50


@dataclass(frozen=True)
class Swaps:
    """What changing the version under load did; ``wrong`` counts answers of a version that was not current."""

    answers: int
    swaps: int
    failed: int
    wrong: int
    p99_ratio: float


@dataclass(frozen=True)
class Overload:
    """Twice the capacity: share of the capacity that was answered in time, and rows that ran for nobody."""

    useful: float
    expired_run: int
    note: str


@dataclass(frozen=True)
class Scenes:
    """All of them."""

    peak_mib: float
    swaps: Swaps
    overload: Overload
    resets: Resets
    idle: Crowd
    both: TwoModels
    programs: Programs


def play(benches: Benches, seconds: float) -> Scenes:
    """Play all scenes, each on a server of its own, so that none inherits another's memory."""
    peak = peak_mib(benches.server.pid)
    with Server({"mlp": LAST}) as server:
        swaps = swap_under_load(benches.workers, server)
    with Server({"dear": 1}) as server:
        overload = _overload(benches, server, seconds)
    with Server({"mlp": 1}) as server:
        resets = benches.workers.load(beside_resets, job_for(server, "mlp", 1, seconds))
    with Server({"mlp": 1}) as server:
        idle = benches.workers.load(with_crowd, job_for(server, "mlp", 32, seconds), IDLE)
    with Server({"mlp": 1, "slow": 1}) as server:
        cheap, dear = (job_for(server, name, connections, seconds) for name, connections in (("mlp", 4), ("slow", 8)))
        both = both_at_once(benches.workers, cheap, dear)
    return Scenes(peak, swaps, overload, resets, idle, both, compare())


def job_for(server: Server, model: str, connections: int, seconds: float) -> Job:
    """Return a job that calls a model over gRPC."""
    network = build(model)
    return Job(
        face=GRPC,
        port=server.port,
        requests=requests_for(network, GRPC, server.token),
        answers={"1": network.answers()},
        token=server.token,
        connections=connections,
        seconds=seconds,
        server_pid=server.pid,
        root_pid=root_pid(),
    )


def swap_under_load(workers: Workers, server: Server, pause_s: float | None = None) -> Swaps:
    """Load, prove and switch to another of three releases fifty times while 32 connections ask 100,000 times or more.

    Args:
        workers: Where the load runs.
        server: Holds :data:`LAST` releases of ``mlp`` and serves the first.
        pause_s: From one swap to the next; None spreads them over the requests.
    """
    calm = job_for(server, "mlp", 32, 2.0)
    before = workers.load(drive, calm)
    pause = REQUESTS / (before.answers / before.seconds) / SWAPS if pause_s is None else pause_s
    answers = {str(release): release_of("mlp", release).answers() for release in (*RELEASES, LAST)}
    job = replace(calm, answers=answers, seconds=0.0, least=REQUESTS, last=str(LAST), trace=True)
    running = workers.begin(drive, job)
    time.sleep(job.warm_s)
    log = [(0.0, 0.0, RELEASES[0])]
    due = time.perf_counter()
    while len(log) <= SWAPS and not running.done():
        release = LAST if len(log) == SWAPS else RELEASES[len(log) % len(RELEASES)]
        begun = time.perf_counter()
        server.order("swap", model="mlp", release=release)
        log.append((begun, time.perf_counter(), release))
        due += pause
        time.sleep(max(0.0, due - time.perf_counter()))
    seen = running.result()
    return Swaps(
        len(seen.latencies), len(log) - 1, seen.failures, _wrong(seen, log), seen.quantile(0.99) / before.quantile(0.99)
    )


def _wrong(seen: Seen, log: Sequence[tuple[float, float, int]]) -> int:
    """Count answers of a version that was current at no moment between request and answer.

    Version ``n`` of the log may answer from when it was ordered until the next one was confirmed.
    """
    ordered, confirmed = [begin for begin, _, _ in log], [end for _, end, _ in log]
    wrong = 0
    for sent, received, version in seen.events:
        oldest = max(0, bisect_right(confirmed, sent) - 1)
        newest = bisect_left(ordered, received)
        wrong += version not in {str(release) for _, _, release in log[oldest:newest]}
    return wrong


def _overload(benches: Benches, server: Server, seconds: float) -> Overload:
    """Send twice of what the server can do, with deadlines, and see what is left of its capacity."""
    job = job_for(server, "dear", 32, seconds)
    closed = benches.workers.load(drive, job)
    capacity = closed.answers / closed.seconds
    before = server.order("statistics", model="dear")
    seen: Flood = benches.workers.load(flood, job, 2 * capacity, DEADLINE_MS)
    after = server.order("statistics", model="dear")
    ran = int(after["rows"]) - int(before["rows"])
    ends = (
        f"{seen.useful} in time, {seen.refused} refused, {seen.expired} expired, {seen.other} else {seen.reasons or ''}"
    )
    note = f"{seen.sent} calls in {seen.seconds:.1f} s: {ends}"
    return Overload(seen.useful / seen.seconds / capacity, ran - seen.answered, note)
