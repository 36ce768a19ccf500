"""Who is let in, as what, and how many: without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.listen.dispatch import HTTP1, HTTP2, PREFACE, UNDECIDED, protocol_of
from onecode_serving.listen.gate import Gate, Visit
from onecode_serving.listen.tls import certificate_name
from onecode_serving.listen.turn import Turn


@pytest.mark.parametrize("method", [b"GET", b"POST", b"HEAD", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE"])
def test_a_method_begins_http1_as_soon_as_it_is_whole(method: bytes) -> None:
    assert {protocol_of(method[:end]) for end in range(len(method) + 1)} == {UNDECIDED}
    assert protocol_of(method + b" ") == HTTP1
    assert protocol_of(method + b" / HTTP/1.1\r\n") == HTTP1


def test_the_preface_is_awaited_to_its_last_byte() -> None:
    assert {protocol_of(PREFACE[:end]) for end in range(len(PREFACE))} == {UNDECIDED}
    assert protocol_of(PREFACE) == protocol_of(PREFACE + b"\x00") == HTTP2


@pytest.mark.parametrize(
    "first", [b"\x16\x03\x01", b"get /", b"PRI /", b"\r\nGET", b"SSH-2.0", b"BREW ", PREFACE[:-1] + b"x", b"\x00"]
)
def test_anything_else_is_nobody(first: bytes) -> None:
    assert protocol_of(first) is None


@given(st.binary(max_size=40))
def test_what_is_nobody_stays_nobody_and_what_is_decided_stays_decided(first: bytes) -> None:
    seen = [protocol_of(first[:end]) for end in range(len(first) + 1)]
    decided = [kind for kind in seen if kind != UNDECIDED]
    assert len(set(decided)) <= 1
    assert seen == [UNDECIDED] * (len(seen) - len(decided)) + decided
    assert protocol_of(first) != UNDECIDED or len(first) < len(PREFACE)


def test_an_address_gets_its_share_and_the_house_has_an_end() -> None:
    gate = Gate(2, 3)
    mine = [gate.enter("127.0.0.1") for _ in range(3)]
    assert [one is not None for one in mine] == [True, True, False]
    assert gate.enter("127.0.0.2") is not None
    assert gate.enter("127.0.0.3") is None
    assert (gate.present, gate.refused) == (3, 2)
    visit = mine[0]
    assert isinstance(visit, Visit)
    visit.end()
    visit.end()
    assert gate.present == 2
    assert gate.enter("127.0.0.1") is not None


def test_one_ipv6_network_is_one_caller() -> None:
    gate = Gate(2, 100)
    assert gate.enter("2001:db8::1") is not None
    assert gate.enter("2001:db8::ffff:2") is not None
    assert gate.enter("2001:db8::3") is None
    assert gate.enter("2001:db8:0:1::3") is not None
    assert gate.enter("::ffff:192.0.2.1") is not None
    assert gate.enter("192.0.2.1") is not None
    assert gate.enter("::ffff:192.0.2.1") is None
    assert gate.enter("fe80::1%eth0") is not None


def test_a_certificate_is_named_by_its_uri_then_dns_then_common_name() -> None:
    common = {"subject": ((("organizationName", "o"),), (("commonName", "press"),))}
    dns = {**common, "subjectAltName": (("DNS", "first"), ("DNS", "second"))}
    uri = {**common, "subjectAltName": (("DNS", "first"), ("URI", "spiffe://house/press"))}
    names = [certificate_name(peer) for peer in (common, dns, uri, {}, None, {"subject": ()})]
    assert names == ["cn:press", "dns:first", "uri:spiffe://house/press", None, None, None]


class _Counted:
    def __init__(self) -> None:
        self.written = 0

    def flush(self) -> None:
        self.written += 1


def test_a_turn_writes_each_once_and_ends_by_itself() -> None:
    soon: list[object] = []
    turn = Turn(soon.append)
    first, second = _Counted(), _Counted()
    turn.add(first)
    turn.add(second)
    turn.end()
    turn.end()
    assert (first.written, second.written, len(soon)) == (1, 1, 1)
    turn.add(first)
    late = soon.pop()
    assert callable(late)
    late()
    assert (first.written, soon) == (2, [])
    turn.add(second)
    assert len(soon) == 1
