"""Ingestion is killed without a warning, and everything that was accepted is there once."""

import hashlib
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode_common.errors import DeniedError, InvalidError, NotFoundError, OnecodeError, UnavailableError
from onecode_ingestion.__main__ import assemble

CONTENT = b"a,b,label\n" + b"".join(b"%d,%d.5,%d\n" % (n, n % 97, n % 2) for n in range(60_000))


@pytest.fixture(scope="module")
def victim(new_platform: Callable[..., Any]) -> Any:
    one = new_platform()
    one.start()
    return one


def rows(platform: Any, query: str, *values: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{platform.home / 'ingestion.db'}?mode=ro", uri=True)) as database:
        return database.execute(query, values).fetchall()


def test_acknowledged_bytes_survive_a_kill_and_the_upload_goes_on(victim: Any) -> None:
    upload_id = victim.begin(len(CONTENT), sha256=hashlib.sha256(CONTENT).hexdigest())
    offset = 0
    for part in (300_000,):
        assert victim.append(upload_id, offset, CONTENT[offset : offset + part]).status == 204
        offset += part
        victim.kill()
        victim.start()
        assert victim.offset(upload_id) == offset
    assert victim.append(upload_id, offset, CONTENT[offset:]).status == 204
    victim.kill()
    victim.start()
    upload = victim.stub().GetUpload(pb.GetUploadRequest(upload_id=upload_id)).upload
    assert (upload.offset, upload.sha256) == (len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


@pytest.mark.parametrize("moment", ["reading", "storing", "recorded"])
def test_a_commit_killed_at_any_moment_is_one_version_when_repeated(victim: Any, moment: str) -> None:
    content = CONTENT + moment.encode() + b",1.5,0\n" + b"1,1.5,0\n" * 3
    upload_id = victim.upload(content)
    request = pb.CommitUploadRequest(
        upload_id=upload_id, dataset=f"killed-{moment}", options=pb.ReadOptions(bad_cells=pb.BAD_CELLS_MISSING)
    )
    outcome: list[object] = []

    def commit() -> None:
        try:
            outcome.append(victim.stub().CommitUpload(request, timeout=30))
        except OnecodeError as error:
            outcome.append(error)

    before = {path.name for path in (victim.home / "objects").glob("*/*")}
    caller = threading.Thread(target=commit)
    caller.start()
    reached: Callable[[], bool] = {
        "reading": lambda: bool(psutil.Process(victim.process.pid).children()),
        "storing": lambda: any(path.name not in before for path in (victim.home / "objects").glob("*/*")),
        "recorded": lambda: bool(rows(victim, "SELECT 1 FROM versions WHERE dataset = ?", f"killed-{moment}")),
    }[moment]
    while not reached() and caller.is_alive():
        pass
    children = psutil.Process(victim.process.pid).children()
    victim.kill()
    caller.join(40)
    _, alive = psutil.wait_procs(children, timeout=20)
    assert not alive
    victim.start()
    first = victim.stub().CommitUpload(request, timeout=90).version
    again = victim.stub().CommitUpload(request, timeout=90).version
    assert first == again
    assert (first.number, first.rows) == (1, 60_004)
    assert rows(victim, "SELECT count(*) FROM versions WHERE dataset = ?", f"killed-{moment}") == [(1,)]
    assert rows(victim, "SELECT count(*) FROM audit WHERE object = ?", first.version_id) == [(1,)]
    assert list((victim.home / "home" / "scratch").iterdir()) == []


def test_two_commits_of_the_same_at_the_same_time_are_one_version(victim: Any) -> None:
    upload_id = victim.upload(CONTENT + b"9,9.5,1\n")
    request = pb.CommitUploadRequest(upload_id=upload_id, dataset="together")
    found: list[pb.Version] = []
    threads = [
        threading.Thread(target=lambda: found.append(victim.stub().CommitUpload(request, timeout=90).version))
        for _ in range(3)
    ]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert len(found) == 3
    assert found[0] == found[1] == found[2]
    assert len(victim.stub().ListVersions(pb.ListVersionsRequest(dataset="together")).versions) == 1


def test_it_stops_in_order_and_starts_again_on_what_it_wrote(victim: Any) -> None:
    version = victim.commit(b"a,b\n1,2\n", "orderly")
    assert victim.stop() == 0
    victim.start()
    assert victim.stub().GetVersion(pb.GetVersionRequest(dataset="orderly")).version == version


def test_a_refused_commit_changes_nothing_and_names_rows_and_remedy(platform: Any) -> None:
    upload_id = platform.upload(b"a,b\n1,2\n1,2,3\n4,5\n6\n")
    before = rows(platform, "SELECT (SELECT count(*) FROM versions), (SELECT count(*) FROM audit)")
    with pytest.raises(InvalidError) as refusal:
        platform.stub().CommitUpload(pb.CommitUploadRequest(upload_id=upload_id, dataset="ragged"))
    assert refusal.value.code == "data.ragged"
    assert (refusal.value.params["rows"], refusal.value.params["count"]) == ("3, 5", "2")
    assert "ragged_rows" in refusal.value.hint
    assert rows(platform, "SELECT (SELECT count(*) FROM versions), (SELECT count(*) FROM audit)") == before
    options = pb.ReadOptions(ragged_rows=pb.RAGGED_ROWS_DROP)
    request = pb.CommitUploadRequest(upload_id=upload_id, dataset="ragged", options=options)
    version = platform.stub().CommitUpload(request, timeout=90).version
    assert (version.rows, version.dropped_rows) == (2, 2)


UNKNOWN_RULE = pb.ReadOptions(ragged_rows=99)  # type: ignore[arg-type]
NO_TYPE = pb.ReadOptions(columns=[pb.ColumnOption(name="a")])
HOSTILE = [
    ("PreviewUpload", pb.PreviewUploadRequest(upload_id="../../etc/passwd"), "id.invalid"),
    ("PreviewUpload", pb.PreviewUploadRequest(upload_id="u_nobody"), "upload.missing"),
    ("CommitUpload", pb.CommitUploadRequest(upload_id="u_nobody", dataset="A B"), "name.invalid"),
    ("CommitUpload", pb.CommitUploadRequest(upload_id="u_nobody", dataset="a" * 64), "name.invalid"),
    (
        "CommitUpload",
        pb.CommitUploadRequest(upload_id="u_nobody", dataset="a", options=UNKNOWN_RULE),
        "options.invalid",
    ),
    ("CommitUpload", pb.CommitUploadRequest(upload_id="u_nobody", dataset="a", options=NO_TYPE), "options.invalid"),
    ("GetVersion", pb.GetVersionRequest(), "name.invalid"),
    ("GetVersion", pb.GetVersionRequest(version_id="sha256:zz"), "digest.invalid"),
    ("GetVersion", pb.GetVersionRequest(version_id="sha256:" + "0" * 64), "version.missing"),
    ("GetVersion", pb.GetVersionRequest(dataset="nothing"), "dataset.missing"),
    ("GetProfile", pb.GetProfileRequest(version_id=""), "digest.invalid"),
    ("ListRows", pb.ListRowsRequest(version_id="sha256:" + "0" * 64, offset=-1), "version.missing"),
    ("ListDatasets", pb.ListDatasetsRequest(page_token="'; DROP TABLE versions"), "name.invalid"),
    ("ListDatasets", pb.ListDatasetsRequest(project="other"), "project.unknown"),
    ("GetUpload", pb.GetUploadRequest(project="other", upload_id="u_1"), "project.unknown"),
    ("HoldVersion", pb.HoldVersionRequest(version_id="sha256:" + "0" * 64, holder=""), "holder.invalid"),
    ("HoldVersion", pb.HoldVersionRequest(version_id="sha256:" + "0" * 64, holder="run/1"), "version.missing"),
    ("DeleteVersion", pb.DeleteVersionRequest(version_id="sha256:" + "0" * 64), "version.missing"),
]


@pytest.mark.parametrize(("method", "request_", "code"), HOSTILE)
def test_a_call_that_cannot_be_meant_has_a_typed_refusal(platform: Any, method: str, request_: Any, code: str) -> None:
    with pytest.raises(OnecodeError) as refusal:
        getattr(platform.stub(), method)(request_)
    assert refusal.value.code == code
    assert isinstance(refusal.value, InvalidError | NotFoundError)


def test_a_page_beyond_the_end_is_empty_and_a_negative_one_refused(platform: Any) -> None:
    version = platform.commit(b"a,b\n" + b"1,2\n" * 700, "paged")
    stub = platform.stub()
    ask = pb.ListRowsRequest
    assert len(stub.ListRows(ask(version_id=version.version_id, offset=10_000)).rows) == 0
    assert len(stub.ListRows(ask(version_id=version.version_id, limit=100_000)).rows) == 500
    assert len(stub.ListRows(ask(version_id=version.version_id, offset=690, limit=50)).rows) == 10
    for offset, limit in ((-1, 5), (0, -5)):
        with pytest.raises(InvalidError) as refusal:
            stub.ListRows(ask(version_id=version.version_id, offset=offset, limit=limit))
        assert refusal.value.code == "page.invalid"


@pytest.mark.parametrize(
    ("service", "principal", "method", "request_"),
    [
        ("training", "key:1", "CommitUpload", pb.CommitUploadRequest()),
        ("training", "key:1", "DeleteVersion", pb.DeleteVersionRequest()),
        ("training", "", "PreviewUpload", pb.PreviewUploadRequest()),
        ("rollout", "", "ListDatasets", pb.ListDatasetsRequest()),
        ("console", "", "CommitUpload", pb.CommitUploadRequest()),
        ("console", "", "DeleteVersion", pb.DeleteVersionRequest()),
    ],
)
def test_who_may_not_is_denied(platform: Any, service: str, principal: str, method: str, request_: Any) -> None:
    with pytest.raises(DeniedError):
        getattr(platform.stub(service, principal), method)(request_)


def test_a_service_that_is_away_is_unavailable_and_nothing_else(new_platform: Callable[..., Any]) -> None:
    with pytest.raises(UnavailableError):
        new_platform().stub().ListDatasets(pb.ListDatasetsRequest())


def test_a_mistyped_setting_stops_the_start_in_one_line_that_names_it(new_platform: Callable[..., Any]) -> None:
    one = new_platform(TYPO="1")
    argv = [sys.executable, "-m", "onecode_ingestion"]
    done = subprocess.run(argv, env=dict(one.environment), capture_output=True, timeout=60, check=False)
    assert done.returncode == 2
    assert b"ONECODE_INGESTION_TYPO" in done.stderr
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("setting", "value", "code", "words"),
    [
        ("OBJECTS_URL", "ftp://x", "settings.objects", "ftp://x"),
        ("MAX_OPEN_UPLOADS", "0", "settings.invalid", "ONECODE_INGESTION_MAX_OPEN_UPLOADS"),
        ("GRPC_ADDRESS", "nowhere", "settings.address", "nowhere"),
        ("LOG_FORMAT", "xml", "settings.invalid", "ONECODE_INGESTION_LOG_FORMAT"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(
    new_platform: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, setting: str, value: str, code: str, words: str
) -> None:
    for name, one in new_platform(**{setting: value}).environment.items():
        monkeypatch.setenv(name, one)
    with pytest.raises(InvalidError) as refusal:
        assemble()
    assert refusal.value.code == code
    assert words in refusal.value.message


def test_it_is_ready_without_a_bus_and_stops_while_it_waits_for_one(new_platform: Callable[..., Any]) -> None:
    one = new_platform(NATS_URL="nats://127.0.0.1:9")
    one.start()
    version = one.commit(b"a,b\n1,2\n", "quiet")
    assert version.number == 1
    one.process.send_signal(signal.SIGTERM)
    assert one.process.wait(15) == 0


def test_nothing_of_a_file_name_or_an_id_becomes_a_path(platform: Any) -> None:
    platform.commit(b"a,b\n5,6\n", "quiet", name="con.csv")
    files = {path.suffix for path in (platform.home / "home" / "uploads").iterdir()}
    assert files == {".part"}
    assert not list(Path(platform.home).rglob("con.csv"))
