"""The upload face keeps the tus 1.0 promise: what was acknowledged is there, what was not is sent again."""

import hashlib
import socket
from base64 import b64encode
from typing import Any

import pytest

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode_common.errors import InvalidError, NotFoundError, PreconditionError
from onecode_common.rpc.server import PRINCIPAL_HEADER
from onecode_common.tokens import CALLER, INSIDE_AUDIENCE, PRINCIPAL, audience

TUS = {"Tus-Resumable": "1.0.0"}
APPEND = {**TUS, "Content-Type": "application/offset+octet-stream"}


def code_of(answer: Any) -> str:
    return str(answer.json()["code"])


def send_and_cut(platform: Any, upload_id: str, offset: int, announced: int, content: bytes) -> None:
    """Announce more bytes than are sent, then cut the line."""
    head = "".join(
        f"{name}: {value}\r\n"
        for name, value in {
            **platform.credentials(),
            **APPEND,
            "Upload-Offset": str(offset),
            "Content-Length": str(announced),
        }.items()
    )
    with socket.create_connection(("127.0.0.1", platform.ports[1]), timeout=10) as line:
        line.sendall(f"PATCH /uploads/{upload_id} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode() + content)


def settled(platform: Any, upload_id: str, least: int) -> int:
    """Return the offset once it has reached at least ``least``."""
    offset = -1
    for _ in range(3000):
        offset = platform.offset(upload_id)
        if offset >= least:
            break
    return offset


def test_the_server_says_what_it_can(platform: Any) -> None:
    answer = platform.http("OPTIONS", "/uploads")
    assert answer.status == 204
    assert answer.headers["Tus-Version"] == "1.0.0"
    assert set(answer.headers["Tus-Extension"].split(",")) == {"creation", "termination", "checksum", "expiration"}
    assert int(answer.headers["Tus-Max-Size"]) == 2 << 30


def test_a_file_sent_in_parts_is_complete_with_its_digest(platform: Any) -> None:
    content = bytes(range(256)) * 5000
    upload_id = platform.begin(len(content), "读数.csv", sha256=hashlib.sha256(content).hexdigest())
    offset = 0
    for end in (1, 100_000, 1_200_000, len(content)):
        answer = platform.append(upload_id, offset, content[offset:end])
        assert (answer.status, answer.headers["Upload-Offset"]) == (204, str(end))
        offset = end
    upload = platform.stub().GetUpload(pb.GetUploadRequest(upload_id=upload_id)).upload
    assert (upload.file_name, upload.length, upload.offset) == ("读数.csv", len(content), len(content))
    assert upload.sha256 == hashlib.sha256(content).hexdigest()


def test_a_cut_line_costs_only_what_had_not_arrived(platform: Any) -> None:
    content = b"x" * 500_000
    upload_id = platform.begin(len(content))
    send_and_cut(platform, upload_id, 0, len(content), content[:200_000])
    offset = settled(platform, upload_id, 1)
    assert 0 < offset <= 200_000
    offset = settled(platform, upload_id, 200_000)
    assert platform.append(upload_id, offset, content[offset:]).status == 204
    assert platform.offset(upload_id) == len(content)


def test_a_client_that_comes_again_replaces_its_own_dead_connection(platform: Any) -> None:
    """The first connection hangs open without sending: the second is not locked out by it."""
    upload_id = platform.begin(10)
    headers = {**platform.credentials(), **APPEND, "Upload-Offset": "0", "Content-Length": "10"}
    head = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "Expect": "100-continue"}.items())
    with socket.create_connection(("127.0.0.1", platform.ports[1]), timeout=60) as dead:
        dead.sendall(f"PATCH /uploads/{upload_id} HTTP/1.1\r\nHost: x\r\n{head}\r\n".encode())
        assert b"100 Continue" in dead.recv(1000)
        dead.sendall(b"12345")
        answer = platform.append(upload_id, 0, b"1234567890")
        if answer.status != 204:
            # What the first had sent by then is kept, and the second goes on behind it.
            assert (answer.status, code_of(answer), platform.offset(upload_id)) == (409, "upload.offset", 5)
            assert platform.append(upload_id, 5, b"67890").status == 204
        assert platform.offset(upload_id) == 10
        assert b"408" in dead.recv(1000)


def test_an_upload_of_other_bytes_than_announced_begins_again(platform: Any) -> None:
    upload_id = platform.begin(4, sha256=hashlib.sha256(b"good").hexdigest())
    answer = platform.append(upload_id, 0, b"evil")
    assert (answer.status, code_of(answer)) == (422, "upload.digest_mismatch")
    assert answer.json()["params"]["value"] == hashlib.sha256(b"evil").hexdigest()
    assert platform.offset(upload_id) == 0
    assert platform.append(upload_id, 0, b"good").status == 204


def test_a_part_with_a_wrong_checksum_is_not_kept(platform: Any) -> None:
    upload_id = platform.begin(8)
    right = b64encode(hashlib.sha256(b"good").digest()).decode()
    for body, status in ((b"evil", 460), (b"good", 204)):
        headers = {**APPEND, "Upload-Offset": "0", "Upload-Checksum": f"sha256 {right}"}
        assert platform.http("PATCH", f"/uploads/{upload_id}", headers, body).status == status
    assert platform.offset(upload_id) == 4


def test_an_upload_that_is_given_up_is_gone(platform: Any) -> None:
    upload_id = platform.upload(b"a,b\n1,2\n")
    assert platform.http("DELETE", f"/uploads/{upload_id}", TUS).status == 204
    for method in ("HEAD", "DELETE"):
        assert platform.http(method, f"/uploads/{upload_id}", TUS).status == 404
    assert platform.append(upload_id, 0, b"x").status == 404
    with pytest.raises(NotFoundError):
        platform.stub().GetUpload(pb.GetUploadRequest(upload_id=upload_id))


def test_an_upload_that_is_not_complete_is_not_read(platform: Any) -> None:
    upload_id = platform.begin(100)
    platform.append(upload_id, 0, b"a,b\n")
    with pytest.raises(PreconditionError) as refusal:
        platform.stub().PreviewUpload(pb.PreviewUploadRequest(upload_id=upload_id), timeout=90)
    assert (refusal.value.code, refusal.value.params["offset"]) == ("upload.incomplete", "4")


def test_no_bytes_at_all_are_an_upload_and_no_data(platform: Any) -> None:
    upload_id = platform.begin(0)
    with pytest.raises(InvalidError) as refusal:
        platform.stub().PreviewUpload(pb.PreviewUploadRequest(upload_id=upload_id), timeout=90)
    assert refusal.value.code == "data.empty"


LENGTH = {**TUS, "Upload-Length": "5"}
HOSTILE = [
    ("POST", "/uploads", {**TUS}, b"", 400, "upload.malformed"),
    ("POST", "/uploads", {**TUS, "Upload-Length": "-5"}, b"", 400, "upload.malformed"),
    ("POST", "/uploads", {**TUS, "Upload-Length": "9" * 30}, b"", 400, "upload.malformed"),
    ("POST", "/uploads", {**TUS, "Upload-Length": str((2 << 30) + 1)}, b"", 413, "upload.too_large"),
    ("POST", "/uploads", {**TUS, "Upload-Defer-Length": "1"}, b"", 400, "upload.malformed"),
    ("POST", "/uploads", LENGTH, b"hello", 400, "upload.malformed"),
    ("POST", "/uploads", {**LENGTH, "Upload-Metadata": "filename ***"}, b"", 400, "upload.malformed"),
    (
        "POST",
        "/uploads",
        {**LENGTH, "Upload-Metadata": "filename " + b64encode(b"../../x").decode()},
        b"",
        422,
        "upload.file_name",
    ),
    (
        "POST",
        "/uploads",
        {**LENGTH, "Upload-Metadata": "sha256 " + b64encode(b"abc").decode()},
        b"",
        422,
        "digest.invalid",
    ),
    ("POST", "/uploads", {**LENGTH, "Tus-Resumable": "0.2.2"}, b"", 412, "upload.version"),
    ("POST", "/uploads", {"Upload-Length": "5"}, b"", 412, "upload.version"),
    ("POST", "/uploads", {**LENGTH, "X-HTTP-Method-Override": "PATCH"}, b"", 405, "upload.override"),
    ("PATCH", "{}", {**APPEND}, b"x", 400, "upload.malformed"),
    ("PATCH", "{}", {**APPEND, "Upload-Offset": "1"}, b"x", 409, "upload.offset"),
    ("PATCH", "{}", {**APPEND, "Upload-Offset": "0"}, b"123456", 413, "upload.too_long"),
    ("PATCH", "{}", {**TUS, "Upload-Offset": "0", "Content-Type": "text/csv"}, b"x", 415, "upload.content_type"),
    ("PATCH", "{}", {**APPEND, "Upload-Offset": "0", "Content-Encoding": "gzip"}, b"x", 415, "upload.encoded"),
    ("PATCH", "{}", {**APPEND, "Upload-Offset": "0", "Upload-Checksum": "md5 AAAA"}, b"x", 400, "upload.malformed"),
    ("PATCH", "/uploads/u_nobody", {**APPEND, "Upload-Offset": "0"}, b"x", 404, "upload.missing"),
    ("PATCH", "/uploads/%2e%2e%2fkey", {**APPEND, "Upload-Offset": "0"}, b"x", 404, "http.404"),
    ("DELETE", "/uploads/..%00", TUS, b"", 422, "id.invalid"),
    ("GET", "{}", TUS, b"", 405, "http.405"),
    ("PUT", "{}", TUS, b"x", 405, "http.405"),
    ("GET", "/openapi.json", {}, b"", 404, "http.404"),
]


@pytest.mark.parametrize(("method", "path", "headers", "body", "status", "code"), HOSTILE)
def test_a_request_that_cannot_be_meant_is_refused_and_changes_nothing(
    platform: Any, method: str, path: str, headers: dict[str, str], body: bytes, status: int, code: str
) -> None:
    upload_id = platform.begin(5)
    answer = platform.http(method, path.format(f"/uploads/{upload_id}"), headers, body or None)
    assert (answer.status, code_of(answer)) == (status, code), answer.data
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert platform.offset(upload_id) == 0
    assert platform.append(upload_id, 0, b"12345").status == 204


def test_endless_pieces_are_cut_off_and_taken_back(platform: Any) -> None:
    upload_id = platform.begin(5)

    def pieces() -> Any:
        for _ in range(64):
            yield b"x" * 65536

    headers = {**platform.credentials(), **APPEND, "Upload-Offset": "0"}
    answer = platform.pool.request(
        "PATCH", platform.url(f"/uploads/{upload_id}"), headers=headers, body=pieces(), chunked=True
    )
    assert (answer.status, code_of(answer)) == (413, "upload.too_long")
    assert platform.offset(upload_id) == 0


@pytest.mark.parametrize("method", ["OPTIONS", "POST", "HEAD", "PATCH", "DELETE", "GET"])
@pytest.mark.parametrize("path", ["/uploads", "/uploads/u_1", "/", "/docs", "/openapi.json", "/metrics"])
def test_nothing_is_answered_without_the_consoles_token(platform: Any, method: str, path: str) -> None:
    console, training = platform.issuers["console"], platform.issuers["training"]
    tokens = [
        "",
        "Bearer ",
        "Bearer a.b.c",
        "Basic abc",
        f"Bearer {console.caller('registry')}",
        f"Bearer {console.mint(PRINCIPAL, 'key:1', INSIDE_AUDIENCE)}",
    ]
    for token in tokens:
        answer = platform.pool.request(method, platform.url(path), headers={"Authorization": token})
        assert answer.status == 401, (token, answer.status)
    for token in (training.caller("ingestion"), console.mint(CALLER, audience("training"), audience("ingestion"))):
        answer = platform.pool.request(method, platform.url(path), headers={"Authorization": f"Bearer {token}"})
        assert answer.status == 403


def test_a_service_that_speaks_for_people_without_the_right_is_denied(platform: Any) -> None:
    forged = platform.issuers["training"].mint(PRINCIPAL, "key:admin", INSIDE_AUDIENCE)
    answer = platform.http("POST", "/uploads", {**TUS, "Upload-Length": "5", PRINCIPAL_HEADER: forged})
    assert (answer.status, code_of(answer)) == (403, "auth.principal")
