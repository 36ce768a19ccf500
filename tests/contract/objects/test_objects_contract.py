"""Two object stores keep one promise: bytes are found by their digest, whole and unchanged, or not at all."""

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from onecode_common.errors import InvalidError, NotFoundError
from onecode_common.objects import Objects, open_objects
from onecode_common.objects.directory import PIECE

MISSING = hashlib.sha256(b"nobody stored this").hexdigest()


@pytest.fixture(params=["directory", "s3"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    if request.param == "directory":
        return open_objects(f"file://{tmp_path / 'objects'}")
    return open_objects(request.getfixturevalue("s3_url"))


def hex_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("content", [b"", b"x", secrets.token_bytes(3 * PIECE + 7)], ids=["empty", "one", "large"])
def test_what_is_put_comes_back_by_its_digest(objects: Objects, content: bytes) -> None:
    name = objects.put(content)
    assert name == hex_of(content)
    assert objects.get(name) == content
    assert objects.size(name) == len(content)


def test_a_file_is_the_same_object_as_its_bytes(objects: Objects, tmp_path: Path) -> None:
    content = secrets.token_bytes(PIECE + 1)
    (tmp_path / "file").write_bytes(content)
    assert objects.put_file(tmp_path / "file") == objects.put(content)
    assert objects.get(hex_of(content)) == content


def test_storing_again_changes_nothing(objects: Objects) -> None:
    content = secrets.token_bytes(100)
    first = objects.put(content)
    assert objects.put(content) == first
    assert [name for name, _ in objects.list()].count(first) == 1


@pytest.mark.parametrize(
    ("offset", "length"), [(0, None), (0, 10), (5, 20), (PIECE - 1, 2), (PIECE, None), (0, 0), (2 * PIECE, 10)]
)
def test_a_range_is_the_slice_of_the_bytes(objects: Objects, offset: int, length: int | None) -> None:
    content = secrets.token_bytes(PIECE + 100)
    name = objects.put(content)
    pieces = list(objects.read(name, offset, length))
    assert b"".join(pieces) == content[offset : None if length is None else offset + length]
    assert all(len(piece) <= PIECE for piece in pieces)


def test_fetch_writes_a_new_checked_file_and_never_replaces_one(objects: Objects, tmp_path: Path) -> None:
    content = secrets.token_bytes(2 * PIECE)
    name = objects.put(content)
    objects.fetch(name, tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == content
    with pytest.raises(FileExistsError):
        objects.fetch(name, tmp_path / "new")


def test_what_is_missing_is_not_found(objects: Objects, tmp_path: Path) -> None:
    for ask in (
        lambda: objects.get(MISSING),
        lambda: list(objects.read(MISSING)),
        lambda: objects.size(MISSING),
        lambda: objects.fetch(MISSING, tmp_path / "missing"),
    ):
        with pytest.raises(NotFoundError) as refusal:
            ask()
        assert (refusal.value.code, refusal.value.params) == ("object.missing", {"digest": MISSING})
    assert not (tmp_path / "missing").exists()
    assert not (tmp_path / "missing").exists()


def test_a_deleted_object_is_gone_and_deleting_again_is_harmless(objects: Objects) -> None:
    name = objects.put(secrets.token_bytes(50))
    objects.delete(name)
    objects.delete(name)
    with pytest.raises(NotFoundError):
        objects.get(name)
    assert name not in [other for other, _ in objects.list()]


def test_the_list_names_every_object_with_the_time_it_was_stored(objects: Objects) -> None:
    names = {objects.put(secrets.token_bytes(20)) for _ in range(5)}
    listed = dict(objects.list())
    assert names <= set(listed)
    assert all(abs(datetime.now(UTC) - listed[name]) < timedelta(hours=1) for name in names)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "ab", "g" * 64, "A" * 64, f"{'a' * 64}/x", "\0" * 64])
def test_a_name_that_is_no_digest_is_refused(objects: Objects, name: str) -> None:
    for ask in (objects.get, objects.size, objects.delete):
        with pytest.raises(InvalidError) as refusal:
            ask(name)
        assert refusal.value.code == "digest.invalid"
