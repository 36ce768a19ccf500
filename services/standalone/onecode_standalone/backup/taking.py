"""Take a backup: records, then objects, then files, into one sealed file that appears whole or not at all."""

import os
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import BinaryIO, LiteralString

from onecode_common.errors import (
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    PreconditionError,
    UnavailableError,
)
from onecode_common.files import flush_directory, storage_error, whole_or_removed
from onecode_common.objects import Objects, open_objects
from onecode_standalone.backup.blobs import BlobWriter
from onecode_standalone.backup.manifest import Dump, Folder, Link, Manifest, StoredFile, stays_inside
from onecode_standalone.backup.places import MARK, SERVICES, STORES, Places, walk
from onecode_standalone.backup.postgres_copy import dump_postgres
from onecode_standalone.backup.seal import SealedWriter
from onecode_standalone.backup.sqlite_copy import copy_sqlite, first_column, is_sqlite

NAMED: Mapping[str, LiteralString] = {
    "registry": "SELECT f.sha256 FROM version_files f JOIN versions v ON v.digest = f.digest WHERE v.state = 'ready'",
    "ingestion": "SELECT digest FROM version_objects",
}
"""How to ask a service's copied records which objects of its store they name."""

Told = Callable[[str, int, int], None]
"""Takes what is done now, bytes done, and bytes in all as far as known."""

_MODE = 0o7777


@dataclass(slots=True)
class _Found:
    """What the manifest will say."""

    folders: list[Folder] = field(default_factory=list)
    files: list[StoredFile] = field(default_factory=list)
    links: list[Link] = field(default_factory=list)
    dumps: list[Dump] = field(default_factory=list)
    named: dict[str, set[str]] = field(default_factory=dict)
    objects: dict[str, tuple[str, ...]] = field(default_factory=dict)
    left_out: list[str] = field(default_factory=list)


def take(where: Places, target: Path, passphrase: bytes, now: datetime, told: Told) -> Manifest:
    """Write the backup file; it has its name once it is whole and on disk.

    Raises:
        ConflictError: The file exists, or an object that a record names was deleted while this ran.
        InvalidError: The folder is no home, or a database or a named object is damaged.
        ExhaustedError: The disk is full.
        UnavailableError: A database or store does not answer, or the file cannot be written.
    """
    _require_home(where)
    if target.exists():
        hint = "choose another name; a backup never replaces an earlier one"
        raise ConflictError(f"{target} exists already", code="backup.exists", hint=hint)
    if target.resolve().is_relative_to(where.home.resolve()):
        hint = "a backup on the disk that it protects is none; write it elsewhere"
        raise InvalidError(f"{target} lies inside the home {where.home}", code="backup.inside", hint=hint)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}-")
        with whole_or_removed(Path(temporary)):
            with os.fdopen(handle, "wb") as file:
                manifest = _write(where, file, target.parent, passphrase, now, told)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).rename(target)
        flush_directory(target.parent)
    except OSError as error:
        raise _broken(error, target) from error
    return manifest


def stream(where: Places, out: BinaryIO, passphrase: bytes, now: datetime, told: Told) -> Manifest:
    """Write a backup into a pipe; one that was cut lacks its end, which every reader sees. Raises as :meth:`take`."""
    _require_home(where)
    try:
        # Copies of databases need room beside the originals; a temporary folder of the system may have none.
        manifest = _write(where, out, where.home.parent, passphrase, now, told)
        out.flush()
    except OSError as error:
        raise _broken(error, where.home.parent) from error
    return manifest


def _write(where: Places, file: BinaryIO, beside: Path, passphrase: bytes, now: datetime, told: Told) -> Manifest:
    with tempfile.TemporaryDirectory(dir=beside, prefix=".backup-") as scratch:
        return _Taking(where, SealedWriter(file, passphrase), Path(scratch), told).run(now)


def _require_home(where: Places) -> None:
    if (where.home / MARK).exists():
        message = f"the restore of {where.home} has not ended: there is nothing whole to back up"
        raise PreconditionError(message, code="backup.home")
    if not (where.home / "VERSION").is_file() and not (where.elsewhere and where.home.is_dir()):
        message = f"{where.home} is not a home of OneCode"
        hint = "name it with --home; in a cluster give this command the services' own settings"
        raise InvalidError(message, code="backup.home", hint=hint)


class _Taking:
    """One run."""

    def __init__(self, where: Places, sealed: SealedWriter, scratch: Path, told: Told) -> None:
        self._where = where
        self._scratch = scratch
        self._told = told
        self._stage, self._done, self._all = "records", 0, _expected(where)
        self._blobs = BlobWriter(sealed, self._count)
        self._found = _Found()
        self._copied: set[Path] = set()

    def run(self, now: datetime) -> Manifest:
        """Copy everything in the order that the package explains."""
        for service in SERVICES:
            self._records(service)
        for store in STORES:
            self._objects(store)
        self._begin("files")
        for path in walk(self._where.home):
            self._path(path)
        found = self._found
        manifest = Manifest(
            created=now.isoformat(timespec="seconds"),
            release=version("onecode"),
            folders=tuple(found.folders),
            files=tuple(found.files),
            links=tuple(found.links),
            dumps=tuple(found.dumps),
            objects=found.objects,
            left_out=tuple(found.left_out),
            blobs=tuple(self._blobs.blobs),
        )
        self._blobs.finish(manifest)
        return manifest

    def _records(self, service: str) -> None:
        self._begin(f"records of {service}")
        if service in self._where.postgres:
            url = self._where.postgres[service]
            dump, named = dump_postgres(service, url, self._scratch, self._blobs.add_file, NAMED.get(service))
            self._found.dumps.append(dump)
            self._found.named[service] = named
            return
        path = self._where.sqlite(service)
        if path.exists():
            copy = self._sqlite(path)
            self._found.named[service] = first_column(copy, NAMED[service]) if service in NAMED else set()
            copy.unlink()

    def _sqlite(self, path: Path) -> Path:
        copy = self._scratch / "copy.db"
        copy_sqlite(path, copy)
        self._keep(path, copy)
        self._copied.add(path)
        return copy

    def _objects(self, store: str) -> None:
        self._begin(f"objects: {store}")
        objects = open_objects(self._where.objects[store])
        named = self._found.named.get(STORES[store], set())
        present = {digest for digest, _ in objects.list()} | named
        kept = [digest for digest in sorted(present) if self._object(objects, digest, named)]
        self._found.objects[store] = tuple(kept)

    def _object(self, objects: Objects, digest: str, named: set[str]) -> bool:
        try:
            whole = self._blobs.add_named(digest, objects.read(digest)) == digest
        except NotFoundError as error:
            if digest not in named:
                return False
            raise _gone(digest) from error
        if whole:
            return True
        if digest in named:
            message = f"object {digest} is damaged in its store, and a record names it"
            hint = "bring the object back from an earlier backup or from who uploaded it, then take this backup again"
            raise InvalidError(message, code="backup.object_damaged", hint=hint, params={"digest": digest})
        self._found.left_out.append(digest)
        return False

    def _path(self, path: Path) -> None:
        relative = str(path.relative_to(self._where.home))
        try:
            if path.is_symlink():
                target = str(path.readlink())
                if stays_inside(target, from_folder=PurePosixPath(relative).parent):
                    self._found.links.append(Link(relative, target))
            elif path.is_dir():
                self._found.folders.append(Folder(relative, path.stat().st_mode & _MODE))
            elif path in self._copied:
                return
            elif is_sqlite(path):
                self._sqlite(path).unlink()
            else:
                self._keep(path, path)
        except FileNotFoundError:
            # A running platform removes files while we walk: that one does not belong to this moment any more.
            return

    def _keep(self, path: Path, content: Path) -> None:
        mode = path.stat().st_mode & _MODE
        self._found.files.append(
            StoredFile(str(path.relative_to(self._where.home)), mode, self._blobs.add_file(content))
        )

    def _begin(self, stage: str) -> None:
        self._stage = stage

    def _count(self, done: int) -> None:
        self._done += done
        self._told(self._stage, self._done, max(self._all, self._done))


def _broken(error: OSError, target: Path) -> ExhaustedError | InvalidError | UnavailableError:
    """Return our error: a file of the platform that cannot be read is told from a target that cannot be written."""
    if isinstance(error, PermissionError) and error.filename is not None and Path(error.filename) != target.parent:
        hint = "run it as the user that runs the platform"
        return InvalidError(f"{error.filename} may not be read by this user", code="backup.unreadable", hint=hint)
    return storage_error(error, target)


def _expected(where: Places) -> int:
    """Return about how many bytes there are, for the bar; what lies on servers is not asked for and comes on top."""
    total = 0
    for path in walk(where.home):
        with suppress(OSError):
            total += 0 if path.is_symlink() or path.is_dir() else path.stat().st_size
    for url in where.objects.values():
        if url.startswith("file://"):
            objects = open_objects(url)
            for digest, _ in objects.list():
                with suppress(NotFoundError):
                    total += objects.size(digest)
    return total


def _gone(digest: str) -> ConflictError:
    message = f"object {digest} is missing from its store, though a record names it"
    hint = "if something was deleted while this ran, take the backup again; else look for the object in an earlier one"
    return ConflictError(message, code="backup.object_missing", hint=hint, params={"digest": digest})
