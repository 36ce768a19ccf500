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
from bench.serving.resets import Resets, beside_resets
from bench.serving.rounds import Benches
from bench.serving.server import Server, release_of
from bench.serving.workers import root_pid

SWAPS, REQUESTS = 50, 100_000
RELEASES = (1, 2, 3)
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


def play(benches: Benches, seconds: float) -> Scenes:
    """Play all scenes, each on a server of its own, so that none inherits another's memory."""
    peak = peak_mib(benches.server.pid)
    with Server({"mlp": len(RELEASES)}) as server:
        swaps = _swap(benches, server)
    with Server({"dear": 1}) as server:
        overload = _overload(benches, server, seconds)
    with Server({"mlp": 1}) as server:
        resets = benches.workers.load(beside_resets, _job(server, "mlp", 1, seconds))
    with Server({"mlp": 1}) as server:
        idle = benches.workers.load(with_crowd, _job(server, "mlp", 32, seconds), IDLE)
    return Scenes(peak, swaps, overload, resets, idle)


def _job(server: Server, model: str, connections: int, seconds: float) -> Job:
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


def _swap(benches: Benches, server: Server) -> Swaps:
    """Load, prove and switch to another of three releases fifty times while 32 connections ask."""
    calm = _job(server, "mlp", 32, 2.0)
    before = benches.workers.load(drive, calm)
    pause = REQUESTS * 1.3 / (before.answers / before.seconds) / SWAPS
    answers = {str(release): release_of("mlp", release).answers() for release in RELEASES}
    job = replace(calm, answers=answers, seconds=pause * SWAPS, least=REQUESTS, trace=True)
    running = benches.workers.begin(drive, job)
    time.sleep(job.warm_s)
    log = [(0.0, 0.0, RELEASES[0])]
    due = time.perf_counter()
    while len(log) <= SWAPS and not running.done():
        release = RELEASES[len(log) % len(RELEASES)]
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
    job = _job(server, "dear", 32, seconds)
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
