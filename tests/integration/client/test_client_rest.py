"""The client keeps its word over a real connection: errors by type, repetition only where harmless, cuts mended."""

import hashlib
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onecode_client import OneCode
from onecode_client import data as data_module
from onecode_client.waiting import WorkTimeoutError
from onecode_common.errors import (
    ConflictError,
    DeniedError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    UnauthenticatedError,
    UnavailableError,
)


@pytest.fixture
def oc(server: Any) -> Iterator[OneCode]:
    with OneCode(server.url, "ock_test", patience_s=2.0) as client:
        yield client


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, UnauthenticatedError),
        (403, DeniedError),
        (404, NotFoundError),
        (409, ConflictError),
        (413, ExhaustedError),
        (422, InvalidError),
        (500, OnecodeError),
        (503, UnavailableError),
        (507, ExhaustedError),
    ],
)
def test_a_refusal_is_our_error_of_its_type(server: Any, answer: Any, status: int, kind: type[OnecodeError]) -> None:
    document = {"status": status, "code": "some.code", "detail": "why", "hint": "what to do", "params": {"x": "1"}}
    server.script = lambda _request: answer(status, document)
    with OneCode(server.url, "ock_test", patience_s=0) as client, pytest.raises(OnecodeError) as refused:
        client.train.get("r_1")
    assert type(refused.value) is kind
    assert (refused.value.code, refused.value.message, refused.value.hint) == ("some.code", "why", "what to do")
    assert refused.value.params == {"x": "1"}


@pytest.mark.parametrize("body", [b"<html>", b"", b"[]", b"null", b"\xff"])
def test_a_refusal_that_is_no_problem_document_is_one_of_ours_too(server: Any, answer: Any, body: bytes) -> None:
    server.script = lambda _request: answer(404, body)
    with OneCode(server.url, "ock_test") as client, pytest.raises(NotFoundError, match="answered 404"):
        client.train.get("r_1")


def test_the_token_travels_in_the_header(server: Any, answer: Any, oc: OneCode) -> None:
    server.script = lambda _request: answer(200, {"version": "1"})
    oc.version()
    assert server.seen[0].headers["authorization"] == "Bearer ock_test"


def test_a_server_that_restarts_is_waited_for(server: Any, answer: Any, oc: OneCode) -> None:
    answers = [answer(cut=True), answer(503, {"detail": "soon"}), answer(200, {"run": {"run_id": "r_1"}})]
    server.script = lambda _request: answers.pop(0)
    assert oc.train.get("r_1").run_id == "r_1"


def test_what_would_happen_twice_is_asked_once(server: Any, answer: Any, oc: OneCode) -> None:
    """A gateway's token comes once; a lost answer must not make another one."""
    server.script = lambda _request: answer(cut=True)
    with pytest.raises(UnavailableError):
        oc.gateways.create("gw-9", "line-1")
    assert server.asked() == ["POST /api/v1/gateways"]


def test_a_server_that_is_not_there_is_named_with_what_to_do() -> None:
    with OneCode("http://127.0.0.1:9", "ock_test", patience_s=0) as client:
        with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9") as refused:
            client.version()
        assert "onecode up" in refused.value.hint


def test_lists_are_read_to_their_last_page(server: Any, answer: Any, oc: OneCode) -> None:
    def script(request: Any) -> Any:
        if "page_token=two" in request.path:
            return answer(200, {"runs": [{"run_id": "r_2"}], "next_page_token": ""})
        return answer(200, {"runs": [{"run_id": "r_1"}], "next_page_token": "two"})

    server.script = script
    assert [run.run_id for run in oc.train.list()] == ["r_1", "r_2"]


def test_an_upload_goes_on_where_the_line_was_cut(
    server: Any, answer: Any, oc: OneCode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(data_module, "_PAUSE_S", 0.01)
    content = bytes(range(256)) * 40
    file = tmp_path / "Pump 泵.csv"
    file.write_bytes(content)
    store, cuts = bytearray(), [3]
    metadata: dict[str, str] = {}

    def script(request: Any) -> Any:
        if request.method == "POST":
            pairs = (pair.split(" ") for pair in request.headers["upload-metadata"].split(","))
            metadata.update({name: b64decode(value).decode() for name, value in pairs})
            return answer(201, headers=(("Location", "/api/v1/uploads/u_1"),))
        if request.method == "HEAD":
            return answer(200, headers=(("Upload-Offset", str(len(store))), ("Upload-Length", str(len(content)))))
        if request.method == "GET":
            return answer(200, {"upload": {"upload_id": "u_1", "offset": len(store), "length": len(content)}})
        assert int(request.headers["upload-offset"]) == len(store)
        cuts[0] -= 1
        store.extend(request.body[:700] if cuts[0] == 0 else request.body)
        if cuts[0] == 0:
            return answer(cut=True)
        return answer(204, headers=(("Upload-Offset", str(len(store))),))

    server.script = script
    told: list[tuple[int, int]] = []
    sent = oc.data.send(file, on_progress=lambda done, length: told.append((done, length)), part_bytes=1000)
    assert bytes(store) == content
    assert sent.offset == sent.length == len(content)
    assert metadata == {"filename": "Pump 泵.csv", "sha256": hashlib.sha256(content).hexdigest()}
    assert told[-1] == (len(content), len(content))
    assert (2700, len(content)) in told, "it went on at the byte that was durable"


def test_an_upload_of_another_file_is_not_continued(server: Any, answer: Any, oc: OneCode, tmp_path: Path) -> None:
    file = tmp_path / "a.csv"
    file.write_bytes(b"1234")
    server.script = lambda _request: answer(200, headers=(("Upload-Offset", "0"), ("Upload-Length", "9")))
    with pytest.raises(ConflictError, match="of 9 bytes"):
        oc.data.send(file, upload_id="u_1")


def test_watching_a_run_goes_on_after_a_cut(server: Any, answer: Any, oc: OneCode) -> None:
    """No point is lost and none comes twice; it ends when the run has ended."""

    def points(first: int, last: int) -> bytes:
        text = "".join(f'id: {n}\nevent: progress\ndata: {{"sequence": {n}}}\n\n' for n in range(first, last + 1))
        return text.encode()

    states = ["RUN_STATE_RUNNING", "RUN_STATE_SUCCEEDED"]

    def script(request: Any) -> Any:
        if "/progress" not in request.path:
            return answer(200, {"run": {"run_id": "r_1", "state": states.pop(0)}})
        return answer(200, points(1, 3) if "after=0" in request.path else points(4, 5))

    server.script = script
    assert [point.sequence for point in oc.train.watch("r_1")] == [1, 2, 3, 4, 5]


def test_waiting_ends_in_time_and_says_that_the_work_goes_on(server: Any, answer: Any, oc: OneCode) -> None:
    server.script = lambda _request: answer(200, {"run": {"run_id": "r_1", "state": "RUN_STATE_RUNNING"}})
    with pytest.raises(WorkTimeoutError, match="the work goes on"):
        oc.train.wait("r_1", timeout_s=0)


def test_a_version_is_found_by_number_alias_and_digest(server: Any, answer: Any, oc: OneCode) -> None:
    version = {"model": "m", "release": 2, "digest": "sha256:two"}
    server.script = lambda request: (
        answer(200, {"version": version})
        if "/versions/" in request.path
        else answer(200, {"versions": [version], "aliases": {"champion": "sha256:two"}})
    )
    assert {oc.models.version("m", name).release for name in (2, "2", "champion", "sha256:two")} == {2}
    with pytest.raises(InvalidError, match="no version 'nobody'"):
        oc.models.version("m", "nobody")


def test_an_import_sends_the_file_by_its_digest(server: Any, answer: Any, oc: OneCode, tmp_path: Path) -> None:
    file = tmp_path / "foreign.onnx"
    file.write_bytes(b"onnx")
    digest = hashlib.sha256(b"onnx").hexdigest()
    version = {"model": "m", "release": 2, "digest": "sha256:two"}
    server.script = lambda _request: answer(200, {"version": version})
    oc.models.import_onnx(file, "m", golden="from:sha256:abc", request_id="imp_1")
    assert server.asked() == [f"PUT /api/v1/objects/{digest}", "POST /api/v1/models/m/imports"]
    assert server.seen[1].json() == {
        "request_id": "imp_1",
        "model_sha256": digest,
        "source": "foreign.onnx",
        "golden_from": "sha256:abc",
    }


def test_rows_by_name_are_put_into_the_model_s_order(server: Any, answer: Any, oc: OneCode) -> None:
    contract = {"inputs": [{"name": "features", "columns": ["b", "a"]}]}
    server.script = lambda request: (
        answer(200, {"version": {"contract": contract}}) if request.method == "GET" else answer(200, {"outputs": []})
    )
    oc.predict("m", [{"a": 1.0, "b": 2.0, "unused": 3.0}])
    assert server.seen[-1].json()["inputs"][0]["data"] == [2.0, 1.0]
    with pytest.raises(InvalidError, match="no column 'b'"):
        oc.predict("m", [{"a": 1.0}])


@pytest.mark.parametrize("name", ["../../etc", "a/b", "a?b=c", "a#b", "ü"])
def test_a_name_is_one_part_of_a_path(server: Any, answer: Any, oc: OneCode, name: str) -> None:
    server.script = lambda _request: answer(200, {"version": {}})
    oc.data.show(name)
    assert server.seen[0].path.count("/") == 4
    assert "?" not in server.seen[0].path
