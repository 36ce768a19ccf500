"""Reset calls as fast as a socket takes them beside an honest client, and watch the honest one."""

import select
import socket
import time
from dataclasses import dataclass

from bench.serving import stock
from bench.serving.job import Job, Seen
from bench.serving.links import UnaryLink
from bench.serving.load import connect

ATTACKERS = 4
_BURST = 100
_CANCEL = b"\0\0\0\x08"
_READ = 1 << 16


@dataclass(frozen=True)
class Resets:
    """What an honest client felt: p99 in milliseconds, its failures, and how hard it was meanwhile."""

    p99_ms: float
    failures: int
    note: str


class _Attacker:
    """Opens calls, resets them at once, and comes back when it is thrown out."""

    def __init__(self, job: Job, number: int) -> None:
        self._job, self._number = job, number
        self.resets, self.thrown_out = 0, 0
        self.sock = self._come()

    def burst(self) -> None:
        """Send a hundred calls and their resets; half of the attackers send whole requests first."""
        try:
            while self.sock.recv(_READ):
                pass
            self._back()
        except BlockingIOError:
            pass
        except OSError:
            self._back()
        calls = []
        for _ in range(_BURST):
            self._stream += 2
            block = self._blocks.first if self._stream == 1 else self._blocks.again
            if self._number % 2:
                calls.append(stock.call(self._stream, block, self._message))
            else:
                calls.append(stock.frame(stock.HEADERS, stock.END_HEADERS, self._stream, block))
            calls.append(stock.frame(stock.RST_STREAM, 0, self._stream, _CANCEL))
        try:
            self.sock.sendall(b"".join(calls))
            self.resets += _BURST
        except BlockingIOError:
            # A part may have gone out; the connection is of no use any more.
            self._back()
        except OSError:
            self._back()

    def _back(self) -> None:
        self.sock.close()
        self.thrown_out += 1
        self.sock = self._come()

    def _come(self) -> socket.socket:
        job = self._job
        self._stream = -1
        self._blocks = stock.blocks(stock.INFER, f"127.0.0.1:{job.port}".encode(), job.token)
        self._message = stock.prefixed(job.requests[0][0])
        sock = connect(job)
        sock.send(stock.PREFACE + stock.SETTINGS + stock.WINDOW)
        return sock


def beside_resets(job: Job) -> Resets:
    """Run the attack for a while."""
    attackers = [_Attacker(job, number) for number in range(ATTACKERS)]
    seen, link, sock = Seen(), UnaryLink(job, 0, job.port), connect(job)
    with select.epoll() as poll:
        poll.register(sock.fileno(), select.EPOLLIN)
        sock.send(link.ask())
        sent = begin = now = time.perf_counter()
        turn = 0
        while now - begin < max(3.0, job.seconds):
            if poll.poll(0.0) and link.heard(sock.recv(_READ)):
                now = time.perf_counter()
                seen.answers += 1
                seen.latencies.append(now - sent)
                sent = now
                sock.send(link.ask())
            attackers[turn].burst()
            turn = (turn + 1) % ATTACKERS
            now = time.perf_counter()
        seen.latencies.append(now - sent)
    for each in (sock, *(attacker.sock for attacker in attackers)):
        each.close()
    count, out = sum(one.resets for one in attackers), sum(one.thrown_out for one in attackers)
    rate = count / (now - begin)
    note = f"{seen.answers} honest answers beside {rate:,.0f} resets a second, {out} connections thrown out"
    return Resets(seen.quantile(0.99) * 1e3, seen.failures, note)
