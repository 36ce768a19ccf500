"""The way bytes are cut and frames are mixed changes nothing."""

from itertools import pairwise

import pytest
from http2_kit import (
    GREETING,
    SMALL,
    STREAMING,
    RecordingApp,
    Wire,
    block_for,
    call,
    data,
    headers,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from onecode_serving.http2 import encode_block
from onecode_serving.http2.frames import (
    CONTINUATION,
    DATA,
    END_HEADERS,
    END_STREAM,
    HEADERS,
    PADDED,
    PING,
    frame,
    reset_frame,
    settings_frame,
    window_frame,
)

ECHO = block_for("/echo")
STORING = b"\x83\x86\x44\x05/echo"
STORED = b"\x83\x86\xbe"

CONVERSATIONS = {
    "fast": headers(1, ECHO) + window_frame(1, 5) + data(1, b"one", end=True)
    + headers(3, ECHO) + window_frame(3, 5) + data(3, b"two", end=True) + window_frame(0, 6)
    + headers(5, ECHO) + data(5, b"three", end=True) + call(7, b"four", ECHO),
    "tables": call(1, b"a", STORING) + call(3, b"b", STORED) + call(5, b"c", STORED) + call(7, b"d", STORING)
    + call(9, b"e", STORED),
    "slow": frame(HEADERS, 0, 1, ECHO[:5]) + frame(CONTINUATION, END_HEADERS, 1, ECHO[5:]) + data(1, b"fi")
    + headers(3, STREAMING) + frame(DATA, PADDED, 3, b"\x02ab\0\0") + data(1, b"ve", end=True)
    + data(3, b"cd") + headers(3, encode_block([("x", "1")]), end=True),
    "refused": headers(1, SMALL) + data(1, bytes(101)) + data(1, end=True) + call(3, bytes(200), SMALL)
    + call(5, b"x", encode_block([(":path", "/")])) + call(7, b"fine", ECHO),
    "control": frame(PING, 0, 0, b"12345678") + settings_frame({4: 3}) + call(1, b"windows", ECHO)
    + window_frame(1, 2) + window_frame(1, 100) + reset_frame(1, 8) + headers(3) + reset_frame(3, 8)
    + call(5) + reset_frame(5, 8) + call(7) + data(7, b"after the end"),
    "fault": call(1, b"last", ECHO) + headers(2) + call(3, b"never", ECHO),
    "oversized": call(1, b"last", ECHO) + frame(DATA, 0, 3, bytes(16_385))[:40],
    "oversized in the fast lane": call(1, b"last", ECHO) + call(3, bytes(16_385), ECHO)[:-16_300],
    "hpack": call(1, b"last", ECHO) + headers(3, b"\x80") + call(5, b"never", ECHO),
}  # fmt: skip


def outcome(*parts: bytes, write_between: bool = False) -> tuple[list[tuple[object, ...]], bytes, bool]:
    """Return the calls, the output and whether the connection ends."""
    wire = Wire(greeting=b"")
    written = b""
    for part in (GREETING, *parts):
        wire.engine.receive(part, 0.0)
        if write_between:
            written += wire.engine.take()
    return wire.app.calls, written + wire.engine.take(), wire.engine.closing


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_cut_at_every_position_it_is_the_same_conversation(name: str) -> None:
    whole = CONVERSATIONS[name]
    expected = outcome(whole)
    assert expected[0] or expected[2]
    for at in range(1, len(whole)):
        assert outcome(whole[:at], whole[at:]) == expected, at


@pytest.mark.parametrize("name", CONVERSATIONS)
def test_byte_by_byte_it_is_the_same_conversation(name: str) -> None:
    whole = CONVERSATIONS[name]
    parts = [whole[at : at + 1] for at in range(len(whole))]
    assert outcome(*parts) == outcome(whole)
    if name != "control":
        # Where a window holds bytes back, it also matters when they are written.
        assert outcome(*parts, write_between=True) == outcome(whole)


@given(st.sampled_from(sorted(CONVERSATIONS)), st.lists(st.integers(0, 400), max_size=6))
def test_cut_anywhere_it_is_the_same_conversation(name: str, cuts: list[int]) -> None:
    whole = CONVERSATIONS[name]
    edges = [0, *sorted(cut for cut in cuts if cut < len(whole)), len(whole)]
    parts = [whole[start:stop] for start, stop in pairwise(edges)]
    assert outcome(*parts) == outcome(whole)


@st.composite
def one_request(draw: st.DrawFn) -> tuple[list[tuple[int, int, bytes]], str, bytes]:
    """Return the frames of a request (kind, flags, payload), its path, and its body."""
    path = draw(st.sampled_from(["/unary", "/echo", "/streaming"]))
    parts = draw(st.lists(st.binary(max_size=40), max_size=4))
    block = block_for(path)
    frames: list[tuple[int, int, bytes]] = []
    cut = draw(st.integers(0, len(block)))
    if draw(st.booleans()):
        frames.append((HEADERS, END_HEADERS, block))
    else:
        # A block may not be interrupted: both frames stand together.
        frames.append((HEADERS, 0, block[:cut]))
        frames.append((CONTINUATION, END_HEADERS, block[cut:]))
    for number, part in enumerate(parts):
        last = number == len(parts) - 1
        if draw(st.booleans()):
            padding = draw(st.integers(0, 5))
            frames.append((DATA, PADDED | (END_STREAM if last else 0), bytes((padding,)) + part + bytes(padding)))
        else:
            frames.append((DATA, END_STREAM if last else 0, part))
        if draw(st.booleans()):
            frames.append((8, 0, (5).to_bytes(4, "big")))
    if not parts:
        frames.append((DATA, END_STREAM, b""))
    return frames, path, b"".join(parts)


@settings(max_examples=100)
@given(st.lists(one_request(), min_size=1, max_size=5), st.data())
def test_frames_of_several_streams_may_come_in_any_order(
    requests: list[tuple[list[tuple[int, int, bytes]], str, bytes]], dice: st.DataObject
) -> None:
    wire = Wire()
    waiting = [(2 * number + 1, list(frames)) for number, (frames, _, _) in enumerate(requests)]
    opened = 0
    while waiting:
        # Streams are opened in the order of their ids; whatever is open may go on.
        choice = dice.draw(st.integers(0, min(opened, len(waiting) - 1)))
        stream, frames = waiting[choice]
        kind, flags, payload = frames.pop(0)
        wire.put(frame(kind, flags, stream, payload))
        if kind == HEADERS:
            opened += 1
        if not flags & END_HEADERS and kind == HEADERS:
            kind, flags, payload = frames.pop(0)
            wire.put(frame(kind, flags, stream, payload))
        if not frames:
            waiting.pop(choice)
            opened -= 1
    assert not wire.engine.closing
    assert bodies(wire.app) == {
        2 * number + 1: (path.encode(), body) for number, (_, path, body) in enumerate(requests)
    }


def bodies(app: RecordingApp) -> dict[int, tuple[bytes, bytes]]:
    """Return path and body of every complete request by stream."""
    paths: dict[int, bytes] = {}
    pieces: dict[int, bytes] = {}
    complete: dict[int, tuple[bytes, bytes]] = {}
    for name, stream, *rest in app.calls:
        assert isinstance(stream, int)
        if name == "whole":
            complete[stream] = (rest[0], rest[1])  # type: ignore[assignment]
        elif name == "opened":
            paths[stream] = rest[0]  # type: ignore[assignment]
            pieces[stream] = b""
        elif name == "piece":
            pieces[stream] += rest[0]  # type: ignore[operator]
        elif name == "ended":
            assert stream not in complete
            complete[stream] = (paths[stream], pieces[stream])
        else:
            pytest.fail(f"{name} on stream {stream}")
    return complete


@given(st.lists(st.integers(1, 64), min_size=1, max_size=30))
def test_skipped_stream_ids_harm_nobody(steps: list[int]) -> None:
    wire = Wire()
    stream = -1
    for step in steps:
        stream += 2 * step
        wire.put(call(stream, b"x", ECHO))
    assert len(wire.app.calls) == len(steps)
    assert not wire.engine.closing
