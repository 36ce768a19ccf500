"""Ask on one connection and check what comes back, for less than the server spends on answering.

The first reply of each kind is taken apart frame by frame and compared with onnxruntime's answer. Later ones are
compared as bytes with what was found right on this connection; only the stream number differs, and it is checked too.
"""

import itertools
import struct
from collections.abc import Callable
from typing import Protocol

from hpack import Decoder

from bench.serving import stock
from bench.serving.http1 import rest_reply
from bench.serving.job import GRPC, JSON, REST, STREAM, Job
from bench.serving.messages import infer_reply, stream_reply

_CREDIT = 1 << 15
_PREFIX = 5
_pack = struct.Struct(">I").pack


class RefusedError(Exception):
    """The server refused, answered wrongly, or broke the protocol."""


class Link(Protocol):
    """One connection with at most one request in flight; pure, the bytes travel elsewhere."""

    def ask(self) -> bytes:
        """Return the next request."""

    def heard(self, data: bytes) -> str | None:
        """Take bytes; return the version that answered once the whole answer was right, None before.

        Raises:
            RefusedError: The answer is not the one that was due.
        """

    def say(self) -> bytes:
        """Return what the protocol wants said beside requests."""


class UnaryLink:
    """``ModelInfer`` calls as a stock gRPC client frames them."""

    def __init__(self, job: Job, unit: int, port: int) -> None:
        self._answers = job.answers
        self._messages = [stock.prefixed(message) for message in job.requests[unit % len(job.requests)]]
        self._blocks = stock.blocks(stock.INFER, f"127.0.0.1:{port}".encode(), job.token)
        self._calls = [_holes(stock.call(0, self._blocks.again, message)) for message in self._messages]
        self._turn, self._stream, self._number = -1, -1, b""
        self._known: dict[tuple[int, bytes, bytes, bytes, bytes], str] = {}
        self._layouts: dict[int, Callable[[bytes], tuple[bytes, ...]]] = {}
        self._decoder = Decoder()
        self._tail, self._owed = b"", 0
        self._out: list[bytes] = []
        self._reply, self._blocks_seen = b"", b""
        self._steady = True
        self.leaving = False

    def ask(self) -> bytes:
        """Return the next call."""
        self._turn = turn = (self._turn + 1) % len(self._calls)
        self._stream += 2
        self._number = number = _pack(self._stream)
        if self._stream == 1:
            return stock.opening(self._blocks.first, self._messages[turn])
        one, two, three, four = self._calls[turn]
        call = one + number + two + number + three + number + four
        return self.say() + call if self._owed > _CREDIT or self._out else call

    def heard(self, data: bytes) -> str | None:
        """Take bytes of the connection."""
        layout = self._layouts.get(len(data))
        if layout is not None and not self._tail:
            head, one, block, two, message, three, trailer = layout(data)
            version = self._known.get((self._turn, head, block, message, trailer))
            if version is not None and one == two == three == self._number:
                self._owed += len(message)
                return version
        return self._walked(data)

    def say(self) -> bytes:
        """Return acknowledgements, and credit for what was read."""
        if self._owed > _CREDIT:
            self._out.append(stock.credit(self._owed))
            self._owed = 0
        said = b"".join(self._out)
        self._out.clear()
        return said

    def _walked(self, data: bytes) -> str | None:
        """Take the answer apart; ``data`` may hold a part of it, or other frames beside it."""
        whole = not self._tail and not self._reply and not self._blocks_seen
        self._tail += data
        used, kinds, version = 0, [], None
        try:
            for each in stock.frames(self._tail):
                used += 9 + len(each.payload)
                kinds.append(each)
                if answer := stock.answer_to(each):
                    self._out.append(answer)
                version = self._frame(each) or version
        finally:
            self._tail = self._tail[used:]
        if version is not None:
            if whole and self._steady:
                self._learn(data, kinds, version)
            self._steady = True
        return version

    def _frame(self, each: stock.Frame) -> str | None:
        if each.kind == stock.GOAWAY:
            self.leaving = True
        if each.kind == stock.RST_STREAM and each.stream == self._stream:
            self._reply = b""
            raise RefusedError(f"reset with code {int.from_bytes(each.payload, 'big')}")
        if each.kind == stock.DATA:
            self._owed += len(each.payload)
            self._reply += each.payload
        if each.kind != stock.HEADERS:
            return None
        if each.stream != self._stream:
            raise RefusedError(f"headers of stream {each.stream}, asked on {self._stream}")
        headers, steady = stock.decoded(self._decoder, each.payload)
        self._blocks_seen, self._steady = each.payload, self._steady and steady
        if not each.flags & stock.END_STREAM:
            return None
        reply, self._reply, self._blocks_seen = self._reply, b"", b""
        if headers.get(b"grpc-status") != b"0":
            self._steady = True
            raise RefusedError(f"status {headers.get(b'grpc-status')!r}: {headers.get(b'grpc-message', b'')!r}")
        return self._right(reply)

    def _right(self, reply: bytes) -> str:
        answer = infer_reply(reply[5:])
        due = self._answers.get(answer.version)
        if due is None or answer.outputs != due[self._turn] or reply[:1] != b"\0":
            raise RefusedError(f"wrong answer of version {answer.version!r} to row {self._turn}")
        return answer.version

    def _learn(self, data: bytes, kinds: list[stock.Frame], version: str) -> None:
        """Remember a reply of headers, one message and trailers, whose blocks change no table; credit may follow."""
        beside = all(each.kind == stock.WINDOW_UPDATE and not each.stream for each in kinds[3:])
        if beside and [each.kind for each in kinds[:3]] == [stock.HEADERS, stock.DATA, stock.HEADERS]:
            first, second = len(kinds[0].payload), len(kinds[1].payload)
            layout = struct.Struct(f">5s4s{first + 5}s4s{second + 5}s4s{len(data) - first - second - 27}s").unpack
            head, _, block, _, message, _, trailer = layout(data)
            self._layouts[len(data)] = layout
            self._known[self._turn, head, block, message, trailer] = version


class StreamLink:
    """Messages on one ``ModelStreamInfer`` stream, the next after each answer."""

    def __init__(self, job: Job, unit: int, port: int) -> None:
        self._answers = job.answers
        messages = [stock.prefixed(message) for message in job.requests[unit % len(job.requests)]]
        self._frames = [stock.frame(stock.DATA, 0, 1, message) for message in messages]
        block = stock.blocks(stock.STREAM, f"127.0.0.1:{port}".encode(), job.token).first
        self._opening = stock.PREFACE + stock.SETTINGS + stock.WINDOW
        self._opening += stock.frame(stock.HEADERS, stock.END_HEADERS, 1, block)
        self._turn, self._tail, self._owed = -1, b"", 0
        self._reply = b""
        self._known: dict[tuple[int, bytes], str] = {}
        self._out: list[bytes] = []
        self._decoder = Decoder()
        self.leaving = False

    def ask(self) -> bytes:
        """Return the next message."""
        self._turn += 1
        opening, self._opening = self._opening, b""
        said = self.say() if self._owed > _CREDIT or self._out else b""
        return opening + said + self._frames[self._turn % len(self._frames)]

    def heard(self, data: bytes) -> str | None:
        """Take bytes of the connection."""
        turn = self._turn % len(self._frames)
        version = self._known.get((turn, data)) if not self._tail and not self._reply else None
        if version is not None:
            self._owed += len(data)
            return version
        self._tail += data
        used, count = 0, 0
        for each in stock.frames(self._tail):
            used += 9 + len(each.payload)
            count += 1
            if answer := stock.answer_to(each):
                self._out.append(answer)
            self._frame(each)
        lone = count == 1 and used == len(data) == len(self._tail)
        self._tail = self._tail[used:]
        version = self._answer(turn)
        if version is not None and lone:
            self._known[turn, data] = version
        return version

    def say(self) -> bytes:
        """Return acknowledgements, and credit for what was read, to connection and stream."""
        if self._owed > _CREDIT:
            self._out += (stock.credit(self._owed), stock.frame(8, 0, 1, self._owed.to_bytes(4, "big")))
            self._owed = 0
        said = b"".join(self._out)
        self._out.clear()
        return said

    def _frame(self, each: stock.Frame) -> None:
        if each.kind == stock.DATA:
            self._owed += len(each.payload)
            self._reply += each.payload
        elif each.kind == stock.HEADERS:
            headers, _ = stock.decoded(self._decoder, each.payload)
            if each.flags & stock.END_STREAM:
                raise RefusedError(f"stream ended: {headers}")
        elif each.kind in (stock.RST_STREAM, stock.GOAWAY):
            raise RefusedError(f"stream ended by frame {each.kind}: {each.payload!r}")

    def _answer(self, turn: int) -> str | None:
        if len(self._reply) < 5 or len(self._reply) < 5 + int.from_bytes(self._reply[1:5], "big"):  # noqa: PLR2004 - the prefix
            return None
        reply, self._reply = self._reply, b""
        try:
            answer = stream_reply(reply[5:])
        except ValueError as error:
            raise RefusedError(str(error)) from error
        due = self._answers.get(answer.version)
        if due is None or answer.outputs != due[turn]:
            raise RefusedError(f"wrong answer of version {answer.version!r} to row {turn}")
        return answer.version


class RestLink:
    """``POST …/infer`` over HTTP/1.1 with keep-alive."""

    def __init__(self, job: Job, unit: int, port: int) -> None:
        del port
        self._answers = job.answers
        self._requests = job.requests[unit % len(job.requests)]
        self._turns = itertools.cycle(range(len(self._requests)))
        self._turn, self._tail = 0, b""
        self._known: dict[tuple[int, bytes], str] = {}
        self.leaving = False

    def ask(self) -> bytes:
        """Return the next request."""
        self._turn = next(self._turns)
        return self._requests[self._turn]

    def heard(self, data: bytes) -> str | None:
        """Take bytes of the connection."""
        version = self._known.get((self._turn, data)) if not self._tail else None
        if version is not None:
            return version
        self._tail += data
        try:
            found = rest_reply(self._tail)
        except ValueError as error:
            self._tail = b""
            raise RefusedError(str(error)) from error
        if found is None:
            return None
        due = self._answers.get(found.version)
        if due is None or found.outputs != due[self._turn]:
            raise RefusedError(f"wrong answer of version {found.version!r} to row {self._turn}")
        if self._tail == data:
            self._known[self._turn, data] = found.version
        self._tail = b""
        return found.version

    def say(self) -> bytes:
        """Return nothing: HTTP/1.1 has nothing to say beside requests."""
        return b""


LINKS: dict[str, Callable[[Job, int, int], UnaryLink | StreamLink | RestLink]] = {
    GRPC: UnaryLink,
    STREAM: StreamLink,
    REST: RestLink,
    JSON: RestLink,
}


def _holes(call: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return a call cut at its three stream numbers, which are left out."""
    cuts, place = [], 0
    while place < len(call):
        cuts.append(place + 5)
        place += 9 + int.from_bytes(call[place : place + 3], "big")
    one, two, three = cuts
    return call[:one], call[one + 4 : two], call[two + 4 : three], call[three + 4 :]
