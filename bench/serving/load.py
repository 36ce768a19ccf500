"""Keep a server busy from one process: non-blocking sockets, one poll, one request in flight on each connection."""

import gc
import select
import socket
import ssl
import time
from collections.abc import Callable
from dataclasses import replace

from bench.serving.job import GRPC, STREAM, Job, Seen
from bench.serving.links import LINKS, RefusedError, RestLink, StreamLink, UnaryLink
from bench.serving.machine import Spent

_READ = 1 << 16
_PATIENCE_S = 10.0
_CLOSED = "the server closed the connection"


class Wire:
    """A socket, the link that speaks on it, and when its request left."""

    __slots__ = ("ask", "heard", "link", "receive", "say", "send", "sent", "sock")

    def __init__(self, job: Job, number: int, sock: socket.socket) -> None:
        self.sock = sock
        self.link: UnaryLink | StreamLink | RestLink = LINKS[job.face](job, number, job.port)
        self.ask, self.heard, self.say = self.link.ask, self.link.heard, self.link.say
        self.send = sock.send
        self.receive: Callable[[int], bytes] = sock.recv
        if isinstance(sock, ssl.SSLSocket):
            self.receive = self._decrypted
        self.sent = 0.0

    def _decrypted(self, size: int) -> bytes:
        sock = self.sock
        assert isinstance(sock, ssl.SSLSocket)  # noqa: S101 - for the type checker
        try:
            data = sock.recv(size)
            while sock.pending():
                data += sock.recv(size)
        except ssl.SSLWantReadError as error:
            raise BlockingIOError from error
        return data


def drive(job: Job) -> Seen:
    """Do a job and return what was seen."""
    wires = {
        wire.sock.fileno(): wire for wire in (Wire(job, number, connect(job)) for number in range(job.connections))
    }
    seen = Seen()
    gc.collect()
    gc.disable()
    try:
        with select.epoll() as poll:
            for number, wire in wires.items():
                poll.register(number, select.EPOLLIN)
                wire.sent = time.perf_counter()
                wire.send(wire.ask())
            _run(replace(job, least=0, last=""), wires, poll, warm := Seen(), job.warm_s)
            seen.failures, seen.reasons = warm.failures, warm.reasons
            before, cpu = Spent.now(job.server_pid, job.root_pid), time.process_time()
            _run(job, wires, poll, seen, job.seconds)
            seen.own_cpu_s = time.process_time() - cpu
            seen.spent = Spent.now(job.server_pid, job.root_pid).since(before)
            _finish(wires, poll, seen)
    finally:
        gc.enable()
        for wire in wires.values():
            wire.sock.close()
    return seen


def connect(job: Job, source: str = "127.0.0.1") -> socket.socket:
    """Return a non-blocking connection, after the handshake if it is encrypted."""
    sock = socket.create_connection(("127.0.0.1", job.port), timeout=_PATIENCE_S, source_address=(source, 0))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if job.authority_file:
        context = ssl.create_default_context(cafile=job.authority_file)
        context.set_alpn_protocols(["h2" if job.face in (GRPC, STREAM) else "http/1.1"])
        sock = context.wrap_socket(sock, server_hostname="localhost")
    sock.settimeout(0)
    return sock


def _run(job: Job, wires: dict[int, Wire], poll: select.epoll, seen: Seen, seconds: float) -> None:  # noqa: C901 - one hot loop: a call more for each answer would cost a tenth of what an answer costs
    """Ask again after each answer until the time is over, enough came and the last version was seen."""
    clock, note, trace = time.perf_counter, seen.latencies.append, seen.events.append if job.trace else None
    least, last = job.least, job.last
    now = begin = clock()
    ends = begin + seconds
    while now < ends or seen.answers < least or last:
        ready = poll.poll(_PATIENCE_S)
        if not ready:
            seen.failed(f"nothing came for {_PATIENCE_S:.0f} s")
            break
        for number, _ in ready:
            wire = wires[number]
            try:
                version = wire.heard(data := wire.receive(_READ))
                if version is None and data:
                    if said := wire.say():
                        wire.send(said)
                    continue
                now = clock()
                if not data:
                    raise ConnectionResetError(_CLOSED)
            except BlockingIOError:
                continue
            except (RefusedError, OSError) as error:
                seen.failed(str(error))
                wire = _mended(job, wires, poll, number, error)
                version = None
                now = clock()
            if version is not None:
                seen.answers += 1
                note(now - wire.sent)
                if version == last:
                    last = ""
                if trace:
                    trace((wire.sent, now, version))
                if wire.link.leaving:
                    wire = _renewed(job, wires, poll, number)
            wire.sent = now
            wire.send(wire.ask())
    seen.seconds = clock() - begin


def _finish(wires: dict[int, Wire], poll: select.epoll, seen: Seen) -> None:
    """Take the answers that are still due, so that no request is cancelled."""
    due = set(wires)
    while due and (ready := poll.poll(_PATIENCE_S)):
        for number, _ in ready:
            try:
                data = wires[number].receive(_READ)
                if not data or wires[number].heard(data) is not None:
                    due.discard(number)
                    poll.unregister(number)
            except BlockingIOError:
                continue
            except (RefusedError, OSError) as error:
                seen.failed(f"at the end: {error}")
                due.discard(number)
                poll.unregister(number)
    for _ in due:
        seen.failed("the last answer never came")


def _mended(job: Job, wires: dict[int, Wire], poll: select.epoll, number: int, error: Exception) -> Wire:
    """Return the wire to go on with after a failure: a refused call leaves a unary connection as it was."""
    lost = isinstance(error, OSError) or job.face == STREAM
    return _renewed(job, wires, poll, number) if lost else wires[number]


def _renewed(job: Job, wires: dict[int, Wire], poll: select.epoll, number: int) -> Wire:
    """Return a wire on a new connection in the place of an old one."""
    old = wires.pop(number)
    poll.unregister(number)
    old.sock.close()
    wire = Wire(job, number, connect(job))
    wires[wire.sock.fileno()] = wire
    poll.register(wire.sock.fileno(), select.EPOLLIN)
    return wire
