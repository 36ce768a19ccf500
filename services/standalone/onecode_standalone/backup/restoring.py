"""Bring a backup back on an empty place: nothing is written before all of the file was found good.

While it writes, the home holds the file ``.restoring`` and no ``VERSION``: no supervisor starts on half a home, and
a restore that was interrupted is seen.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from onecode_common.database import Database
from onecode_common.errors import ConflictError, PreconditionError
from onecode_common.files import flush_directory, storage_error, write_file
from onecode_common.objects import Objects, open_objects
from onecode_common.restored import mark_restored
from onecode_standalone.backup.blobs import BlobReader
from onecode_standalone.backup.checking import Told, check, open_backup
from onecode_standalone.backup.manifest import Manifest, Rows, StoredFile
from onecode_standalone.backup.places import MARK, SERVICES, Places
from onecode_standalone.backup.postgres_copy import fill, make_schema, require_empty, require_known, set_sequences
from onecode_standalone.home import FORMAT, HomeLock

_HARMLESS = frozenset({"lock", "lost+found"})
_VERSION = "VERSION"
_NUMBERING = ("rollout", "registry")
_PIECE = 1 << 20


@dataclass(slots=True)
class _Wanted:
    """Who wants a blob: files by path, stores by name, tables."""

    files: list[StoredFile] = field(default_factory=list)
    stores: list[str] = field(default_factory=list)
    tables: list[tuple[str, Rows]] = field(default_factory=list)


def restore(source: Path, where: Places, passphrase: bytes, told: Told) -> Manifest:
    """Fill an empty home, and empty databases where the settings name some.

    Raises:
        ConflictError: The home is not empty, or somebody uses it.
        PreconditionError: A newer release wrote the backup, a database is not empty, or the backup's databases are
            of another kind than the settings say.
        InvalidError: Not a backup, damaged, or another passphrase.
        ExhaustedError: The disk is full.
        UnavailableError: A database or store does not answer, or the home cannot be written.
    """
    _require_empty(where.home)
    manifest = check(source, passphrase, told)
    _require_kind(manifest, where)
    for dump in manifest.dumps:
        require_known(dump, manifest.release)
    for service, url in where.postgres.items():
        require_empty(service, url)
    try:
        where.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with HomeLock(where.home / "lock"), open_backup(source) as file:
            _require_empty(where.home)
            write_file(where.home / MARK, f"{source}\n".encode())
            restoring = _Restoring(where, manifest, told)
            restoring.folders()
            for digest, pieces in BlobReader(file, passphrase).contents(manifest):
                restoring.place(digest, pieces)
            restoring.end()
    except OSError as error:
        raise storage_error(error, where.home) from error
    return manifest


def _require_empty(home: Path) -> None:
    if not home.exists():
        return
    if not home.is_dir():
        raise ConflictError(f"{home} is not a folder", code="restore.home")
    found = sorted(path.name for path in home.iterdir() if path.name not in _HARMLESS)
    if MARK in found:
        message = f"an earlier restore into {home} has not ended"
        hint = "empty the folder (and the databases), then restore again"
        raise ConflictError(message, code="restore.unfinished", hint=hint, params={"path": home})
    if found:
        message = f"{home} is not empty: it holds {found[0]!r}"
        hint = "restore into an empty or a new folder with --home; nothing was written"
        raise ConflictError(message, code="restore.home_used", hint=hint, params={"path": home})


def _require_kind(manifest: Manifest, where: Places) -> None:
    dumped = {dump.service for dump in manifest.dumps}
    in_home = {service for service in SERVICES if any(one.path == f"{service}/{service}.db" for one in manifest.files)}
    for service in sorted(dumped - set(where.postgres)):
        message = f"the backup holds a PostgreSQL database of {service}, and no new one is named for it"
        hint = f"set ONECODE_{service.upper()}_DATABASE_URL to an empty database"
        raise PreconditionError(message, code="restore.database_missing", hint=hint)
    for service in sorted(in_home & set(where.postgres)):
        message = f"the backup holds a SQLite file of {service}, which cannot be restored into PostgreSQL"
        hint = f"unset ONECODE_{service.upper()}_DATABASE_URL; its records then lie in the home"
        raise PreconditionError(message, code="restore.database_kind", hint=hint)


class _Restoring:
    """One run."""

    def __init__(self, where: Places, manifest: Manifest, told: Told) -> None:
        self._where = where
        self._manifest = manifest
        self._told = told
        self._done = 0
        self._wanted: dict[str, _Wanted] = {}
        for one in manifest.files:
            self._of(one.blob).files.append(one)
        for store, digests in manifest.objects.items():
            for digest in digests:
                self._of(digest).stores.append(store)
        for dump in manifest.dumps:
            for rows in dump.tables:
                self._of(rows.blob).tables.append((dump.service, rows))
        self._stores: Mapping[str, Objects] = {store: open_objects(where.objects[store]) for store in manifest.objects}
        self._version: tuple[bytes, int] | None = None

    def folders(self) -> None:
        """Make folders and links, and the tables of databases."""
        for one in self._manifest.folders:
            (self._where.home / one.path).mkdir(mode=one.mode, parents=True, exist_ok=True)
        for dump in self._manifest.dumps:
            make_schema(dump, self._where.postgres[dump.service])

    def place(self, digest: str, pieces: Iterator[bytes]) -> None:
        """Put one content wherever it belongs."""
        wanted = self._wanted.get(digest, _Wanted())
        spool = self._where.home / f"{MARK}-content"
        with spool.open("wb") as file:
            for piece in pieces:
                file.write(piece)
                self._done += len(piece)
                self._told("restore", self._done, self._manifest.content_bytes)
        for store in wanted.stores:
            self._stores[store].put_file(spool)
        for service, rows in wanted.tables:
            with spool.open("rb") as file:
                fill(self._where.postgres[service], rows, _read(file))
        for one in wanted.files:
            self._file(one, spool)
        spool.unlink(missing_ok=True)

    def _file(self, one: StoredFile, spool: Path) -> None:
        if one.path == _VERSION:
            content = spool.read_bytes()
            _require_format(content)
            self._version = (content, one.mode)
            return
        path = self._where.home / one.path
        with spool.open("rb") as source, path.open("xb") as target:
            os.fchmod(target.fileno(), one.mode)
            shutil.copyfileobj(source, target, _PIECE)
            target.flush()
            os.fsync(target.fileno())

    def end(self) -> None:
        """Make links, set sequences, and let the home be one."""
        for link in self._manifest.links:
            path = self._where.home / link.path
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            path.symlink_to(link.target)
        for dump in self._manifest.dumps:
            set_sequences(self._where.postgres[dump.service], dump)
        for service in _NUMBERING:
            self._mark(service)
        for folder in self._manifest.folders:
            flush_directory(self._where.home / folder.path)
        if self._version is not None:
            write_file(self._where.home / _VERSION, self._version[0], mode=self._version[1])
        (self._where.home / MARK).unlink()
        flush_directory(self._where.home)

    def _mark(self, service: str) -> None:
        """Let a service that signs with growing numbers know that some were given out after the backup."""
        url = self._where.postgres.get(service) or f"sqlite:///{self._where.sqlite(service)}"
        if service not in self._where.postgres and not self._where.sqlite(service).exists():
            return
        with closing(Database(url)) as database, database.transaction() as connection:
            mark_restored(connection)

    def _of(self, digest: str) -> _Wanted:
        return self._wanted.setdefault(digest, _Wanted())


def _read(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(_PIECE):
        yield piece


def _require_format(content: bytes) -> None:
    text = content.decode(errors="replace").strip()
    if not text.isdigit() or int(text) > FORMAT:
        message = f"the backup holds a home of format {text[:40]!r}, this release reads {FORMAT}"
        raise PreconditionError(message, code="backup.newer", hint="restore it with the release that wrote it")
