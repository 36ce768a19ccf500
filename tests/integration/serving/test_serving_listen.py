"""Real sockets: whoever connects is served within bounds, and nobody loses anything when the server goes."""

import asyncio
import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import uvloop
from listen_line_protocol import GET, LinePlane, listening

from onecode_common.errors import ConflictError
from onecode_serving.listen.connection import GOAWAY_INTERNAL_ERROR
from onecode_serving.listen.dispatch import PREFACE
from onecode_serving.listen.server import OipServer
from onecode_serving.listen.sockets import open_sockets

LIMIT_S = 20.0


def until(claim: Callable[[], Any], what: str = "") -> Any:
    end = time.monotonic() + LIMIT_S
    while not (found := claim()):
        assert time.monotonic() < end, f"waited in vain: {what}"
        time.sleep(0.005)
    return found


class Caller:
    """A plain socket that reads lines."""

    def __init__(self, port: int, first: bytes = PREFACE) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=LIMIT_S)
        self.file = self.socket.makefile("rb")
        if first:
            self.send(first)

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def ask(self, line: bytes) -> bytes:
        self.send(line + b"\n")
        return self.line()

    def line(self) -> bytes:
        """Return the next line, or nothing if the server has closed or reset."""
        try:
            return self.file.readline().strip()
        except ConnectionResetError:
            return b""

    def close(self) -> None:
        self.file.close()
        self.socket.close()


@pytest.fixture
def plane() -> LinePlane:
    return LinePlane()


@pytest.fixture
def callers(plane: LinePlane) -> Iterator[Callable[..., Caller]]:
    made: list[Caller] = []

    def call(port: int, first: bytes = PREFACE) -> Caller:
        made.append(Caller(port, first))
        return made[-1]

    def close() -> None:
        for one in made:
            one.close()

    # A server that stops waits a moment for callers that are not closed.
    plane.before_stop = close
    yield call
    close()


@pytest.mark.parametrize("make_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_either_protocol_is_spoken_on_either_port(
    plane: LinePlane, callers: Callable[..., Caller], make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    with listening(plane, make_loop=make_loop) as server:
        for port in server.ports:
            for first in (PREFACE, GET):
                caller = callers(port, first)
                assert caller.ask(b"ask now") == b"now"
                assert caller.ask(b"later soon") == b"soon"
        assert [engine.pings for engine in plane.engines] == [True, False, True, False]
        assert (server.ready(), server.alive(), server.present) == (None, None, 4)
    assert plane.lost == 4


def test_first_bytes_may_come_one_by_one(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane) as server:
        caller = callers(server.port, b"")
        for position in range(len(PREFACE)):
            caller.send(PREFACE[position : position + 1])
        assert caller.ask(b"ask x") == b"x"


@pytest.mark.parametrize(
    "first", [b"\x16\x03\x01\x02\x00\x01", b"SSH-2.0-OpenSSH\r\n", b"PRI * HTTP/1.1\r\n", b"\0" * 99]
)
def test_strangers_are_closed_without_a_word(plane: LinePlane, callers: Callable[..., Caller], first: bytes) -> None:
    with listening(plane) as server:
        assert callers(server.port, first).line() == b""
        until(lambda: server.counts.strangers == 1)
        assert (plane.engines, server.present) == ([], 0)


def test_who_says_nothing_or_half_a_word_is_closed_in_time(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane, greeting_s=0.3) as server:
        silent, half = callers(server.port, b""), callers(server.port, PREFACE[:10])
        assert (silent.line(), half.line()) == (b"", b"")
        assert server.counts.silent == 2


def test_an_address_has_its_share_of_connections(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane, per_address=2) as server:
        first, second = callers(server.port), callers(server.port)
        assert first.ask(b"ask 1") == second.ask(b"ask 2")[:0] + b"1"
        assert callers(server.port, b"").line() == b""
        assert (server.turned_away, server.present) == (1, 2)
        first.close()
        until(lambda: server.present == 1)
        assert callers(server.port).ask(b"ask 3") == b"3"


def test_an_error_of_ours_ends_one_connection_only_and_is_counted(
    plane: LinePlane, callers: Callable[..., Caller]
) -> None:
    with listening(plane) as server:
        good, bad, worse = callers(server.port), callers(server.port), callers(server.port, GET)
        assert good.ask(b"ask 1") == b"1"
        bad.send(b"never 1\nboom\n")
        assert bad.file.read() == GOAWAY_INTERNAL_ERROR
        worse.send(b"boom\n")
        assert worse.file.read() == b""
        assert good.ask(b"later 2") == b"2"
        assert (server.counts.surprises, plane.lost) == (2, 2)


def test_what_the_engine_ends_is_read_to_its_last_byte(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane) as server:
        caller = callers(server.port)
        # More than the kernel keeps for us: without lingering the unread bytes would reset the answer away.
        caller.send(b"big 300000\nclose\n" + b"y" * 100_000)
        assert caller.file.read() == b"x" * 300_000 + b"closed\n"
        caller.close()
        until(lambda: server.present == 0)
        assert plane.lost == 1


def test_answers_of_one_turn_are_written_once(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane) as server:
        caller = callers(server.port)
        caller.send(b"".join(b"later %d\n" % number for number in range(50)))
        assert [caller.line() for _ in range(50)] == [b"%d" % number for number in range(50)]
        assert plane.flushes < 10


def test_a_peer_that_does_not_read_is_not_read_either_and_then_cut(
    plane: LinePlane, callers: Callable[..., Caller]
) -> None:
    with listening(plane, stalled_s=0.5) as server:
        slow, good = callers(server.port), callers(server.port)
        slow.send(b"big 30000000\n")
        until(lambda: plane.engines)
        for number in range(100):
            assert good.ask(b"later %d" % number) == b"%d" % number
        assert plane.budget.used > 20_000_000, "what waits in the transport is counted as what waits in engines"
        slow.send(b"ask unheard\n")
        until(lambda: server.counts.stalled == 1, "the peer that does not read is cut")
        assert plane.engines[0].lines == 1
        assert good.ask(b"ask x") == b"x"
        until(lambda: plane.budget.used == 0, "a peer that is cut waits for nothing")


def test_who_does_not_read_is_cut_when_all_of_them_hold_too_much(
    plane: LinePlane, callers: Callable[..., Caller]
) -> None:
    plane.budget.limit = 50_000_000
    with listening(plane, stalled_s=60) as server:
        slow = [callers(server.port) for _ in range(4)]
        good = callers(server.port)
        for one in slow:
            one.send(b"big 20000000\n")
            until(lambda: good.ask(b"ask x") == b"x")
        until(lambda: server.counts.stalled >= 1, "the one that is too many is cut")
        until(lambda: plane.budget.used <= plane.budget.limit)
        assert server.counts.stalled <= 2
        assert good.ask(b"later x") == b"x"


def test_a_slow_reader_that_reads_gets_everything(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane, stalled_s=1.0) as server:
        caller = callers(server.port)
        caller.send(b"big 20000000\nask end\n")
        got = 0
        while got < 20_000_000:
            got += len(caller.file.read(500_000))
            time.sleep(0.02)
        assert (got, caller.line(), server.counts.stalled) == (20_000_000, b"end", 0)
        until(lambda: plane.budget.used == 0, "all of it is taken")


def test_who_asks_nothing_for_long_is_let_go(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane, idle_s=0.3) as server:
        idle, waiting = callers(server.port), callers(server.port)
        assert idle.ask(b"ask 1") == b"1"
        waiting.send(b"never 1\n")
        assert (idle.line(), idle.line()) == (b"bye", b"")
        idle.close()
        until(lambda: server.present == 1)
        assert server.counts.idle == 1


def test_an_old_connection_is_asked_to_come_again(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane, age_s=0.2, age_grace_s=60) as server:
        old = callers(server.port)
        plane.hold.set()
        old.send(b"later 1\n")
        assert old.line() == b"bye"
        assert old.ask(b"ask still") == b"still"
        plane.hold.clear()
        assert (old.line(), server.present) == (b"1", 1)
        old.send(b"ack\n")
        assert old.line() == b""
        assert server.counts.aged == 1


def test_a_drain_finishes_what_was_accepted_and_takes_nothing_new(
    plane: LinePlane, callers: Callable[..., Caller]
) -> None:
    plane.hold.set()
    with listening(plane, idle_s=99, grace_s=30) as server:
        busy, idle, text = callers(server.port), callers(server.port), callers(server.port, GET)
        busy.send(b"later 1\n")
        text.send(b"later 2\n")
        assert idle.ask(b"ask 0") == b"0"
        until(lambda: len(plane.engines) == 3 and len(plane.waiting) == 2)
        stop = threading.Thread(target=server.stop)
        stop.start()
        assert (busy.line(), idle.line(), text.line()) == (b"bye", b"bye", b"bye")
        assert server.ready() == "draining"
        idle.send(b"ack\n")
        assert idle.line() == b""
        with pytest.raises(ConnectionRefusedError):
            Caller(server.port)
        busy.send(b"later 3\n")
        until(lambda: len(plane.waiting) == 3, "what was sent before the peer heard is accepted")
        plane.hold.clear()
        assert [busy.line(), busy.line(), text.line(), text.line()] == [b"1", b"3", b"2", b""]
        busy.send(b"ack\n")
        assert busy.line() == b""
        stop.join(LIMIT_S)
        assert not stop.is_alive()
        assert (server.counts.cut, server.present) == (0, 0)


def test_the_next_request_of_a_busy_http1_caller_is_answered_before_its_connection_ends(
    plane: LinePlane, callers: Callable[..., Caller]
) -> None:
    with listening(plane) as server:
        caller = callers(server.port, GET)
        assert caller.ask(b"ask 1") == b"1"
        stop = threading.Thread(target=server.stop)
        stop.start()
        until(lambda: server.ready() == "draining")
        assert caller.ask(b"later 2") in (b"2", b"bye")
        stop.join(LIMIT_S)
        assert server.counts.cut == 0


def test_what_never_ends_is_cut_when_the_grace_is_over(plane: LinePlane, callers: Callable[..., Caller]) -> None:
    with listening(plane, grace_s=0.2) as server:
        caller = callers(server.port)
        caller.send(b"never 1\n")
        until(lambda: plane.engines and plane.engines[0].in_hand)
        server.stop()
        assert (caller.line(), caller.line()) == (b"bye", b"")
        assert server.present == 0


def test_an_inherited_socket_goes_on_listening_after_its_server(
    plane: LinePlane, callers: Callable[..., Caller]
) -> None:
    (kept,) = open_sockets(["127.0.0.1:0"])
    port = kept.getsockname()[1]

    def serve() -> Any:
        return listening(plane, inherited=(kept.dup().detach(),), last=False)

    with serve() as first:
        assert first.ports == (port,)
        assert callers(port).ask(b"ask 1") == b"1"
        with serve() as second:
            stop = threading.Thread(target=first.stop, kwargs={"last": False})
            stop.start()
            for number in range(200):
                caller = Caller(port)
                assert caller.ask(b"later %d" % number) in (b"%d" % number, b"bye")
                caller.close()
            stop.join(LIMIT_S)
        waiting = callers(port)
        with serve():
            assert waiting.ask(b"ask 2") == b"2"
        assert second.present == 0
    kept.close()


def test_several_processes_may_share_a_port_and_others_are_told_that_it_is_taken(plane: LinePlane) -> None:
    with listening(plane, reuse_port=True) as server:
        address = f"127.0.0.1:{server.port}"
        with listening(LinePlane(), rest_address=address, grpc_address="", reuse_port=True):
            with pytest.raises(ConflictError, match="cannot listen"):
                open_sockets([address])
            with pytest.raises(ConflictError, match="cannot listen"):
                open_sockets(["127.0.0.1:0", address])


def test_a_loop_that_stands_still_is_not_alive(plane: LinePlane) -> None:
    with listening(plane) as server:
        assert server.alive() is None
        held = threading.Event()
        server.call(lambda: held.wait(LIMIT_S))
        assert "not turned" in until(server.alive)
        assert "not turned" in str(server.ready())
        held.set()
        until(lambda: server.alive() is None)
    assert OipServer(plane, plane, server._settings).alive() == "not listening"


def test_the_server_is_ready_when_its_plane_is(plane: LinePlane) -> None:
    plane.reason = "models are loading"
    with listening(plane) as server:
        assert server.ready() == "models are loading"
        plane.reason = None
        assert server.ready() is None


def test_a_process_that_only_serves_keeps_its_models_from_the_collector(plane: LinePlane) -> None:
    before = gc.get_freeze_count()
    plane.reason = "models are loading"
    try:
        with listening(plane, freeze=True) as server:
            until(lambda: server._beats > 10)
            assert gc.get_freeze_count() == before
            plane.reason = None
            until(lambda: gc.get_freeze_count() > before)
    finally:
        gc.unfreeze()


def test_a_thousand_idle_connections_are_held_and_let_go(plane: LinePlane) -> None:
    idle: list[socket.socket] = []
    with listening(plane, per_address=1100) as server:
        for _ in range(1000):
            idle.append(socket.create_connection(("127.0.0.1", server.port), timeout=LIMIT_S))
            idle[-1].sendall(PREFACE)
        until(lambda: len(plane.engines) == 1000)
        caller = Caller(server.port)
        assert [caller.ask(b"later %d" % number) for number in range(50)] == [b"%d" % number for number in range(50)]
        caller.close()
        for one in idle:
            one.close()
        until(lambda: server.present == 0)
    assert plane.lost == 1001
