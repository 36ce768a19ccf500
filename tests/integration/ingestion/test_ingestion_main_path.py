"""From bytes to an immutable version, over the real faces of a real process."""

import hashlib
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode_common.errors import ConflictError, NotFoundError, PreconditionError
from onecode_common.objects import open_objects

CSV = b"t,temperature,state\n2026-01-01,20.5,ok\n2026-01-02,,ok\n2026-01-03,22,bad\n"


def test_readings_become_a_version_with_profile_rows_and_objects(platform: Any) -> None:
    stub = platform.stub()
    version = platform.commit(CSV, "pump", target="state")
    assert (version.dataset, version.number, version.rows, version.dropped_rows) == ("pump", 1, 3, 0)
    assert [(one.name, one.type, one.nullable) for one in version.schema.columns] == [
        ("t", pb.COLUMN_TYPE_TIMESTAMP, False),
        ("temperature", pb.COLUMN_TYPE_FLOAT, True),
        ("state", pb.COLUMN_TYPE_TEXT, False),
    ]
    assert (version.schema.target, version.schema.time_column) == ("state", "t")
    assert version.created_by == "key:tester"
    assert version.upload_sha256 == hashlib.sha256(CSV).hexdigest()
    profile = stub.GetProfile(pb.GetProfileRequest(version_id=version.version_id)).profile
    assert [(one.value, one.count) for one in profile.class_balance] == [("ok", 2), ("bad", 1)]
    temperature = profile.columns[1]
    assert (temperature.missing, temperature.min, temperature.max, temperature.mean) == (1, 20.5, 22.0, 21.25)
    page = stub.ListRows(pb.ListRowsRequest(version_id=version.version_id, offset=1, limit=5))
    assert page.total == 3
    assert [[cell.text if cell.HasField("text") else None for cell in row.cells] for row in page.rows] == [
        ["2026-01-02T00:00:00Z", None, "ok"],
        ["2026-01-03T00:00:00Z", "22.0", "bad"],
    ]


def test_the_objects_are_parquet_named_by_their_digest(platform: Any, tmp_path: Path) -> None:
    version = platform.commit(CSV + b"2026-01-04,1,ok\n", "named")
    objects = open_objects(f"file://{platform.home / 'objects'}")
    (tmp_path / "x.parquet").write_bytes(objects.get(version.objects[0].removeprefix("sha256:")))
    table = pq.read_table(tmp_path / "x.parquet")
    assert table.column("temperature").to_pylist() == [20.5, None, 22.0, 1.0]
    assert version.bytes == (tmp_path / "x.parquet").stat().st_size


def test_the_same_bytes_and_options_are_the_same_version_however_often_they_come(platform: Any) -> None:
    content = CSV + b"2026-01-05,5,ok\n"
    first = platform.commit(content, "twice")
    again = platform.commit(content, "twice")
    said = platform.commit(content, "twice", encoding="utf-8", delimiter=",", header=True)
    assert first == again == said
    assert len(platform.stub().ListVersions(pb.ListVersionsRequest(dataset="twice")).versions) == 1
    with pytest.raises(ConflictError) as refusal:
        platform.commit(content, "other")
    assert refusal.value.code == "data.version_elsewhere"


def test_what_a_preview_chose_commits_to_what_it_showed(platform: Any) -> None:
    content = "zeit;wert\n2026-01-01 10:00;1,5\n2026-01-01 11:00;2,5\n".encode("utf-16")
    upload = platform.upload(content)
    preview = platform.stub().PreviewUpload(pb.PreviewUploadRequest(upload_id=upload), timeout=90)
    assert (preview.options.encoding, preview.options.delimiter, preview.options.decimal_comma) == ("utf-16", ";", True)
    assert [cell.text for cell in preview.rows[0].cells] == ["2026-01-01T10:00:00Z", "1.5"]
    assert preview.estimated_rows == 2
    request = pb.CommitUploadRequest(upload_id=upload, dataset="previewed", options=preview.options)
    version = platform.stub().CommitUpload(request, timeout=90).version
    assert (version.schema, version.options) == (preview.schema, preview.options)
    inferred = pb.CommitUploadRequest(upload_id=upload, dataset="previewed")
    assert platform.stub().CommitUpload(inferred, timeout=90).version == version


def test_versions_are_numbered_listed_newest_first_and_found_by_name(platform: Any) -> None:
    stub = platform.stub()
    ids = [platform.commit(CSV + b"2026-02-0%d,1,ok\n" % day, "numbered").version_id for day in (1, 2, 3)]
    listed = stub.ListVersions(pb.ListVersionsRequest(dataset="numbered")).versions
    assert [(one.number, one.version_id) for one in listed] == [(3, ids[2]), (2, ids[1]), (1, ids[0])]
    assert stub.GetVersion(pb.GetVersionRequest(dataset="numbered")).version.version_id == ids[2]
    names, token = [], ""
    while True:
        page = stub.ListDatasets(pb.ListDatasetsRequest(page_size=2, page_token=token))
        names += [one.name for one in page.datasets]
        token = page.next_page_token
        if not token:
            break
    assert names == sorted(set(names))
    assert "numbered" in names


def test_a_version_in_use_is_not_deleted_and_its_number_never_comes_again(platform: Any) -> None:
    console, training = platform.stub(), platform.stub("training", principal="")
    content = CSV + b"2026-03-01,1,ok\n"
    version = platform.commit(content, "held")
    hold = pb.HoldVersionRequest(version_id=version.version_id, holder="run/r_1")
    training.HoldVersion(hold)
    training.HoldVersion(hold)
    with pytest.raises(PreconditionError) as refusal:
        console.DeleteVersion(pb.DeleteVersionRequest(version_id=version.version_id))
    assert (refusal.value.code, refusal.value.params["holders"]) == ("version.held", "run/r_1")
    assert console.GetVersion(pb.GetVersionRequest(version_id=version.version_id)).version == version
    training.ReleaseVersion(pb.ReleaseVersionRequest(version_id=version.version_id, holder="run/r_1"))
    console.DeleteVersion(pb.DeleteVersionRequest(version_id=version.version_id))
    with pytest.raises(NotFoundError):
        console.GetVersion(pb.GetVersionRequest(version_id=version.version_id))
    again = platform.commit(content, "held")
    assert (again.version_id, again.number) == (version.version_id, 2)
