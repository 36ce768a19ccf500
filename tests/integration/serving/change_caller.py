"""Speak HTTP/2 by hand where a test decides what stands in which order: calls, pings, resets."""

import itertools
from collections.abc import Sequence

from hpack import Decoder

from bench.serving import stock
from bench.serving.job import Job
from bench.serving.load import connect
from bench.serving.messages import infer_request
from bench.serving.models import build

_WAIT_S = 60.0
_CANCEL = (8).to_bytes(4, "big")
_LONG, SHORT = b"30S", b"50m"
"""Deadlines, as the protocol writes them."""


class RawCaller:
    """One connection.

    Args:
        job: For whom the server lets in, and the model's rows.
        model: Name.
    """

    def __init__(self, job: Job, model: str) -> None:
        self._model = build(model)
        self._socket = connect(job)
        self._socket.settimeout(_WAIT_S)
        authority = f"127.0.0.1:{job.port}".encode()
        # The block of a first call has every name and value in full: it is right however often it comes.
        self._unary = {
            timeout: stock.blocks(stock.INFER, authority, job.token, timeout).first for timeout in (_LONG, SHORT)
        }
        self._stream = stock.blocks(stock.STREAM, authority, job.token, _LONG).first
        self._numbers = itertools.count(1, 2)
        self._pings = itertools.count(1)
        self._decoder = Decoder()
        self._tail = b""
        self._out = [stock.PREFACE + stock.SETTINGS + stock.WINDOW]
        self.heard: list[tuple[str, int]] = []
        """What came, in order: ``answer`` and its stream, ``ping`` and its number."""

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def call(self, rows: int = 1, timeout: bytes = _LONG) -> int:
        """Put a call in line and return its stream."""
        number = next(self._numbers)
        self._out.append(stock.call(number, self._unary[timeout], self._message(rows)))
        return number

    def stream(self, messages: int) -> int:
        """Put a stream with so many messages in line, without its end."""
        number = next(self._numbers)
        self._out.append(stock.frame(stock.HEADERS, stock.END_HEADERS, number, self._stream))
        self._out += [stock.frame(stock.DATA, 0, number, self._message(1)) for _ in range(messages)]
        return number

    def reset(self, streams: Sequence[int]) -> None:
        """Put resets in line."""
        self._out += [stock.frame(stock.RST_STREAM, 0, number, _CANCEL) for number in streams]

    def ping(self) -> int:
        """Put a ping in line: its answer says that the server has seen all that was sent before."""
        number = next(self._pings)
        self._out.append(stock.frame(stock.PING, 0, 0, number.to_bytes(8, "big")))
        return number

    def send(self) -> None:
        """Send what is in line."""
        self._socket.sendall(b"".join(self._out))
        self._out.clear()

    def until(self, kind: str, number: int) -> None:
        """Read until something has come."""
        while (kind, number) not in self.heard:
            data = self._socket.recv(1 << 16)
            assert data, f"the server closed before {kind} {number} came: {self.heard}"
            self._tail += data
            used = 0
            for each in stock.frames(self._tail):
                used += 9 + len(each.payload)
                self._take(each)
            self._tail = self._tail[used:]
            self.send()

    def _take(self, each: stock.Frame) -> None:
        self._out.append(stock.answer_to(each))
        if each.kind == stock.PING and each.flags & 1:
            self.heard.append(("ping", int.from_bytes(each.payload, "big")))
        elif each.kind == stock.HEADERS:
            headers, _ = stock.decoded(self._decoder, each.payload)
            if each.flags & stock.END_STREAM:
                status = headers.get(b"grpc-status")
                self.heard.append(("answer" if status == b"0" else "refusal", each.stream))
        elif each.kind in (stock.RST_STREAM, stock.GOAWAY):
            self.heard.append(("reset" if each.kind == stock.RST_STREAM else "goodbye", each.stream))

    def _message(self, rows: int) -> bytes:
        tensor = self._model.input
        raw = self._model.rows()[0].tobytes() * rows
        return stock.prefixed(infer_request(self._model, raw, (rows, *tensor.shape[1:]), "unit"))
