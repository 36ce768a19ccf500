"""Rules of backups: what a manifest may name, what is left out, how a passphrase must be, what a seal refuses."""

import io
from pathlib import Path, PurePosixPath

import pytest

from onecode_common.errors import InvalidError
from onecode_common.migrations import oldest_reader
from onecode_standalone.backup.blobs import BlobReader, BlobWriter, Checked
from onecode_standalone.backup.manifest import Link, Manifest, StoredFile, manifest_from, stays_inside
from onecode_standalone.backup.passphrase import read_passphrase
from onecode_standalone.backup.places import places, walk
from onecode_standalone.backup.seal import SealedWriter

SECRET = b"correct horse battery"


def manifest(**changes: object) -> Manifest:
    values: dict[str, object] = dict.fromkeys(("folders", "files", "links", "dumps", "left_out", "blobs"), ())
    return Manifest(**{"created": "now", "release": "1", "objects": {}, **values, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sealed() -> bytes:
    """A small backup of two contents; scrypt's cost is paid once."""
    file = io.BytesIO()
    writer = BlobWriter(SealedWriter(file, SECRET), lambda _bytes: None)
    first = writer.add([b"first", b"content"])
    second = writer.add([bytes(3 << 20)])
    files = (StoredFile("one", 0o600, first), StoredFile("two", 0o600, second))
    writer.finish(manifest(files=files, blobs=tuple(writer.blobs)))
    return file.getvalue()


def read(content: bytes, secret: bytes = SECRET) -> Manifest:
    reader = BlobReader(io.BytesIO(content), secret)
    return reader.check(reader.beginning(), lambda _reached: None)


def test_what_was_sealed_is_read_back_in_its_order(sealed: bytes) -> None:
    reader = BlobReader(io.BytesIO(sealed), SECRET)
    found = reader.check(reader.beginning(), lambda _reached: None)
    contents = {digest: b"".join(pieces) for digest, pieces in reader.contents(found)}
    assert [contents[one.blob] for one in found.files] == [b"firstcontent", bytes(3 << 20)]


def test_a_wrong_passphrase_is_told_from_damage(sealed: bytes) -> None:
    with pytest.raises(InvalidError) as refusal:
        read(sealed, b"another horse battery")
    assert refusal.value.code == "backup.passphrase"


def test_every_kind_of_damage_is_refused(sealed: bytes) -> None:
    middle = len(sealed) // 2
    flipped = sealed[:middle] + bytes([sealed[middle] ^ 1]) + sealed[middle + 1 :]
    body = sealed.index(b"}\n") + 2 + 32
    length = 4 + int.from_bytes(sealed[body : body + 4], "big")
    swapped = sealed[:body] + sealed[body + length :] + sealed[body : body + length]
    header = sealed.replace(b'"n": 131072', b'"n": 262144')
    for broken in (flipped, sealed[:-1], sealed[:middle], sealed[:body], sealed + b"x", swapped, header):
        with pytest.raises(InvalidError) as refusal:
            read(broken)
        assert refusal.value.code == "backup.damaged"
    with pytest.raises(InvalidError, match="not a backup"):
        read(b"PK\3\4" + sealed)


def test_a_check_goes_on_where_it_stopped_and_finds_what_comes_after(sealed: bytes) -> None:
    reached: list[Checked] = []
    reader = BlobReader(io.BytesIO(sealed), SECRET)
    whole = reader.check(reader.beginning(), reached.append)
    assert reader.check(reached[0], lambda _reached: None) == whole
    end = reached[-1].place.offset
    flipped = sealed[: end + 9] + bytes([sealed[end + 9] ^ 1]) + sealed[end + 10 :]
    damaged = BlobReader(io.BytesIO(flipped), SECRET)
    with pytest.raises(InvalidError):
        damaged.check(reached[-1], lambda _reached: None)


@pytest.mark.parametrize("path", ["/etc/passwd", "../x", "a/../../x", "", "a\0b"])
def test_a_manifest_that_leaves_the_home_is_refused(path: str) -> None:
    with pytest.raises(InvalidError):
        manifest_from(manifest(files=(StoredFile(path, 0o600, "0" * 64),)).encoded())
    with pytest.raises(InvalidError):
        manifest_from(manifest(links=(Link("link", path),)).encoded())


def test_a_link_may_point_beside_itself_inside_the_home() -> None:
    assert stays_inside("../sets/1", from_folder=PurePosixPath("gateways/gw-1"))
    assert not stays_inside("../../sets/1", from_folder=PurePosixPath("gateways"))


def test_what_can_be_fetched_again_is_left_out(tmp_path: Path) -> None:
    kept = ["VERSION", "keys/console.key", "gateways/gw-1/sequence", "inference/sequence", "training/runs/r/lock"]
    left = [
        "lock",
        "ports.json",
        "logs/console.log",
        "nats/jetstream/$G/x",
        "objects/models/ab/cd",
        "gateways/gw-1/metadata/root.json",
        "gateways/gw-1/run/lock",
        "gateways/gw-1/accepted-line-1",
        "inference/delivery/objects/ab/x",
        "console/console.db-wal",
        "rollout/.new-abc",
    ]
    for name in (*kept, *left):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    found = {str(path.relative_to(tmp_path)) for path in walk(tmp_path) if path.is_file()}
    assert found == set(kept)


def test_databases_lie_in_the_home_unless_a_setting_says_otherwise(tmp_path: Path) -> None:
    url = "postgresql+psycopg://u@h/rollout"
    where = places(tmp_path, {"ONECODE_ROLLOUT_DATABASE_URL": url, "ONECODE_REGISTRY_OBJECTS_URL": "s3://h/b"})
    assert where.postgres == {"rollout": url}
    assert where.objects == {"datasets": f"file://{tmp_path}/objects/datasets", "models": "s3://h/b"}
    assert where.elsewhere
    assert not places(tmp_path, {}).elsewhere
    with pytest.raises(InvalidError, match="SQLite file other than"):
        places(tmp_path, {"ONECODE_ROLLOUT_DATABASE_URL": "sqlite:////elsewhere/rollout.db"})


@pytest.mark.parametrize(
    ("content", "mode", "code"),
    [
        (b"short\n", 0o600, "backup.passphrase_short"),
        (b"\ncorrect horse battery", 0o600, "backup.passphrase_short"),
        (b"correct horse battery\n", 0o644, "backup.passphrase_file"),
        (None, 0o600, "backup.passphrase_file"),
    ],
)
def test_a_passphrase_must_be_long_and_private(tmp_path: Path, content: bytes | None, mode: int, code: str) -> None:
    path = tmp_path / "passphrase"
    if content is not None:
        path.write_bytes(content)
        path.chmod(mode)
    with pytest.raises(InvalidError) as refusal:
        read_passphrase(path)
    assert refusal.value.code == code


def test_the_oldest_code_that_can_live_with_a_schema_is_what_its_migrations_say() -> None:
    scripts = [("0001", ""), ("0002", ""), ("0003", "0002"), ("0004", "")]
    assert [oldest_reader(scripts, now) for now in ("0001", "0002", "0003", "0004")] == ["0001", "0001", "0002", "0002"]
