"""Let a crowd connect, ask once and stay, and see what it costs those who work."""

import select
import socket
from dataclasses import dataclass

from bench.serving.job import Job
from bench.serving.links import UnaryLink
from bench.serving.load import connect, drive
from bench.serving.machine import resident_mib

_PER_ADDRESS = 200
_PATIENCE_S = 10.0
_READ = 1 << 16


@dataclass(frozen=True)
class Crowd:
    """What idle connections cost: memory of the server, and the p99 of others against before."""

    mib: float
    p99_ratio: float
    failures: int


def with_crowd(job: Job, count: int) -> Crowd:
    """Measure without and with a crowd, which comes from several addresses as the server's limits demand."""
    before = drive(job)
    small = resident_mib(job.server_pid)
    crowd = [_come(job, number) for number in range(count)]
    after = drive(job)
    large = resident_mib(job.server_pid)
    for sock in crowd:
        sock.close()
    failures = before.failures + after.failures
    return Crowd(large - small, after.quantile(0.99) / before.quantile(0.99), failures)


def _come(job: Job, number: int) -> socket.socket:
    sock = connect(job, f"127.0.0.{2 + number // _PER_ADDRESS}")
    link = UnaryLink(job, number, job.port)
    sock.send(link.ask())
    with select.epoll() as poll:
        poll.register(sock.fileno(), select.EPOLLIN)
        while poll.poll(_PATIENCE_S):
            if link.heard(sock.recv(_READ)):
                sock.send(link.say() or b"")
                return sock
    raise SystemExit(f"idle connection {number} was not served")
