"""TLS on both ports: one of two protocols by agreement, a new certificate without a restart, callers by certificate."""

import asyncio
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import pytest
import uvloop
from cryptography import x509
from listen_certificates import Authority
from listen_line_protocol import GET, LinePlane, listening

from onecode_common.errors import InvalidError
from onecode_serving.listen.dispatch import HTTP1, HTTP2, PREFACE
from onecode_serving.listen.tls import Certificates


class Caller:
    """A TLS client that reads lines."""

    def __init__(self, port: int, context: ssl.SSLContext, first: bytes = PREFACE) -> None:
        plain = socket.create_connection(("127.0.0.1", port), timeout=20)
        self.socket = context.wrap_socket(plain, server_hostname="127.0.0.1")
        self.file = self.socket.makefile("rb")
        self.socket.sendall(first)

    def ask(self, line: bytes) -> bytes:
        self.socket.sendall(line + b"\n")
        return self.file.readline().strip()

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@pytest.fixture
def files(authority: Authority) -> dict[str, Any]:
    certificate, key = authority.issue("server")
    return {"certificate_file": certificate, "key_file": key, "client_ca_file": authority.file}


def trusting(authority: Authority, *protocols: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(authority.file))
    if protocols:
        context.set_alpn_protocols(list(protocols))
    return context


def serial(port: int, authority: Authority) -> Any:
    with Caller(port, trusting(authority)) as caller:
        assert caller.ask(b"ask 1") == b"1"
        return caller.socket.getpeercert()["serialNumber"]  # type: ignore[index]


@pytest.mark.parametrize("make_loop", [uvloop.new_event_loop, asyncio.new_event_loop])
def test_agreement_or_first_bytes_decide_the_protocol(
    authority: Authority, files: dict[str, Any], make_loop: Callable[[], asyncio.AbstractEventLoop]
) -> None:
    plane = LinePlane()
    with listening(plane, make_loop=make_loop, **files) as server:
        cases = [
            (server.ports[0], (HTTP2,), PREFACE, HTTP2, True),
            (server.ports[1], (HTTP1,), GET, HTTP1, False),
            (server.ports[1], (HTTP2, HTTP1), GET, HTTP1, False),
            (server.ports[0], (), PREFACE, None, True),
            (server.ports[0], (), GET, None, False),
            (server.ports[0], ("other",), GET, None, False),
        ]
        for port, offered, first, agreed, http2 in cases:
            with Caller(port, trusting(authority, *offered), first) as caller:
                assert caller.socket.selected_alpn_protocol() == agreed
                assert caller.socket.version() == "TLSv1.3"
                assert caller.ask(b"later 1") == b"1"
                assert caller.ask(b"facts") == b"None True"
                assert plane.engines[-1].pings is http2


def test_a_new_certificate_is_used_from_the_next_handshake_on(authority: Authority, files: dict[str, Any]) -> None:
    with listening(LinePlane(), **files) as server:
        first = serial(server.port, authority)
        with Caller(server.port, trusting(authority)) as old:
            authority.issue("server")
            second = serial(server.port, authority)
            assert second not in (first, None)
            assert old.ask(b"ask still") == b"still"
        files["key_file"].write_text("half")
        assert serial(server.port, authority) == second
        authority.issue("server")
        assert serial(server.port, authority) not in (first, second)


def test_a_client_certificate_becomes_a_name_and_a_strange_one_ends_the_handshake(
    authority: Authority, files: dict[str, Any], tmp_path: Path
) -> None:
    with listening(LinePlane(), **files) as server:
        known = trusting(authority)
        known.load_cert_chain(*authority.issue("press", x509.DNSName("press-3")))
        with Caller(server.port, known) as caller:
            assert caller.ask(b"facts") == b"dns:press-3 True"
        (tmp_path / "other").mkdir()
        strange = trusting(authority)
        strange.load_cert_chain(*Authority(tmp_path / "other").issue("press", x509.DNSName("press-3")))
        # With TLS 1.3 a client learns of the refusal when it reads.
        assert _refused(server.port, strange)
        with Caller(server.port, trusting(authority)) as caller:
            assert caller.ask(b"ask 1") == b"1"


def _refused(port: int, context: ssl.SSLContext) -> bool:
    try:
        with Caller(port, context) as caller:
            return caller.ask(b"facts") == b""
    except (ssl.SSLError, ConnectionResetError, BrokenPipeError):
        return True


def test_who_does_not_shake_hands_in_time_is_closed(files: dict[str, Any]) -> None:
    with listening(LinePlane(), greeting_s=0.3, **files) as server:
        for first in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", PREFACE):
            with socket.create_connection(("127.0.0.1", server.port), timeout=20) as plain:
                plain.sendall(first)
                try:
                    answer = plain.recv(1000)
                except ConnectionResetError:
                    answer = b""
                assert b"HTTP" not in answer
        assert (server.counts.handshakes, server.present) == (4, 0)


def test_a_full_house_is_closed_before_the_handshake(authority: Authority, files: dict[str, Any]) -> None:
    with (
        listening(LinePlane(), per_address=1, **files) as server,
        Caller(server.port, trusting(authority)) as first,
    ):
        assert first.ask(b"ask 1") == b"1"
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            Caller(server.port, trusting(authority))
        assert (server.turned_away, server.counts.handshakes) == (1, 0)


@pytest.mark.parametrize("what", ["missing", "no certificate", "other key"])
def test_files_that_do_not_fit_stop_the_start(authority: Authority, tmp_path: Path, what: str) -> None:
    certificate, key = authority.issue("server")
    if what == "missing":
        key = tmp_path / "absent"
    elif what == "no certificate":
        certificate.write_text("nothing")
    else:
        key = authority.issue("other")[1]
    with pytest.raises(InvalidError, match="cannot be used"):
        Certificates(certificate, key)
