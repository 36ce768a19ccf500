"""Over plain sockets: what curl and other clients send, and what no client should."""

import http.client
import json
import socket
from collections.abc import Iterator
from contextlib import closing
from itertools import pairwise
from typing import Any

import pytest
from oip_stock import Server, headers, running

AUTHORIZATION = b"Authorization: Bearer caller\r\n"
BODY = json.dumps(
    {"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}
).encode()
LIVE = b"GET /v2/health/live HTTP/1.1\r\nHost: h\r\n\r\n"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(tmp_path_factory.mktemp("rest")) as started:
        yield started


@pytest.fixture(params=["rest", "grpc"])
def address(request: pytest.FixtureRequest, server: Server) -> tuple[str, int]:
    """Return either port: both speak both protocols."""
    host, _, port = getattr(server, request.param).partition(":")
    return host, int(port)


def infer(*lines: bytes, body: bytes = BODY, length: bool = True) -> bytes:
    own = [b"Content-Length: %d\r\n" % len(body)] if length else []
    head = b"POST /v2/models/plus/infer HTTP/1.1\r\nHost: h\r\n" + AUTHORIZATION
    return b"".join([head, *own, *[line + b"\r\n" for line in lines], b"\r\n", body])


def asked(address: tuple[str, int], *pieces: bytes, end: bool = True) -> bytes:
    """Send pieces and return all that comes until the server has answered everything, and closed if that is asked."""
    with closing(socket.create_connection(address, timeout=20)) as wire:
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            wire.sendall(piece)
        if end:
            wire.sendall(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        found = b""
        while part := wire.recv(1 << 16):
            found += part
        return found


def statuses(found: bytes) -> list[int]:
    return [int(one[:3]) for one in found.split(b"HTTP/1.1 ")[1:]]


def test_many_requests_come_in_one_packet_and_are_answered_in_order(address: tuple[str, int]) -> None:
    found = asked(address, (infer() + LIVE) * 50)
    assert statuses(found) == [200] * 101
    bodies = [one.partition(b"\r\n\r\n")[2] for one in found.split(b"HTTP/1.1 ")[1:]]
    assert all(one == b'{"live":true}' for one in bodies[1::2])
    assert all(json.loads(one)["outputs"][0]["data"] == [3, 4, 5, 6] for one in bodies[:-1:2])


@pytest.mark.parametrize("step", [1, 5, 50])
def test_requests_cut_into_small_packets_are_answered(address: tuple[str, int], step: int) -> None:
    stream = infer() + infer(b"Transfer-Encoding: chunked", body=chunks(BODY, 9), length=False) + LIVE
    edges = [*range(0, len(stream), step), len(stream)]
    found = asked(address, *[stream[start:end] for start, end in pairwise(edges)])
    assert statuses(found) == [200, 200, 200, 200]


def chunks(body: bytes, size: int) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    return b"".join([b"%x\r\n%b\r\n" % (len(part), part) for part in parts]) + b"0\r\n\r\n"


def test_curl_waits_for_the_go_ahead_of_a_large_body(address: tuple[str, int]) -> None:
    with closing(socket.create_connection(address, timeout=20)) as wire:
        head, _, body = infer(b"Expect: 100-continue").partition(b"\r\n\r\n")
        wire.sendall(head + b"\r\n\r\n")
        assert wire.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        wire.sendall(body)
        assert wire.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
        wire.sendall(head.replace(b"caller", b"nobody") + b"\r\n\r\n")
        refused = wire.recv(1 << 16)
        assert refused.startswith(b"HTTP/1.1 401 ")
        assert b"Connection: close" in refused


@pytest.mark.parametrize(
    "stream",
    [
        infer(b"Transfer-Encoding: chunked"),
        infer(b"Content-Length: 5"),
        infer().replace(b"Host: h\r\n", b"Host: h\n"),
        infer(b"X: a", b" b"),
        infer(b"X : a"),
        infer(b"X: a\0"),
        b"GET /v2/health/live HTTP/1.1\r\n\r\n",
        infer(b"Transfer-Encoding: chunked", body=b"5\nhello\r\n0\r\n\r\n", length=False),
        LIVE.replace(b"/v2", b"/v2 "),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused_and_the_connection_ends(
    address: tuple[str, int], stream: bytes
) -> None:
    found = asked(address, stream + b"GET /v2 HTTP/1.1\r\nHost: smuggled\r\n\r\n", end=False)
    assert statuses(found) == [400]
    assert b"Connection: close" in found


@pytest.mark.parametrize(
    "noise", [b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", b"SSH-2.0-x\r\n", b"\0" * 30, b"HELO x\r\n"]
)
def test_other_protocols_are_hung_up_on_without_a_word(address: tuple[str, int], noise: bytes) -> None:
    assert asked(address, noise, end=False) == b""


def test_a_body_far_over_the_limit_is_refused_while_it_is_sent(address: tuple[str, int]) -> None:
    with closing(socket.create_connection(address, timeout=20)) as wire:
        wire.sendall(infer(b"Content-Length: 1000000000000", body=b"", length=False))
        found = wire.recv(1 << 16)
        assert statuses(found) == [413]
        assert b"4194304" in found


def test_a_body_over_the_limit_is_read_to_its_end_and_the_connection_goes_on(address: tuple[str, int]) -> None:
    assert statuses(asked(address, infer(body=b" " * (5 << 20)))) == [413, 200]


def test_http_1_0_is_answered_and_closed(address: tuple[str, int]) -> None:
    found = asked(address, b"GET /v2/health/live HTTP/1.0\r\n\r\n", end=False)
    assert statuses(found) == [200]
    assert b"Connection: close" in found


def test_head_has_no_body(address: tuple[str, int]) -> None:
    found = asked(address, b"HEAD /v2/health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n", end=False)
    assert found.endswith(b"Content-Length: 13\r\nConnection: close\r\n\r\n")


def test_the_standard_library_s_client_is_served(server: Server) -> None:
    connection = http.client.HTTPConnection(server.rest, timeout=20)
    shown: dict[str, Any] = headers()
    for _ in range(5):
        connection.request("POST", "/v2/models/plus/infer", BODY, shown)
        with connection.getresponse() as answer:
            assert json.loads(answer.read())["outputs"][0]["data"] == [3, 4, 5, 6]
        connection.request("GET", "/v2/models/nobody", headers=shown)
        with connection.getresponse() as answer:
            assert (answer.status, set(json.loads(answer.read()))) == (404, {"error", "code", "field", "params"})
        connection.request("POST", "/v2/models/plus/infer", iter([BODY[:9], BODY[9:]]), shown, encode_chunked=True)
        with connection.getresponse() as answer:
            assert answer.status == 200
            answer.read()
    connection.close()
