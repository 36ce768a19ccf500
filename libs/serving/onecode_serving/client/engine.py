"""Speak HTTP/2 as a client, in pure functions: bytes in, bytes and outcomes out."""

from collections import deque
from collections.abc import Callable

from onecode_common.errors import ExhaustedError, UnavailableError
from onecode_serving.client.call import Call, Flow
from onecode_serving.client.sending import Sending
from onecode_serving.client.status import reset_error
from onecode_serving.http2 import frames as h2
from onecode_serving.http2.headers import HeaderDecoder, Headers

_MAX_REPLY = 64 << 20
_STREAM_WINDOW = 4 << 20
_CONNECTION_WINDOW = 16 << 20
_CACHED_BLOCKS = 64
_FIRST_LIMIT = 100
"""Calls at once before the server has said its limit."""

_LOST = "client.connection"


class ClientEngine:
    """One connection.

    Attributes:
        leaving: No new calls are carried; those that are open may end.
        broken: Why the connection must be closed now, or None.
    """

    def __init__(self) -> None:
        self.leaving = False
        self.broken: str | None = None
        self._out: list[bytes] = [
            h2.PREFACE,
            h2.settings_frame({h2.ENABLE_PUSH: 0, h2.INITIAL_WINDOW_SIZE: _STREAM_WINDOW}),
            h2.window_frame(0, _CONNECTION_WINDOW - h2.FIRST_WINDOW),
        ]
        self._sending = Sending(self._out)
        self._tail = b""
        self._next = 1
        self._limit = _FIRST_LIMIT
        self._open: dict[int, Call] = {}
        self._flows: dict[int, Flow] = {}
        self._waiting: deque[Call] = deque()
        self._owed = 0
        self._decoder = HeaderDecoder()
        self._blocks: dict[bytes, Headers] = {}
        self._block: tuple[int, int, bytes] | None = None
        self._acts: dict[int, Callable[[int, int, bytes], None]] = {
            h2.RST_STREAM: self._reset,
            h2.SETTINGS: self._settings,
            h2.PING: self._ping,
            h2.GOAWAY: self._goaway,
            h2.WINDOW_UPDATE: self._credit,
            h2.CONTINUATION: self._continuation,
        }

    @property
    def idle(self) -> bool:
        """Whether no call is open or waits."""
        return not self._open and not self._waiting

    def submit(self, call: Call) -> None:
        """Make a call as soon as the server allows one more; on a connection that is :attr:`leaving`, elsewhere."""
        if self.leaving or self.broken:
            call.outcome.again()
        elif len(self._open) < self._limit:
            self._begin(call)
        else:
            self._waiting.append(call)

    def send(self, call: Call, data: bytes) -> None:
        """Send more of a stream; nothing if it is over."""
        if call.stream in self._open:
            self._sending.more(call.stream, data)
        elif call in self._waiting:
            call.message += data

    def end(self, call: Call) -> None:
        """Send no more of a stream."""
        if call.stream in self._open:
            self._sending.end(call.stream)
        call.ending = True

    def unsent(self, call: Call) -> int:
        """Return how many bytes of a stream wait to be sent."""
        return self._sending.unsent(call.stream) if call.stream else len(call.message)

    def give_back(self, call: Call) -> None:
        """Let the server send more on a stream, because what came has been taken."""
        if call.received > _STREAM_WINDOW // 2 and call.stream in self._open:
            self._out.append(h2.window_frame(call.stream, call.received))
            call.received = 0

    def cancel(self, call: Call) -> None:
        """Forget a call and tell the server, if it knows of it."""
        if self._forgotten(call.stream) is not None:
            self._out.append(h2.reset_frame(call.stream, h2.CANCEL))
            self._more()
        elif call in self._waiting:
            self._waiting.remove(call)

    def expire(self, now: float) -> None:
        """End calls whose time is over."""
        # Those that wait come first: the end of an open one would begin them.
        late = [call for call in (*self._waiting, *self._open.values()) if call.deadline <= now]
        for call in late:
            self.cancel(call)
            message = "no answer in time: allow more, or ask less at once"
            call.outcome.failed(UnavailableError(message, code="deadline.exceeded"))

    def take(self) -> bytes:
        """Return what there is to write."""
        data = b"".join(self._out)
        self._out.clear()
        return data

    def receive(self, data: bytes) -> None:
        """Take bytes of the server; never raises for them, but may set :attr:`broken`."""
        if self._tail:
            data = self._tail + data
            self._tail = b""
        at, end = 0, len(data)
        try:
            while at + h2.HEAD <= end:
                head, flags, stream = h2.unpack_head(data, at)
                start, at = at + h2.HEAD, at + h2.HEAD + (head >> 8)
                if at > end:
                    at = start - h2.HEAD
                    break
                self._frame(head & 0xFF, flags, stream & h2.GREATEST, data[start:at])
        except h2.ProtocolError as error:
            self._break(error.number, str(error))
            return
        self._tail = data[at:]
        if len(self._tail) > h2.HEAD and int.from_bytes(self._tail[:3], "big") > h2.SMALLEST_FRAME:
            self._break(h2.FRAME_SIZE_ERROR, "a frame longer than was announced")

    def lost(self, why: str) -> None:
        """End everything: the transport is gone."""
        self.broken = self.broken or why
        opened, waiting = list(self._open.values()), list(self._waiting)
        for table in (self._open, self._flows, self._waiting):
            table.clear()
        for call in opened:
            message = f"the connection was lost before the answer: {self.broken}"
            call.outcome.failed(UnavailableError(message, code=_LOST))
        for call in waiting:
            call.outcome.again()

    def _begin(self, call: Call) -> None:
        call.stream = stream = self._next
        self._next += 2
        self._open[stream] = call
        if call.flow is None:
            self._sending.request(stream, call.block, call.message)
        else:
            self._flows[stream] = call.flow
            self._sending.open(stream, call.block)
            self._sending.more(stream, call.message)
            if call.ending:
                self._sending.end(stream)
        if self._next > h2.GREATEST:
            self.leaving = True

    def _more(self) -> None:
        while self._waiting and not self.leaving and len(self._open) < self._limit:
            self._begin(self._waiting.popleft())

    def _frame(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if self._block is not None and kind != h2.CONTINUATION:
            raise h2.ProtocolError(h2.PROTOCOL_ERROR, "another frame inside a header block")
        if kind == h2.DATA:
            self._data(flags, stream, payload)
        elif kind == h2.HEADERS:
            block = h2.without_padding(flags, payload)
            block = block[5:] if flags & h2.PRIORITISED else block
            self._headers(flags, stream, block)
        elif kind in self._acts:
            self._acts[kind](flags, stream, payload)
        elif kind == h2.PUSH_PROMISE:
            raise h2.ProtocolError(h2.PROTOCOL_ERROR, "a push that was switched off")

    def _data(self, flags: int, stream: int, payload: bytes) -> None:
        size = len(payload)
        self._owed += size
        if self._owed > _CONNECTION_WINDOW // 2:
            self._out.append(h2.window_frame(0, self._owed))
            self._owed = 0
        call = self._open.get(stream)
        if call is None:
            return
        call.received += size
        if call.flow is not None:
            call.flow.piece(h2.without_padding(flags, payload))
            if flags & h2.END_STREAM and call.stream in self._open:
                self._ended(call)
            return
        call.chunks.append(h2.without_padding(flags, payload))
        if flags & h2.END_STREAM:
            self._ended(call)
        elif call.received > _STREAM_WINDOW // 2:
            self._out.append(h2.window_frame(stream, call.received))
            call.received = 0
            if sum(map(len, call.chunks)) > _MAX_REPLY:
                self.cancel(call)
                message = f"an answer of more than {_MAX_REPLY} bytes: ask for fewer rows at once"
                call.outcome.failed(ExhaustedError(message, code="message.too_large"))

    def _headers(self, flags: int, stream: int, block: bytes) -> None:
        if not flags & h2.END_HEADERS:
            self._block = (flags, stream, block)
            return
        headers = self._blocks.get(block)
        if headers is None:
            headers, changed = self._decoder.decode(block)
            if changed or len(self._blocks) >= _CACHED_BLOCKS:
                self._blocks.clear()
            if not changed:
                self._blocks[block] = headers
        call = self._open.get(stream)
        if call is not None:
            call.headers = headers
            if flags & h2.END_STREAM:
                self._ended(call)

    def _continuation(self, flags: int, stream: int, payload: bytes) -> None:
        if self._block is None or self._block[1] != stream:
            raise h2.ProtocolError(h2.PROTOCOL_ERROR, "a continuation of nothing")
        first, _, block = self._block
        self._block = None
        if len(block) + len(payload) > h2.SMALLEST_FRAME:
            raise h2.ProtocolError(h2.ENHANCE_YOUR_CALM, "a header block of more than 16 KiB")
        self._headers(first | flags & h2.END_HEADERS, stream, block + payload)

    def _ended(self, call: Call) -> None:
        self._forgotten(call.stream)
        chunks = call.chunks
        call.outcome.answered(call.headers, chunks[0] if len(chunks) == 1 else b"".join(chunks))
        if self._waiting:
            self._more()

    def _forgotten(self, stream: int) -> Call | None:
        """Return an open call and let go of it; None if there is none."""
        self._sending.drop(stream)
        if self._flows:
            self._flows.pop(stream, None)
        return self._open.pop(stream, None)

    def _reset(self, _flags: int, stream: int, payload: bytes) -> None:
        call = self._forgotten(stream)
        if call is None:
            return
        number = int.from_bytes(payload[:4], "big")
        if number == h2.REFUSED_STREAM:
            call.outcome.again()
        else:
            call.outcome.failed(reset_error(number))
        self._more()

    def _settings(self, flags: int, _stream: int, payload: bytes) -> None:
        if flags & h2.ACK:
            return
        if len(payload) % 6:
            raise h2.ProtocolError(h2.FRAME_SIZE_ERROR, "settings of a wrong length")
        # First, since the server counts by the new values only after it.
        self._out.append(h2.frame(h2.SETTINGS, h2.ACK, 0))
        for name, value in h2.read_settings(payload):
            if name == h2.MAX_CONCURRENT_STREAMS:
                self._limit = value
            elif name == h2.INITIAL_WINDOW_SIZE:
                self._sending.first_window(value)
            elif name == h2.MAX_FRAME_SIZE:
                self._sending.largest = max(h2.SMALLEST_FRAME, min(value, h2.GREATEST_FRAME))
        self._more()

    def _ping(self, flags: int, _stream: int, payload: bytes) -> None:
        if not flags & h2.ACK:
            self._out.append(h2.frame(h2.PING, h2.ACK, 0, payload))

    def _goaway(self, _flags: int, _stream: int, payload: bytes) -> None:
        if len(payload) < 8:  # noqa: PLR2004 - last stream and code
            raise h2.ProtocolError(h2.FRAME_SIZE_ERROR, "a goodbye of a wrong length")
        self.leaving = True
        last = int.from_bytes(payload[:4], "big") & h2.GREATEST
        late = [call for call in (*self._open.values(), *self._waiting) if not 0 < call.stream <= last]
        self._waiting.clear()
        for call in late:
            self._forgotten(call.stream)
            call.outcome.again()

    def _credit(self, _flags: int, stream: int, payload: bytes) -> None:
        self._sending.credit(stream, int.from_bytes(payload[:4], "big") & h2.GREATEST)
        for flow in tuple(self._flows.values()):
            flow.moved()

    def _break(self, number: int, why: str) -> None:
        self._out.append(h2.goaway_frame(0, number, why))
        self.lost(f"the server broke the protocol: {why}")
