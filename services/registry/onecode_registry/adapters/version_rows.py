"""Keep model versions, their files and their aliases in tables."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from onecode_registry.adapters.tables import aliases, models, version_files, versions
from onecode_registry.domain.version import DELETED, READY, STORED, Alias, Version

_MANIFEST = "manifest.json"


class SqlVersions:
    """See :class:`onecode_registry.rows.VersionRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def by_request(self, project: str, request_id: str) -> Version | None:
        """Return what this request made."""
        return self._one(versions.c.project == project, versions.c.request_id == request_id)

    def by_digest(self, digest: str) -> Version | None:
        """Return the version in any state."""
        return self._one(versions.c.digest == digest)

    def by_release(self, project: str, model: str, release: int) -> Version | None:
        """Return the version in any state."""
        return self._one(versions.c.project == project, versions.c.model == model, versions.c.release == release)

    def ready(self, project: str, model: str = "") -> list[Version]:
        """Return what everybody sees, newest release first."""
        query = select(versions).where(versions.c.project == project, versions.c.state == READY)
        if model:
            query = query.where(versions.c.model == model)
        rows = self._connection.execute(query.order_by(versions.c.model, versions.c.release.desc()))
        return [_version(row) for row in rows]

    def unfinished(self) -> list[Version]:
        """Return registrations that have begun and are neither ready nor deleted."""
        rows = self._connection.execute(select(versions).where(versions.c.state == STORED).order_by(versions.c.created))
        return [_version(row) for row in rows]

    def next_release(self, project: str, model: str) -> int:
        """Return one more than any release the model ever had."""
        here = (models.c.project == project, models.c.name == model)
        last = self._connection.execute(select(models.c.last_release).where(*here).with_for_update()).scalar()
        if last is None:
            self._connection.execute(insert(models).values(project=project, name=model, last_release=1))
            return 1
        self._connection.execute(update(models).where(*here).values(last_release=last + 1))
        return int(last) + 1

    def add(self, version: Version) -> None:
        """Store a new version."""
        self._connection.execute(
            insert(versions).values(
                digest=version.digest,
                project=version.project,
                request_id=version.request_id,
                body=version.body,
                kind=version.kind,
                model=version.model,
                release=version.release,
                manifest=version.manifest,
                state=version.state,
                principal=version.principal,
                created=version.created.isoformat(),
                mlflow_version="",
                mirrored=False,
            )
        )
        files = [(file.name, file.hex_digest, file.length) for file in version.files()]
        files.append((_MANIFEST, version.digest.removeprefix("sha256:"), len(version.manifest.encode())))
        self._connection.execute(
            insert(version_files),
            [{"digest": version.digest, "name": name, "sha256": hex_, "length": size} for name, hex_, size in files],
        )

    def remove(self, digest: str) -> None:
        """Take out a registration that cannot be finished."""
        here = (versions.c.digest == digest, versions.c.state == STORED)
        if self._connection.execute(delete(versions).where(*here)).rowcount:
            self._connection.execute(delete(version_files).where(version_files.c.digest == digest))

    def set_state(self, digest: str, state: str) -> None:
        """Change the state; MLflow has to hear of it again."""
        here = versions.c.digest == digest
        self._connection.execute(update(versions).where(here).values(state=state, mirrored=False))
        if state == DELETED:
            self._connection.execute(delete(version_files).where(version_files.c.digest == digest))

    def referenced(self) -> set[str]:
        """Return the hex digests of all objects that a version needs."""
        return set(self._connection.execute(select(version_files.c.sha256).distinct()).scalars())

    def unmirrored(self, limit: int) -> list[Version]:
        """Return what MLflow has not heard of, oldest first."""
        query = select(versions).where(versions.c.mirrored.is_(False), versions.c.state.in_((READY, DELETED)))
        return [_version(row) for row in self._connection.execute(query.order_by(versions.c.created).limit(limit))]

    def set_mirrored(self, digest: str, mlflow_version: str) -> None:
        """Note that MLflow has it."""
        change = update(versions).where(versions.c.digest == digest)
        self._connection.execute(change.values(mirrored=True, mlflow_version=mlflow_version))

    def _one(self, *where: Any) -> Version | None:
        row = self._connection.execute(select(versions).where(*where)).first()
        return None if row is None else _version(row)


class SqlAliases:
    """See :class:`onecode_registry.rows.AliasRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def all(self, project: str, model: str = "") -> list[Alias]:
        """Return aliases that name something."""
        query = select(aliases).where(aliases.c.project == project, aliases.c.digest != "")
        if model:
            query = query.where(aliases.c.model == model)
        return [_alias(row) for row in self._connection.execute(query.order_by(aliases.c.model, aliases.c.alias))]

    def find(self, project: str, model: str, alias: str) -> Alias | None:
        """Return the alias, also if it names nothing now."""
        row = self._connection.execute(select(aliases).where(*_here(Alias(project, model, alias, "")))).first()
        return None if row is None else _alias(row)

    def put(self, alias: Alias) -> None:
        """Store what it names now; MLflow has to hear of it."""
        values = {"digest": alias.digest, "mirrored": False}
        if self._connection.execute(update(aliases).where(*_here(alias)).values(**values)).rowcount == 0:
            row = {"project": alias.project, "model": alias.model, "alias": alias.alias, **values}
            self._connection.execute(insert(aliases).values(**row))

    def unmirrored(self, limit: int) -> list[Alias]:
        """Return what MLflow has not heard of."""
        rows = self._connection.execute(select(aliases).where(aliases.c.mirrored.is_(False)).limit(limit))
        return [_alias(row) for row in rows]

    def set_mirrored(self, alias: Alias) -> None:
        """Note that MLflow has it, unless it has moved on since."""
        here = (*_here(alias), aliases.c.digest == alias.digest)
        self._connection.execute(update(aliases).where(*here).values(mirrored=True))


def _here(alias: Alias) -> tuple[Any, ...]:
    return (
        aliases.c.project == alias.project,
        aliases.c.model == alias.model,
        aliases.c.alias == alias.alias,
    )


def _version(row: Any) -> Version:
    return Version(
        project=row.project,
        request_id=row.request_id,
        body=row.body,
        kind=row.kind,
        model=row.model,
        release=row.release,
        digest=row.digest,
        manifest=row.manifest,
        state=row.state,
        principal=row.principal,
        created=datetime.fromisoformat(row.created),
        mlflow_version=row.mlflow_version,
    )


def _alias(row: Any) -> Alias:
    return Alias(row.project, row.model, row.alias, row.digest)
