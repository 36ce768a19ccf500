"""Own the agent's other processes, and nothing else: it must live on when everything around it fails.

It starts ``sync``, which decides, and starts and ends ``serve`` processes on its orders. It keeps no record and imports
the standard library only. When it ends, by whatever means, its children end with it.
"""

import fcntl
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onecode_edge.layout import Layout
from onecode_edge.ports import PortTakenError, hush, reserve

_PAUSES_S = (0.1, 0.3, 1.0, 2.0, 5.0)
_STEADY_S = 30.0
_TICK_S = 0.1
_SYNC_GRACE_S = 3.0
_SERVE_GRACE_S = 3.0
_EMPTY_S = 5.0
"""How long callers wait for a serving process when the last one has ended; then they are refused."""

_REFUSED = 2
_SECRETS = ("ONECODE_EDGE_NATS_SEED_FILE", "ONECODE_EDGE_ENROL_TOKEN_FILE", "ONECODE_EDGE_KEY_FILE")


class Child:
    """A process and since when it runs."""

    def __init__(self, process: "subprocess.Popen[bytes]", set_id: str = "") -> None:
        self.process = process
        self.set_id = set_id
        self.started = time.monotonic()
        self.kill_at = float("inf")


class Supervisor:
    """The processes of one agent.

    Args:
        layout: Of its state directory.
        environment: Of the children; the agent's settings are in it.
        doors: Bound sockets of the public faces, which serving processes are given.
    """

    def __init__(self, layout: Layout, environment: Mapping[str, str], doors: list[socket.socket]) -> None:
        self._layout = layout
        self._doors = doors
        self._shut_at = float("inf")
        self._environment = dict(environment)
        self._lifeline, self._held = os.pipe()
        self._serves: dict[str, Child] = {}
        self._sync: Child | None = None
        self._orders: socket.socket | None = None
        self._buffer = b""
        self._selector = selectors.DefaultSelector()
        self._failures = 0
        self._next_sync = 0.0
        self.status: int | None = None
        self.stopping = False

    def run(self) -> int:
        """Keep the children going until told to stop; return the exit status."""
        wake, wake_write = os.pipe()
        os.set_blocking(wake, False)
        os.set_blocking(wake_write, False)
        signal.set_wakeup_fd(wake_write)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._stop)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(wake, selectors.EVENT_READ, "wake")
        while not self.stopping:
            self._start_sync()
            for key, _ in self._selector.select(_TICK_S if self._busy() else 1.0):
                if key.data == "wake":
                    os.read(wake, 4096)
                else:
                    self._read_orders()
            self._reap()
        self._end()
        return self.status or 0

    def _stop(self, *_: object) -> None:
        self.stopping = True

    def _busy(self) -> bool:
        waiting = self._sync is None
        return waiting or any(child.kill_at < float("inf") for child in self._serves.values())

    def _start_sync(self) -> None:
        if self._sync is not None or time.monotonic() < self._next_sync:
            return
        ours, theirs = socket.socketpair()
        ours.setblocking(False)  # noqa: FBT003 - the method takes it by position only
        arguments = ["-m", "onecode_edge.sync", "--orders", str(theirs.fileno())]
        process = self._spawn(arguments, (theirs.fileno(),), self._environment)
        theirs.close()
        self._sync, self._orders, self._buffer = Child(process), ours, b""
        self._selector.register(ours, selectors.EVENT_READ, "orders")
        running = [
            {"serve": name, "set": child.set_id, "pid": child.process.pid} for name, child in self._serves.items()
        ]
        self._tell({"is": "serves", "serves": running})

    def _spawn(
        self, arguments: list[str], handles: tuple[int, ...], environment: Mapping[str, str]
    ) -> "subprocess.Popen[bytes]":
        tied = ["--parent", str(os.getpid()), "--lifeline", str(self._lifeline)]
        return subprocess.Popen(  # noqa: S603 - our own interpreter and modules
            [sys.executable, *arguments, *tied],
            pass_fds=(self._lifeline, *handles),
            stdin=subprocess.DEVNULL,
            env=environment,
        )

    def _read_orders(self) -> None:
        if self._orders is None:
            return
        try:
            piece = self._orders.recv(65536)
        except BlockingIOError:
            return
        except OSError:
            piece = b""
        if not piece:
            self._close_orders()
            return
        *lines, self._buffer = (self._buffer + piece).split(b"\n")
        for line in lines:
            self._obey(json.loads(line))

    def _obey(self, order: Mapping[str, Any]) -> None:
        name = str(order["serve"])
        if order["do"] == "start" and name not in self._serves:
            arguments = ["-m", "onecode_edge.serve", "--name", name, "--set", str(order["set"])]
            arguments += ["--gateway", str(order["gateway"])]
            doors = tuple(door.fileno() for door in self._doors)
            arguments += ["--sockets", *map(str, doors)]
            environment = {key: value for key, value in self._environment.items() if key not in _SECRETS}
            self._serves[name] = Child(self._spawn(arguments, doors, environment), str(order["set"]))
            self._shut_at = float("inf")
        child = self._serves.get(name)
        if child is None:
            return
        if order["do"] == "stop":
            child.process.terminate()
            child.kill_at = time.monotonic() + float(order["grace_s"])
        elif order["do"] == "kill":
            child.process.kill()

    def _reap(self) -> None:
        now = time.monotonic()
        for name, child in list(self._serves.items()):
            if child.process.poll() is not None:
                del self._serves[name]
                lived = now - child.started
                self._tell({"is": "ended", "serve": name, "status": child.process.returncode, "uptime_s": lived})
                self._shut_at = now + _EMPTY_S if not self._serves else float("inf")
            elif now >= child.kill_at:
                child.process.kill()
        if now >= self._shut_at:
            self._shut_at = float("inf")
            hush(self._doors)
        if self._sync is not None and self._sync.process.poll() is not None:
            self._sync_ended(self._sync, now)

    def _sync_ended(self, sync: Child, now: float) -> None:
        self._close_orders()
        self._sync = None
        status = sync.process.returncode
        steady = now - sync.started > _STEADY_S
        if status == _REFUSED and not self._serves and self._failures == 0 and not steady:
            # Settings or a port that do not fit: the operator must see it, a restart would not help.
            self.status, self.stopping = _REFUSED, True
        self._failures = 0 if steady else self._failures + 1
        self._next_sync = now + _PAUSES_S[min(self._failures, len(_PAUSES_S)) - 1] if self._failures else now
        if not self.stopping:
            sys.stderr.write(f"edge: sync ended with status {status}; it is started again\n")

    def _tell(self, fact: Mapping[str, object]) -> None:
        if self._orders is None:
            return
        try:
            self._orders.sendall(json.dumps(fact).encode() + b"\n")
        except OSError:
            self._close_orders()

    def _close_orders(self) -> None:
        if self._orders is not None:
            self._selector.unregister(self._orders)
            self._orders.close()
            self._orders = None

    def _end(self) -> None:
        """End sync first, which would start again what ends; then what serves."""
        first = [self._sync] if self._sync else []
        serves = list(self._serves.values())
        # An interrupted serving process does not wait for its last counters to be fetched: nobody is left to do it.
        for children, grace, word in (
            (first, _SYNC_GRACE_S, signal.SIGTERM),
            (serves, _SERVE_GRACE_S, signal.SIGINT),
        ):
            for child in children:
                child.process.send_signal(word)
            end = time.monotonic() + grace
            while any(child.process.poll() is None for child in children) and time.monotonic() < end:
                time.sleep(0.02)
            for child in children:
                child.process.kill()
                child.process.wait()


def main() -> int:
    """Run the agent of the state directory that the environment names; return the exit status."""
    environment = dict(os.environ)
    layout = Layout(Path(environment.get("ONECODE_EDGE_HOME_DIR", "/var/lib/onecode-edge")).absolute())
    environment["ONECODE_EDGE_HOME_DIR"] = str(layout.root)
    try:
        layout.make()
        lock = os.open(layout.run / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        addresses = [
            environment.get("ONECODE_EDGE_REST_ADDRESS", "127.0.0.1:8000"),
            environment.get("ONECODE_EDGE_GRPC_ADDRESS", "127.0.0.1:8001"),
        ]
        held = reserve([address for address in addresses if address])
    except BlockingIOError:
        sys.stderr.write(f"edge: another agent runs on {layout.root}; stop it, or set ONECODE_EDGE_HOME_DIR\n")
        return _REFUSED
    except (OSError, PortTakenError) as error:
        sys.stderr.write(f"edge: {error}\n")
        return _REFUSED
    status = Supervisor(layout, environment, held).run()
    for one in held:
        one.close()
    return status
