"""The real bus lets each process say and hear its own subjects, and nobody in without a key."""

import base64
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from queue import Queue
from typing import Any
from urllib.parse import urlsplit

import nkeys
import pytest

from onecode_common.assignment import shard
from onecode_common.bus import Bus
from onecode_common.errors import UnavailableError
from onecode_standalone.addresses import Addresses
from onecode_standalone.home import Home
from onecode_standalone.probes import probe
from onecode_standalone.provision import provision
from onecode_standalone.settings import UpSettings


@pytest.fixture(scope="module")
def bus(tmp_path_factory: pytest.TempPathFactory, free_base: int) -> Iterator[tuple[Home, str]]:
    """A provisioned home and the URL of its running bus."""
    home = Home(tmp_path_factory.mktemp("bus") / "home")
    home.open()
    addresses = Addresses(UpSettings(home.root, port_base=free_base))
    provision(home, addresses)
    program = Path(sys.executable).parent / "nats-server"
    server = subprocess.Popen([program, "--config", home.bus_config], stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + 20
    while (reason := probe(addresses.nats_url)) is not None:
        assert server.poll() is None, server.communicate()[1]
        assert time.monotonic() < end, reason
        time.sleep(0.02)
    yield home, addresses.nats_url
    server.kill()
    server.communicate()


class Line:
    """A raw connection in verbose mode: the bus answers each word with +OK or -ERR."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=10)
        self._stream = self._socket.makefile("rb")
        self.info = json.loads(self._stream.readline().removeprefix(b"INFO "))

    def login(self, seed: bytes | None) -> str:
        options: dict[str, Any] = {"verbose": True, "pedantic": False, "lang": "test", "version": "1", "protocol": 1}
        if seed is not None:
            key = nkeys.from_seed(bytearray(seed))
            signature = base64.urlsafe_b64encode(key.sign(self.info["nonce"].encode())).rstrip(b"=").decode()
            options |= {"nkey": key.public_key.decode(), "sig": signature}
        return self.ask(b"CONNECT " + json.dumps(options).encode() + b"\r\n")

    def ask(self, words: bytes) -> str:
        self._socket.sendall(words)
        while (line := self._stream.readline().decode().strip()).startswith(("INFO", "PING", "PONG")):
            pass
        return line

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


def answer_to(bus: tuple[Home, str], name: str, *, publish: str = "", subscribe: str = "") -> str:
    """Return what the bus answers to one publication or subscription."""
    home, url = bus
    with closing(Line(url)) as line:
        assert line.login(home.seed(name).read_bytes()) == "+OK"
        return line.ask(f"PUB {publish} 1\r\nx\r\n".encode() if publish else f"SUB {subscribe} 1\r\n".encode())


def test_nobody_comes_in_without_a_key(bus: tuple[Home, str]) -> None:
    with closing(Line(bus[1])) as line:
        assert line.login(None) == "-ERR 'Authorization Violation'"


def test_nobody_comes_in_with_another_key(bus: tuple[Home, str]) -> None:
    with closing(Line(bus[1])) as line:
        assert line.login(nkeys.encode_seed(bytes(32), nkeys.PREFIX_BYTE_USER)) == "-ERR 'Authorization Violation'"


ALLOWED = [
    ("gw-1", {"publish": f"oc.default.up.{shard('gw-1')}.gw-1.status"}),
    ("gw-1", {"subscribe": "oc.default.wake.line-1"}),
    ("gw-1", {"subscribe": "oc.default.dn.gw-1.ack"}),
    ("rollout", {"publish": "oc.default.wake.line-1"}),
    ("rollout", {"publish": "oc.default.dn.gw-1.ack"}),
    ("rollout", {"subscribe": "oc.*.up.>"}),
    ("console", {"subscribe": "oc.ev.>"}),
    ("training", {"publish": "oc.ev.training.RunProgress"}),
    ("inference", {"publish": f"oc.default.up.{shard('cloud')}.cloud.counters"}),
    ("inference", {"subscribe": "oc.default.wake.cloud"}),
]
FORBIDDEN = [
    ("gw-1", {"publish": f"oc.default.up.{shard('gw-2')}.gw-2.status"}),
    ("gw-1", {"publish": "oc.ev.rollout.RolloutChanged"}),
    ("gw-1", {"publish": "oc.default.wake.line-1"}),
    ("gw-1", {"publish": "$JS.API.STREAM.DELETE.UP"}),
    ("gw-1", {"publish": "_INBOX.gw-2.x"}),
    ("gw-1", {"subscribe": "oc.>"}),
    ("gw-1", {"subscribe": ">"}),
    ("gw-1", {"subscribe": "oc.default.dn.gw-2.>"}),
    ("gw-1", {"subscribe": "_INBOX.gw-2.>"}),
    ("training", {"publish": "oc.ev.registry.ModelVersionReady"}),
    ("registry", {"publish": "oc.default.wake.line-1"}),
    ("console", {"subscribe": "_INBOX.rollout.>"}),
    ("inference", {"publish": f"oc.default.up.{shard('gw-1')}.gw-1.status"}),
]


@pytest.mark.parametrize(("name", "wanted"), ALLOWED)
def test_a_process_may_do_its_work(bus: tuple[Home, str], name: str, wanted: dict[str, str]) -> None:
    assert answer_to(bus, name, **wanted) == "+OK"


@pytest.mark.parametrize(("name", "wanted"), FORBIDDEN)
def test_a_process_may_do_nothing_else(bus: tuple[Home, str], name: str, wanted: dict[str, str]) -> None:
    assert answer_to(bus, name, **wanted).startswith("-ERR 'Permissions Violation")


def test_no_message_is_larger_than_64_kib(bus: tuple[Home, str]) -> None:
    with closing(Line(bus[1])) as line:
        assert line.info["max_payload"] == 64 << 10


def test_a_gateway_s_report_reaches_the_stream_and_is_stored_once(bus: tuple[Home, str]) -> None:
    home, url = bus
    rollout, gateway = (Bus(url, name, home.seed(name)) for name in ("rollout", "gw-1"))
    got: Queue[tuple[str, bytes]] = Queue()
    rollout.ensure_streams()
    rollout.consume("UP", "rollout", "oc.*.up.>", lambda batch: [got.put(one) for one in batch] and None)
    for one in (rollout, gateway):
        one.start()
        assert one.wait_connected(20)
    subject = f"oc.default.up.{shard('gw-1')}.gw-1.status"
    for message, number in ((b"first", 1), (b"first again", 1), (b"second", 2)):
        stored(gateway, subject, message, f"gw-1:{number}")
    assert [got.get(timeout=20) for _ in range(2)] == [(subject, b"first"), (subject, b"second")]
    gateway.stop()
    rollout.stop()


def stored(bus: Bus, subject: str, message: bytes, message_id: str) -> None:
    """Publish as soon as the stream is there."""
    end = time.monotonic() + 20
    while True:
        try:
            bus.publish_durable(subject, message, message_id, timeout_s=1)
        except UnavailableError:
            assert time.monotonic() < end
        else:
            return
