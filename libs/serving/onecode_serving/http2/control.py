"""Take the frames that carry no request: settings, windows, resets, pings (RFC 9113, section 6)."""

from onecode_serving.http2.frames import (
    ACK,
    CONTINUATION,
    ENABLE_PUSH,
    ENHANCE_YOUR_CALM,
    FIRST_WINDOW,
    FLOW_CONTROL_ERROR,
    FRAME_SIZE_ERROR,
    GREATEST,
    GREATEST_FRAME,
    HEADER_TABLE_SIZE,
    INITIAL_WINDOW_SIZE,
    MAX_CONCURRENT_STREAMS,
    MAX_FRAME_SIZE,
    MAX_HEADER_LIST_SIZE,
    NO_ERROR,
    PING,
    PROTOCOL_ERROR,
    SETTINGS,
    SMALLEST_FRAME,
    ProtocolError,
    frame,
    goaway_frame,
    read_settings,
    settings_frame,
    unpack_u32,
    window_frame,
)
from onecode_serving.http2.intake import Intake
from onecode_serving.http2.limits import Budget, Http2Counts, Http2Limits
from onecode_serving.http2.ports import App
from onecode_serving.http2.sending import LARGEST_FRAME, SAID_GOODBYE, SHRINK_TABLE

_FIRST_TABLE = 4_096
_GOODBYE = b"goodbye!"
"""The eight bytes of the PING between two GOAWAYs."""
_SETTINGS_WEIGHT = 192
"""Bytes of settings (32 of them) that count like another frame."""

# Lengths and places of the frames whose form alone can be wrong: (exact length or None, needs a stream).
_RULES: dict[int, tuple[str, int | None, bool | None]] = {
    0: ("DATA", None, True),
    1: ("HEADERS", None, True),
    2: ("PRIORITY", 5, True),
    3: ("RST_STREAM", 4, True),
    4: ("SETTINGS", None, False),
    5: ("PUSH_PROMISE", None, None),
    6: ("PING", 8, False),
    7: ("GOAWAY", None, False),
    8: ("WINDOW_UPDATE", 4, None),
    9: ("CONTINUATION", None, True),
}


class Control(Intake):
    """The state that settings and pings change, and the dispatch of all frames."""

    def __init__(self, app: App, limits: Http2Limits, now: float, budget: Budget, counts: Http2Counts) -> None:
        super().__init__(app, limits, now, budget, counts)
        self._greeted = False
        # HEADERS may open a stream and DATA may come: the state in which the fast lane may be taken.
        self._lane = False
        self._acked = False
        self._tableless = False
        if limits.table_bytes > _FIRST_TABLE:
            # What we announce the peer may use as soon as it has read it.
            self._blocks.allow(limits.table_bytes)

    def _greet(self) -> None:
        """Queue our settings; the peer has shown its preface."""
        limits = self._limits
        settings = {
            MAX_CONCURRENT_STREAMS: limits.streams,
            INITIAL_WINDOW_SIZE: limits.stream_window,
            MAX_FRAME_SIZE: limits.frame_bytes,
            MAX_HEADER_LIST_SIZE: limits.list_bytes,
        }
        if limits.table_bytes != _FIRST_TABLE:
            settings[HEADER_TABLE_SIZE] = limits.table_bytes
        self._out.append(settings_frame(settings))
        if limits.connection_window > FIRST_WINDOW:
            self._out.append(window_frame(0, limits.connection_window - FIRST_WINDOW))

    def _frame_in(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        """Take one frame of any type; its length was checked against the greatest we announce."""
        if self._gathering and kind != CONTINUATION:
            raise ProtocolError(PROTOCOL_ERROR, f"a frame of type {kind} within a header block")
        if not self._greeted and (kind != SETTINGS or flags & ACK):
            raise ProtocolError(PROTOCOL_ERROR, f"a frame of type {kind} before SETTINGS")
        rule = _RULES.get(kind)
        if rule is None:
            self._control()
            return
        name, length, on_stream = rule
        if on_stream is not None and on_stream != bool(stream):
            raise ProtocolError(PROTOCOL_ERROR, f"{name} on stream {stream}")
        if length is not None and length != len(payload):
            raise ProtocolError(FRAME_SIZE_ERROR, f"{name} of {len(payload)} bytes: it has {length}")
        _TAKERS[kind](self, flags, stream, payload)

    def _priority_in(self, _flags: int, stream: int, payload: bytes) -> None:
        self._control()
        if unpack_u32(payload, 0)[0] & GREATEST == stream:
            raise ProtocolError(PROTOCOL_ERROR, f"stream {stream} depends on itself")

    def _reset_in(self, _flags: int, stream: int, _payload: bytes) -> None:
        self._refuse_idle("RST_STREAM", stream)
        self.counts.resets_received += 1
        told = self._is_known(stream)
        self._forget(stream)
        late = self._late.pop(stream, 0) is None
        if told:
            self._app.gone(stream)
        # The echo of a reset that was counted already, or of an early answer, is not another one.
        if not late:
            self._guard.reset(self._now, self._opened, len(self._light) + len(self._streams))

    def _settings_in(self, flags: int, _stream: int, payload: bytes) -> None:
        if flags & ACK:
            if payload:
                raise ProtocolError(FRAME_SIZE_ERROR, f"an acknowledgement of settings of {len(payload)} bytes")
            self._control()
            if not self._acked:
                self._acked = True
                if self._limits.table_bytes != _FIRST_TABLE:
                    self._blocks.allow(self._limits.table_bytes)
            return
        if len(payload) % 6:
            raise ProtocolError(FRAME_SIZE_ERROR, f"SETTINGS of {len(payload)} bytes: not a multiple of six")
        self._control(1 + len(payload) // _SETTINGS_WEIGHT)
        self._greeted = True
        for name, value in read_settings(payload):
            self._apply(name, value)
        self._acknowledge()
        self._out.append(frame(SETTINGS, ACK, 0))

    def _acknowledge(self) -> None:
        self._acks += 1
        if self._acks > self._limits.acks:
            raise ProtocolError(ENHANCE_YOUR_CALM, f"more than {self._limits.acks} acknowledgements wait: read them")

    def _apply(self, name: int, value: int) -> None:
        if name == ENABLE_PUSH and value > 1:
            raise ProtocolError(PROTOCOL_ERROR, f"ENABLE_PUSH {value}: 0 or 1")
        if name == INITIAL_WINDOW_SIZE:
            self._resize_windows(value)
        elif name == MAX_FRAME_SIZE:
            if not SMALLEST_FRAME <= value <= GREATEST_FRAME:
                raise ProtocolError(
                    PROTOCOL_ERROR, f"MAX_FRAME_SIZE {value}: from {SMALLEST_FRAME} to {GREATEST_FRAME}"
                )
            self._frame = min(value, LARGEST_FRAME)
        elif name == HEADER_TABLE_SIZE and value < _FIRST_TABLE and not self._tableless:
            # Our blocks never use the table; saying so once satisfies every smaller size to come.
            self._tableless = True
            self._prefix = SHRINK_TABLE
            self._fast = -1

    def _resize_windows(self, value: int) -> None:
        """Move every stream's window by the difference; it may fall below zero (RFC 9113, 6.9.2)."""
        greatest = max((*self._light.values(), *(slow.credit for slow in self._streams.values())), default=0)
        if value > GREATEST or value + greatest > GREATEST:
            raise ProtocolError(FLOW_CONTROL_ERROR, f"INITIAL_WINDOW_SIZE {value}: a window exceeds {GREATEST}")
        self._initial = value
        self._ready.update({stream: slow for stream, slow in self._streams.items() if slow.queue})

    def _ping_in(self, flags: int, _stream: int, payload: bytes) -> None:
        self._control()
        if not flags & ACK:
            self._acknowledge()
            self._out.append(frame(PING, ACK, 0, payload))
        elif payload == _GOODBYE and self._leaving:
            self._say_goodbye()

    def _goaway_in(self, _flags: int, _stream: int, payload: bytes) -> None:
        """The client opens no more streams: nothing to do, it closes the connection itself."""
        self._control()
        if len(payload) < 8:  # noqa: PLR2004 - last stream and code
            raise ProtocolError(FRAME_SIZE_ERROR, f"GOAWAY of {len(payload)} bytes: it has at least 8")

    def _window_in(self, _flags: int, stream: int, payload: bytes) -> None:
        increment = unpack_u32(payload, 0)[0] & GREATEST
        if stream:
            self._refuse_idle("WINDOW_UPDATE", stream)
        self._updates -= 1
        if self._updates < 0:
            raise ProtocolError(ENHANCE_YOUR_CALM, "more WINDOW_UPDATE than calls and answers need")
        if not stream:
            if not increment:
                raise ProtocolError(PROTOCOL_ERROR, "WINDOW_UPDATE of 0 on the connection")
            self._window += increment
            if self._window > GREATEST:
                raise ProtocolError(FLOW_CONTROL_ERROR, f"the connection's window exceeds {GREATEST}")
            return
        slow = self._streams.get(stream)
        credit = self._light.get(stream) if slow is None else slow.credit
        if credit is None:
            return
        credit += increment
        if not increment or self._initial + credit > GREATEST:
            self._provoked(stream, FLOW_CONTROL_ERROR if increment else PROTOCOL_ERROR)
        elif slow is None:
            self._light[stream] = credit
        else:
            slow.credit = credit
            if slow.queue:
                self._ready[stream] = slow

    def _refuse_idle(self, name: str, stream: int) -> None:
        if stream > self._highest or not stream & 1:
            raise ProtocolError(PROTOCOL_ERROR, f"{name} on stream {stream}, which was never opened")

    def _push_promise_in(self, _flags: int, stream: int, _payload: bytes) -> None:
        raise ProtocolError(PROTOCOL_ERROR, f"PUSH_PROMISE on stream {stream}: only servers push")

    def shutdown(self) -> None:
        """Begin a graceful end: the peer learns that it is near, its requests under way are still taken.

        When it has answered the PING (or did not in time), it learns which stream was the last. ``finished`` turns
        true when those are answered.
        """
        if self._leaving or self.closing:
            return
        if not self._greeted:
            self.closing = True
            return
        self._leaving = 1
        self._out.append(goaway_frame(GREATEST, NO_ERROR))
        self._out.append(frame(PING, 0, 0, _GOODBYE))

    def _say_goodbye(self) -> None:
        if self._leaving != SAID_GOODBYE:
            self._leaving = SAID_GOODBYE
            self._lane = False
            self._out.append(goaway_frame(self._highest, NO_ERROR))


_TAKERS = (
    Control._data_in,  # noqa: SLF001 - a table of this class
    Control._headers_in,  # noqa: SLF001
    Control._priority_in,  # noqa: SLF001
    Control._reset_in,  # noqa: SLF001
    Control._settings_in,  # noqa: SLF001
    Control._push_promise_in,  # noqa: SLF001
    Control._ping_in,  # noqa: SLF001
    Control._goaway_in,  # noqa: SLF001
    Control._window_in,  # noqa: SLF001
    Control._continuation_in,  # noqa: SLF001
)
