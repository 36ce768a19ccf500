"""Uploads stream through the console: nothing is held, and a cut line leaves what arrived."""

import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

TUS = {"tus-resumable": "1.0.0"}
PART = {**TUS, "content-type": "application/offset+octet-stream"}


def begin(program: Any, length: Any) -> str:
    answer = program.post("/api/v1/uploads", headers={**TUS, "upload-length": str(length)})
    assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/uploads/u_1")
    assert "x-own" not in answer.headers
    return "/api/v1/uploads/u_1"


def test_parts_arrive_and_the_offset_tells_how_far(stand: Any, plant: Any) -> None:
    with stand.program() as program:
        path = begin(program, 10)
        first = program.patch(path, content=b"01234", headers={**PART, "upload-offset": "0"})
        assert (first.status_code, first.headers["upload-offset"]) == (204, "5")
        wrong = program.patch(path, content=b"x", headers={**PART, "upload-offset": "0"})
        assert wrong.status_code == 409
        assert program.head(path, headers=TUS).headers["upload-offset"] == "5"
        assert program.patch(path, content=b"56789", headers={**PART, "upload-offset": "5"}).status_code == 204
        assert program.request("OPTIONS", "/api/v1/uploads").headers["tus-version"] == "1.0.0"
        assert program.get(path).json()["upload"]["offset"] == 10
    assert bytes(plant.uploads["u_1"]) == b"0123456789"


def test_the_first_bytes_are_passed_on_before_the_last_are_sent(stand: Any, plant: Any) -> None:
    with stand.program() as program:
        path = begin(program, 2_000_000)
        plant.pieces.clear()
        while plant.arrived.acquire(blocking=False):
            pass
        go_on = threading.Event()

        def slowly() -> Iterator[bytes]:
            yield b"a" * 1_000_000
            # Waits for what the server behind the console has received, so a console that held the body would hang.
            assert plant.arrived.acquire(timeout=20)
            go_on.set()
            yield b"b" * 1_000_000

        headers = {**PART, "upload-offset": "0", "content-length": "2000000"}
        answer = program.patch(path, content=slowly(), headers=headers)
    assert go_on.is_set()
    assert answer.headers["upload-offset"] == "2000000"
    assert max(plant.pieces) <= 1 << 18


def test_a_cut_line_leaves_what_arrived(stand: Any, plant: Any) -> None:
    with stand.program() as program:
        path = begin(program, 100)
        token = program.headers["authorization"]
    while plant.arrived.acquire(blocking=False):
        pass
    where = urlsplit(stand.url)
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: {where.netloc}\r\nAuthorization: {token}\r\nTus-Resumable: 1.0.0\r\n"
        "Upload-Offset: 0\r\nContent-Type: application/offset+octet-stream\r\nContent-Length: 100\r\n\r\n"
    )
    with socket.create_connection((where.hostname, where.port), timeout=10) as line:
        line.sendall(head.encode() + b"x" * 40)
        assert plant.arrived.acquire(timeout=20)
    with stand.program() as program:
        assert program.head(path, headers=TUS).headers["upload-offset"] == "40"
        rest = program.patch(path, content=b"y" * 60, headers={**PART, "upload-offset": "40"})
        assert rest.headers["upload-offset"] == "100"


def test_preview_and_commit_carry_the_options(stand: Any, plant: Any) -> None:
    options = {"encoding": "gb18030", "header": True, "columns": [{"name": "a", "type": "COLUMN_TYPE_FLOAT"}]}
    with stand.program() as program:
        seen = program.post("/api/v1/uploads/u_1/preview", json={"options": options})
        assert seen.json()["options"]["columns"] == options["columns"]
        done = program.post("/api/v1/uploads/u_1/commit", json={"dataset": "shuttle", "options": options})
        assert done.json()["version"]["dataset"] == "shuttle"
        missing = program.post("/api/v1/uploads/u_1/commit", json={"options": options})
        assert missing.json()["code"] == "request.missing_field"
    assert plant.last("CommitUpload").options.encoding == "gb18030"
