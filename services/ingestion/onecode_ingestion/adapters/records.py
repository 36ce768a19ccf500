"""Keep what ingestion remembers in its own database; a change, its audit row and its fact are one transaction."""

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from onecode.events.v1 import events_pb2 as events
from onecode_common.audit import Audit
from onecode_common.clock import Clock
from onecode_common.database import Database
from onecode_common.errors import ExhaustedError, NotFoundError, PreconditionError
from onecode_common.outbox import Outbox
from onecode_ingestion.adapters import tables as t
from onecode_ingestion.domain.columns import Schema
from onecode_ingestion.domain.findings import Finding
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.domain.upload import Upload
from onecode_ingestion.domain.version import StoredPart, Version, elsewhere
from onecode_ingestion.ports import Commit

_SHOWN_HOLDERS = 5


class DatabaseRecords:
    """The port :class:`onecode_ingestion.ports.Records`."""

    def __init__(self, database: Database, clock: Clock, project: str) -> None:
        self._database = database
        self._clock = clock
        self.outbox = Outbox(t.outbox, "ingestion", clock, project)
        self._audit = Audit(t.audit, clock, self.outbox)

    def add_upload(self, upload: Upload, most: int) -> None:
        """Remember an upload."""
        with self._database.transaction() as connection:
            unfinished = select(func.count()).select_from(t.uploads).where(t.uploads.c.sha256 == "")
            count = connection.execute(unfinished).scalar_one()
            if count >= most:
                message = f"{count} uploads are under way already, at most {most}: finish or delete some"
                raise ExhaustedError(message, code="upload.too_many", params={"limit": most})
            row = {name: getattr(upload, name) for name in Upload.__slots__}
            connection.execute(insert(t.uploads).values({**row, "created": upload.created.isoformat()}))
            self._audit.record(connection, upload.created_by, "upload.create", upload.upload_id, upload.file_name)

    def upload(self, project: str, upload_id: str) -> Upload:
        """Return an upload."""
        query = select(t.uploads).where(t.uploads.c.project == project, t.uploads.c.upload_id == upload_id)
        with self._database.transaction() as connection:
            row = connection.execute(query).first()
        if row is None:
            raise _no_upload(upload_id)
        return _upload(row)

    def complete_upload(self, upload_id: str, sha256: str) -> None:
        """Write down the digest of a complete upload."""
        with self._database.transaction() as connection:
            connection.execute(update(t.uploads).where(t.uploads.c.upload_id == upload_id).values(sha256=sha256))

    def remove_upload(self, project: str, upload_id: str, principal: str) -> None:
        """Forget an upload."""
        query = delete(t.uploads).where(t.uploads.c.project == project, t.uploads.c.upload_id == upload_id)
        with self._database.transaction() as connection:
            if not connection.execute(query).rowcount:
                raise _no_upload(upload_id)
            self._audit.record(connection, principal, "upload.delete", upload_id)

    def uploads_before(self, moment: datetime) -> list[Upload]:
        """Return uploads begun before this moment."""
        query = select(t.uploads).where(t.uploads.c.created < moment.isoformat())
        with self._database.transaction() as connection:
            return [_upload(row) for row in connection.execute(query)]

    def upload_ids(self) -> set[str]:
        """Return the ids of all uploads."""
        with self._database.transaction() as connection:
            return set(connection.execute(select(t.uploads.c.upload_id)).scalars())

    def committed(self, project: str, upload_sha256: str, requested: str) -> Version | None:
        """Return the version that the same bytes and asked-for options made before."""
        query = select(t.commits.c.version_id).where(
            t.commits.c.project == project,
            t.commits.c.upload_sha256 == upload_sha256,
            t.commits.c.requested == requested,
        )
        with self._database.transaction() as connection:
            found = connection.execute(query).scalar()
            return None if found is None else self._find(connection, project, found)

    def commit(self, commit: Commit) -> Version:
        """Record a version with its fact and audit row, or return it if it is there."""
        keys = {"project": commit.project, "version_id": commit.version_id}
        asked = {"upload_sha256": commit.upload_sha256, "requested": commit.requested}
        with self._database.transaction() as connection:
            known = self._find(connection, commit.project, commit.version_id)
            if known is not None and known.dataset != commit.dataset:
                raise elsewhere(known.version_id, known.dataset)
            if known is None:
                self._insert(connection, commit, keys)
            if not connection.execute(select(t.commits).filter_by(**keys, **asked)).first():
                connection.execute(insert(t.commits).values(**keys, **asked))
            return known or self._found(connection, commit.project, commit.version_id)

    def version(self, project: str, version_id: str) -> Version:
        """Return a version."""
        with self._database.transaction() as connection:
            return self._found(connection, project, version_id)

    def newest(self, project: str, dataset: str) -> Version:
        """Return the newest version of a data set."""
        return self._of_dataset(project, dataset, 1)[0]

    def versions(self, project: str, dataset: str) -> list[Version]:
        """Return all versions of a data set, newest first."""
        return self._of_dataset(project, dataset, None)

    def datasets(self, project: str, after: str, limit: int) -> list[tuple[str, int, Version]]:
        """Return (name, number of versions, newest) by name, those after a name."""
        v = t.versions.c
        query = (
            select(v.dataset, func.count().label("versions"), func.max(v.number).label("newest"))
            .where(v.project == project, v.dataset > after)
            .group_by(v.dataset)
            .order_by(v.dataset)
            .limit(limit)
        )
        with self._database.transaction() as connection:
            found = connection.execute(query).all()
            newest = {
                row.dataset: self._read(
                    connection, select(t.versions).filter_by(project=project, dataset=row.dataset, number=row.newest)
                )[0]
                for row in found
            }
        return [(row.dataset, row.versions, newest[row.dataset]) for row in found]

    def profile(self, project: str, version_id: str) -> Mapping[str, Any]:
        """Return a version's profile document."""
        query = select(t.versions.c.profile).filter_by(project=project, version_id=version_id)
        with self._database.transaction() as connection:
            found = connection.execute(query).scalar()
        if found is None:
            raise _no_version(version_id)
        document: Mapping[str, Any] = json.loads(found)
        return document

    def hold(self, project: str, version_id: str, holder: str) -> None:
        """Write down that somebody needs the version."""
        row = {"project": project, "version_id": version_id, "holder": holder}
        with self._database.transaction() as connection:
            self._found(connection, project, version_id)
            if not connection.execute(select(t.holds).filter_by(**row)).first():
                connection.execute(insert(t.holds).values(**row, since=self._clock.now().isoformat()))

    def release(self, project: str, version_id: str, holder: str) -> None:
        """Take a hold back."""
        h = t.holds.c
        query = delete(t.holds).where(h.project == project, h.version_id == version_id, h.holder == holder)
        with self._database.transaction() as connection:
            connection.execute(query)

    def delete(self, project: str, version_id: str, principal: str) -> None:
        """Delete a version."""
        with self._database.transaction() as connection:
            version = self._found(connection, project, version_id)
            held = select(t.holds.c.holder).filter_by(project=project, version_id=version_id)
            holders = connection.execute(held.order_by(t.holds.c.holder)).scalars().all()
            if holders:
                raise _held(version_id, holders)
            for table in (t.commits, t.parts, t.versions):
                of_version = (table.c.project == project, table.c.version_id == version_id)
                connection.execute(delete(table).where(*of_version))
            self._audit.record(connection, principal, "dataset.delete_version", version_id, version.dataset)

    def objects(self) -> set[str]:
        """Return the digests of all objects that a version needs."""
        with self._database.transaction() as connection:
            return set(connection.execute(select(t.parts.c.digest)).scalars())

    def _insert(self, connection: Connection, commit: Commit, keys: Mapping[str, str]) -> None:
        number = _next_number(connection, commit.project, commit.dataset)
        document = {
            "schema": commit.schema.to_document(),
            "options": commit.options.to_document(),
            "findings": [finding.to_document() for finding in commit.findings],
        }
        row = {
            **keys,
            "dataset": commit.dataset,
            "number": number,
            "rows": commit.rows,
            "dropped_rows": commit.dropped_rows,
            "upload_sha256": commit.upload_sha256,
            "document": json.dumps(document),
            "profile": json.dumps(commit.profile),
            "created": self._clock.now().isoformat(),
            "created_by": commit.principal,
        }
        connection.execute(insert(t.versions).values(row))
        for position, part in enumerate(commit.parts):
            values = {"position": position, "digest": part.digest, "rows": part.rows, "bytes": part.bytes}
            connection.execute(insert(t.parts).values({**keys, **values}))
        fact = events.DatasetVersionCommitted(dataset=commit.dataset, version_id=commit.version_id, rows=commit.rows)
        self.outbox.append(connection, fact)
        self._audit.record(connection, commit.principal, "dataset.commit", commit.version_id, commit.dataset)

    def _of_dataset(self, project: str, dataset: str, limit: int | None) -> list[Version]:
        query = select(t.versions).filter_by(project=project, dataset=dataset).order_by(t.versions.c.number.desc())
        with self._database.transaction() as connection:
            found = self._read(connection, query.limit(limit))
        if not found:
            message = f"there is no data set {dataset!r}"
            raise NotFoundError(message, code="dataset.missing", params={"dataset": dataset})
        return found

    def _find(self, connection: Connection, project: str, version_id: str) -> Version | None:
        found = self._read(connection, select(t.versions).filter_by(project=project, version_id=version_id))
        return found[0] if found else None

    def _found(self, connection: Connection, project: str, version_id: str) -> Version:
        found = self._find(connection, project, version_id)
        if found is None:
            raise _no_version(version_id)
        return found

    def _read(self, connection: Connection, query: Any) -> list[Version]:
        found = []
        for row in connection.execute(query).all():
            of_version = select(t.parts).filter_by(project=row.project, version_id=row.version_id)
            stored = connection.execute(of_version.order_by(t.parts.c.position))
            found.append(_version(row, [StoredPart(one.digest, one.rows, one.bytes) for one in stored]))
        return found


def _next_number(connection: Connection, project: str, dataset: str) -> int:
    d = t.datasets.c
    query = update(t.datasets).where(d.project == project, d.name == dataset)
    number = connection.execute(query.values(last_number=d.last_number + 1).returning(d.last_number)).scalar()
    if number is None:
        connection.execute(insert(t.datasets).values(project=project, name=dataset, last_number=1))
        return 1
    return int(number)


def _upload(row: Row[Any]) -> Upload:
    values = {name: getattr(row, name) for name in Upload.__slots__}
    return Upload(**{**values, "created": datetime.fromisoformat(row.created)})


def _version(row: Row[Any], parts: Iterable[StoredPart]) -> Version:
    document = json.loads(row.document)
    return Version(
        version_id=row.version_id,
        project=row.project,
        dataset=row.dataset,
        number=row.number,
        rows=row.rows,
        dropped_rows=row.dropped_rows,
        schema=Schema.from_document(document["schema"]),
        parts=tuple(parts),
        upload_sha256=row.upload_sha256,
        options=ReadOptions.from_document(document["options"]),
        findings=tuple(Finding.from_document(one) for one in document["findings"]),
        created=datetime.fromisoformat(row.created),
        created_by=row.created_by,
    )


def _no_upload(upload_id: str) -> NotFoundError:
    message = f"there is no upload {upload_id!r}"
    return NotFoundError(message, code="upload.missing", hint="begin it again", params={"upload": upload_id})


def _no_version(version_id: str) -> NotFoundError:
    message = f"there is no data-set version {version_id!r}"
    return NotFoundError(message, code="version.missing", params={"version_id": version_id})


def _held(version_id: str, holders: Iterable[str]) -> PreconditionError:
    some = list(holders)
    shown = ", ".join(some[:_SHOWN_HOLDERS])
    message = f"data-set version {version_id[:19]}… is used by {shown}" + (
        f" and {len(some) - _SHOWN_HOLDERS} more" if len(some) > _SHOWN_HOLDERS else ""
    )
    hint = "delete what uses it first"
    return PreconditionError(message, code="version.held", hint=hint, params={"holders": shown, "count": len(some)})
