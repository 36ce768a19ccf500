"""What nobody needs is swept, what somebody needs never, and every commit is told once on a real bus."""

import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import ConflictError, ExhaustedError, NotFoundError
from onecode_common.migrations import upgrade
from onecode_common.objects import open_objects
from onecode_ingestion.adapters.child_reader import ChildReader
from onecode_ingestion.adapters.records import DatabaseRecords
from onecode_ingestion.adapters.row_pages import CachedRowPages
from onecode_ingestion.adapters.upload_files import UploadFolder
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.ports import Ports
from onecode_ingestion.reconcile import Sweep
from onecode_ingestion.uploads import Uploads
from onecode_ingestion.usecases import Datasets

P = "default"
KEEP, GRACE = timedelta(days=7), timedelta(hours=24)


class HeldClock(SystemClock):
    """A clock that somebody can move."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Parts:
    """Ingestion's use cases on real adapters, without its faces."""

    def __init__(self, folder: Path) -> None:
        self.clock = HeldClock()
        self.database = Database(f"sqlite:///{folder / 'i.db'}")
        upgrade(self.database, "onecode_ingestion")
        self.objects = open_objects(f"file://{folder / 'objects'}")
        self.files = UploadFolder(folder / "uploads")
        self.ports = Ports(
            DatabaseRecords(self.database, self.clock, P),
            self.files,
            ChildReader(folder / "scratch", Limits(), 2),
            self.objects,
            CachedRowPages(self.objects, folder / "cache"),
            self.clock,
        )
        self.uploads = Uploads(self.ports, Limits(upload_bytes=1 << 20), 10, KEEP)
        self.datasets = Datasets(self.ports, self.uploads, P)
        self.sweep = Sweep(self.ports, KEEP, GRACE)

    def upload(self, content: bytes) -> str:
        upload = self.uploads.begin(P, len(content), "", "key:1")
        target = self.uploads.open(P, upload.upload_id, 0, None)
        target.write(content)
        target.end()
        return upload.upload_id


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    one = Parts(tmp_path)
    yield one
    one.database.close()


def test_old_uploads_are_forgotten_with_their_bytes_and_young_ones_kept(parts: Parts) -> None:
    old = parts.upload(b"a,b\n1,2\n")
    parts.clock.ahead = KEEP - timedelta(minutes=1)
    young = parts.upload(b"a,b\n3,4\n")
    parts.sweep.turn(threading.Event())
    assert set(parts.files.known()) == {old, young}
    parts.clock.ahead = KEEP + timedelta(minutes=1)
    parts.sweep.turn(threading.Event())
    assert parts.files.known() == [young]
    with pytest.raises(NotFoundError):
        parts.uploads.find(P, old)


def test_bytes_without_an_upload_are_swept(parts: Parts) -> None:
    kept = parts.upload(b"a,b\n1,2\n")
    parts.files.path("u_crashed").write_bytes(b"x")
    parts.sweep.turn(threading.Event())
    assert parts.files.known() == [kept]


def test_objects_are_swept_only_when_no_version_needs_them_and_they_are_old(parts: Parts) -> None:
    version = parts.datasets.commit(P, parts.upload(b"a,b\n1,2\n"), "kept", ReadOptions(), "key:1")
    orphan = parts.objects.put(b"left by a killed commit")
    parts.sweep.turn(threading.Event())
    assert parts.objects.size(orphan)
    parts.clock.ahead = GRACE + timedelta(minutes=1)
    parts.sweep.turn(threading.Event())
    with pytest.raises(NotFoundError):
        parts.objects.size(orphan)
    assert len(parts.datasets.rows(P, version.version_id, 0, 10).rows) == 1
    parts.datasets.delete(P, version.version_id, "key:1")
    parts.sweep.turn(threading.Event())
    assert list(parts.objects.list()) == []


def test_an_object_that_a_commit_stores_again_is_young_again(parts: Parts, tmp_path: Path) -> None:
    """Else the sweep could remove it between the storing and the record of a repeated commit."""
    upload = parts.upload(b"a,b\n1,2\n")
    version = parts.datasets.commit(P, upload, "again", ReadOptions(), "key:1")
    parts.datasets.delete(P, version.version_id, "key:1")
    past = time.time() - 2 * GRACE.total_seconds()
    for path in (tmp_path / "objects").glob("*/*"):
        os.utime(path, (past, past))
    parts.datasets.commit(P, upload, "again", ReadOptions(), "key:1")
    assert all(path.stat().st_mtime > past + 1 for path in (tmp_path / "objects").glob("*/*"))


def test_a_commit_is_repeated_without_reading_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    upload = parts.upload(b"a,b\n1,2\n")
    first = parts.datasets.commit(P, upload, "fast", ReadOptions(), "key:1")
    monkeypatch.setattr(parts.ports.reader, "reading", None)
    assert parts.datasets.commit(P, upload, "fast", ReadOptions(), "key:2") == first


def test_too_many_and_too_large_uploads_are_refused(parts: Parts) -> None:
    with pytest.raises(ExhaustedError) as large:
        parts.uploads.begin(P, (1 << 20) + 1, "", "key:1")
    assert (large.value.code, large.value.params["limit"]) == ("upload.too_large", str(1 << 20))
    for _ in range(10):
        parts.uploads.begin(P, 1, "", "key:1")
    with pytest.raises(ExhaustedError) as many:
        parts.uploads.begin(P, 1, "", "key:1")
    assert many.value.code == "upload.too_many"


def test_a_full_disk_is_told_before_bytes_are_sent(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts.files, "free_bytes", lambda: 1000)
    with pytest.raises(ExhaustedError) as refusal:
        parts.uploads.begin(P, 1000, "", "key:1")
    assert refusal.value.code == "disk.full"
    assert parts.ports.records.upload_ids() == set()


def test_an_upload_is_open_for_one_at_a_time_and_free_after_a_refusal(parts: Parts) -> None:
    upload = parts.uploads.begin(P, 10, "", "key:1")
    first = parts.uploads.open(P, upload.upload_id, 0, None)
    with pytest.raises(ConflictError) as refusal:
        parts.uploads.open(P, upload.upload_id, 0, None)
    assert refusal.value.code == "upload.locked"
    first.write(b"12345")
    first.undo()
    with pytest.raises(ConflictError):
        parts.uploads.open(P, upload.upload_id, 5, None)
    parts.uploads.open(P, upload.upload_id, 0, 5).end()


def test_rows_are_paged_over_the_borders_of_objects(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"n\n" + b"".join(b"%d\n" % number for number in range(1000))
    version = parts.datasets.commit(P, parts.upload(content), "paged", ReadOptions(), "key:1")
    tripled = replace(version, parts=version.parts * 3, rows=3000)
    monkeypatch.setattr(parts.ports.records, "version", lambda *_: tripled)
    page = parts.datasets.rows(P, version.version_id, 990, 20)
    assert [row[0] for row in page.rows] == [str(number % 1000) for number in range(990, 1010)]
    assert [row[0] for row in parts.datasets.rows(P, version.version_id, 2995, 20).rows] == [
        str(number) for number in range(995, 1000)
    ]
