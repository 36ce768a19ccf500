"""A protocol of lines behind HTTP's first bytes, so that listening can be tested without any engine.

``ask X`` is answered ``X`` at once, ``later X`` by the plane's next flush, ``never X`` not at all, ``big N`` with N
bytes, ``boom`` by an error of ours. Told to end, the engine says ``bye`` and waits for ``ack``, as HTTP/2 does.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from onecode_serving.http2 import Budget
from onecode_serving.listen.dispatch import PREFACE
from onecode_serving.listen.faces import ConnectionFacts
from onecode_serving.listen.server import OipServer
from onecode_serving.listen.settings import ListenSettings

GET = b"GET / HTTP/1.1\n"


class LineEngine:
    """One connection; ``pings``: the end needs the peer's consent."""

    def __init__(self, plane: "LinePlane", facts: ConnectionFacts, *, pings: bool) -> None:
        self.plane = plane
        self.facts = facts
        self.pings = pings
        self.closing = False
        self.acknowledged = self.draining = self.dead = False
        self.in_hand = 0
        self.lines = 0
        self.out: list[bytes] = []
        self.input = b""
        self.ticks = 0
        self.paused = False

    @property
    def idle(self) -> bool:
        return self.in_hand == 0

    @property
    def finished(self) -> bool:
        return self.draining and self.idle and (self.acknowledged or not self.pings)

    def receive(self, data: bytes, now: float) -> None:
        del now
        self.input += data
        self.input = self.input.removeprefix(PREFACE)
        *lines, self.input = self.input.split(b"\n")
        for line in lines:
            self.lines += 1
            self.line(line)

    def line(self, line: bytes) -> None:
        word, _, rest = line.partition(b" ")
        if word == b"ask":
            self.out.append(rest + b"\n")
        elif word == b"later":
            self.in_hand += 1
            self.plane.submit(lambda: self.answer(rest))
        elif word == b"never":
            self.in_hand += 1
        elif word == b"big":
            self.out.append(b"x" * int(rest))
        elif word == b"facts":
            self.out.append(f"{self.facts.certificate} {self.facts.encrypted}\n".encode())
        elif word == b"ack":
            self.acknowledged = True
        elif word == b"close":
            self.out.append(b"closed\n")
            self.closing = True
        elif word == b"boom":
            message = "boom"
            raise ZeroDivisionError(message)

    def answer(self, rest: bytes) -> None:
        if self.dead:
            return
        self.in_hand -= 1
        self.out.append(rest + b"\n")
        self.facts.touch()

    def take(self) -> bytes:
        data = b"".join(self.out)
        self.out.clear()
        return data

    def tick(self, now: float) -> float | None:
        del now
        self.ticks += 1
        return None

    def shutdown(self) -> None:
        self.draining = True
        self.out.append(b"bye\n")

    def lost(self) -> None:
        assert not self.dead, "told twice"
        self.dead = True
        self.plane.lost += 1


class LinePlane:
    """Answers in the flush that the first request of a turn schedules; ``hold`` keeps answers back."""

    def __init__(self) -> None:
        self.on_turn: Callable[[], None] = lambda: None
        self.loop: Any = None
        self.waiting: list[Callable[[], None]] = []
        self.hold = threading.Event()
        self.reason: str | None = None
        self.budget = Budget()
        self.lost = 0
        self.flushes = 0
        self.engines: list[LineEngine] = []
        self.before_stop: Callable[[], None] = lambda: None

    def began(self, loop: Any) -> None:
        self.loop = loop

    def set_on_turn(self, callback: Callable[[], None]) -> None:
        self.on_turn = callback

    def ready(self) -> str | None:
        return self.reason

    def submit(self, answer: Callable[[], None]) -> None:
        self.waiting.append(answer)
        if len(self.waiting) == 1:
            self.loop.call_soon(self.flush)

    def flush(self) -> None:
        if self.hold.is_set():
            self.loop.call_later(0.01, self.flush)
            return
        waiting, self.waiting = self.waiting, []
        self.flushes += 1
        for answer in waiting:
            answer()
        self.on_turn()

    def http2(self, facts: ConnectionFacts, now: float) -> LineEngine:
        del now
        self.engines.append(LineEngine(self, facts, pings=True))
        return self.engines[-1]

    def http1(self, facts: ConnectionFacts, now: float) -> LineEngine:
        del now
        self.engines.append(LineEngine(self, facts, pings=False))
        return self.engines[-1]


@contextmanager
def listening(plane: LinePlane, **settings: Any) -> Iterator[OipServer]:
    """Run a server of lines until the block ends."""
    make_loop = settings.pop("make_loop", None)
    last = settings.pop("last", True)
    limits = ListenSettings(**{"rest_address": "127.0.0.1:0", "grpc_address": "127.0.0.1:0", **settings})
    more = {"loop": make_loop} if make_loop else {}
    server = OipServer(plane, plane, limits, began=plane.began, **more)
    server.start()
    try:
        yield server
    finally:
        plane.before_stop()
        server.stop(last=last)
