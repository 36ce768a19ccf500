"""Ask at a fixed rate, whatever the server does: many calls in flight, each with a deadline."""

import select
import time
from collections.abc import Mapping
from dataclasses import dataclass, field

from hpack import Decoder

from bench.serving import stock
from bench.serving.job import Job
from bench.serving.load import connect
from bench.serving.messages import infer_reply

_READ = 1 << 18
_STREAMS = 64
_BURST_S = 0.001
_EXHAUSTED, _EXPIRED = b"8", b"4"
_LEAST_S = 3.0
_WHILE_IT_RAN = b"while the model ran"


@dataclass
class Flood:
    """What came back, by kind.

    Attributes:
        sent: Calls made.
        useful: Right answers within the deadline.
        answered: Right answers, in time or late.
        refused: RESOURCE_EXHAUSTED.
        expired: DEADLINE_EXCEEDED.
        late: Of these, calls whose deadline passed while the model ran: it had begun in time.
        held: Calls that were not made because the server's limit of streams was reached on all connections.
        other: Anything else, wrong answers included.
        reasons: Of the first of these.
        seconds: From the first call to the last.
    """

    sent: int = 0
    useful: int = 0
    answered: int = 0
    refused: int = 0
    expired: int = 0
    late: int = 0
    held: int = 0
    other: int = 0
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def odd(self, reason: str) -> None:
        """Count what should not happen, and keep the first few reasons."""
        self.other += 1
        if len(self.reasons) < 3:  # noqa: PLR2004 - more say nothing new
            self.reasons.append(reason)


class _Caller:
    """One connection with many calls in flight."""

    def __init__(self, job: Job, number: int, timeout: bytes) -> None:
        self.sock = connect(job)
        self.open: dict[int, tuple[float, int]] = {}
        self._answers = job.answers
        self._blocks = stock.blocks(stock.INFER, f"127.0.0.1:{job.port}".encode(), job.token, timeout)
        self._messages = [stock.prefixed(one) for one in job.requests[number % len(job.requests)]]
        self._stream, self._tail, self._owed = -1, b"", 0
        self._decoder = Decoder()
        self._bodies: dict[int, bytes] = {}

    def call(self, now: float) -> bytes:
        """Return one more call."""
        self._stream += 2
        turn = self._stream // 2 % len(self._messages)
        self.open[self._stream] = (now, turn)
        if self._stream == 1:
            return stock.opening(self._blocks.first, self._messages[turn])
        return stock.call(self._stream, self._blocks.again, self._messages[turn])

    def heard(self, data: bytes, now: float, seen: Flood, deadline_s: float) -> bytes:
        """Take bytes, count what ended, and return what must be said."""
        self._tail += data
        used, said = 0, b""
        for each in stock.frames(self._tail):
            used += 9 + len(each.payload)
            said += stock.answer_to(each)
            if each.kind == stock.DATA:
                self._bodies[each.stream] = self._bodies.get(each.stream, b"") + each.payload
                self._owed += len(each.payload)
            elif each.kind == stock.RST_STREAM and each.stream in self.open:
                self._ended(each.stream, {b":reset": each.payload}, now, seen, deadline_s)
            elif each.kind == stock.HEADERS:
                headers, _ = stock.decoded(self._decoder, each.payload)
                if each.flags & stock.END_STREAM:
                    self._ended(each.stream, headers, now, seen, deadline_s)
        self._tail = self._tail[used:]
        if self._owed > 1 << 15:
            said += stock.credit(self._owed)
            self._owed = 0
        return said

    def _ended(self, stream: int, trailers: Mapping[bytes, bytes], now: float, seen: Flood, deadline_s: float) -> None:
        sent, turn = self.open.pop(stream)
        body, status = self._bodies.pop(stream, b""), trailers.get(b"grpc-status")
        if status == b"0" and infer_reply(body[5:]).outputs == self._answers["1"][turn]:
            seen.answered += 1
            seen.useful += now - sent <= deadline_s
        elif status == _EXHAUSTED:
            seen.refused += 1
        elif status == _EXPIRED:
            seen.expired += 1
            seen.late += _WHILE_IT_RAN in trailers.get(b"grpc-message", b"")
        else:
            seen.odd(str(dict(trailers)))


def flood(job: Job, rate: float, deadline_ms: int) -> Flood:
    """Call at a rate for a while, spread over the connections, and count what comes back."""
    seen, deadline_s = Flood(), deadline_ms / 1000
    callers = [_Caller(job, number, f"{deadline_ms}m".encode()) for number in range(job.connections)]
    by_number = {caller.sock.fileno(): caller for caller in callers}
    length = max(_LEAST_S, job.seconds)
    with select.epoll() as poll:
        for number in by_number:
            poll.register(number, select.EPOLLIN)
        begin = now = time.perf_counter()
        due, turn = 0, 0
        while now - begin < length:
            due, turn = _send(callers, turn, due, int((now - begin) * rate), now, seen)
            _receive(by_number, poll, _BURST_S, seen, deadline_s)
            now = time.perf_counter()
        seen.seconds = now - begin
        ends = now + 5 * deadline_s + 1.0
        while any(caller.open for caller in callers) and time.perf_counter() < ends:
            _receive(by_number, poll, deadline_s, seen, deadline_s)
    for _ in range(sum(len(caller.open) for caller in callers)):
        seen.odd("no answer")
    for caller in callers:
        caller.sock.close()
    return seen


def _send(callers: list[_Caller], turn: int, done: int, due: int, now: float, seen: Flood) -> tuple[int, int]:
    """Make the calls that are due, round the connections; return how many were due so far and whose turn is next."""
    batches: dict[int, bytes] = {}
    for _ in range(due - done):
        for _ in callers:
            turn = (turn + 1) % len(callers)
            if len(callers[turn].open) < _STREAMS:
                batches[turn] = batches.get(turn, b"") + callers[turn].call(now)
                seen.sent += 1
                break
        else:
            seen.held += 1
    for number, data in batches.items():
        callers[number].sock.send(data)
    return due, turn


def _receive(
    callers: dict[int, _Caller], poll: select.epoll, patience_s: float, seen: Flood, deadline_s: float
) -> None:
    for number, _ in poll.poll(patience_s):
        caller = callers[number]
        data = caller.sock.recv(_READ)
        if not data:
            raise SystemExit("the server closed a connection under overload")
        said = caller.heard(data, time.perf_counter(), seen, deadline_s)
        if said:
            caller.sock.send(said)
