"""Keep signed metadata and policies in tables, so that a change and its signatures are one transaction."""

from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import Connection, and_, delete, func, insert, or_, select, update

from onecode_common.restored import take_restored
from onecode_registry.adapters.tables import named, policies, signed, version_files

_ROOT = "root"


class SqlTrust:
    """See :class:`onecode_registry.rows.TrustRows`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take_restored(self) -> bool:
        """Return whether these records come from a backup and nobody has acted on it yet."""
        return take_restored(self._connection)

    def current(self, role: str) -> bytes | None:
        """Return the newest metadata of a role."""
        query = select(signed.c.content).where(signed.c.role == role).order_by(signed.c.version.desc()).limit(1)
        return self._connection.execute(query).scalar()

    def version(self, role: str, version: int) -> bytes | None:
        """Return one version of it."""
        query = select(signed.c.content).where(signed.c.role == role, signed.c.version == version)
        return self._connection.execute(query).scalar()

    def put(self, role: str, version: int, content: bytes, now: datetime) -> None:
        """Store a new version."""
        row = {"role": role, "version": version, "content": content, "stored": now.isoformat()}
        self._connection.execute(insert(signed).values(**row))

    def prune(self, before: datetime) -> None:
        """Forget what was replaced and stored before a time, but never a root."""
        newest = select(signed.c.role, func.max(signed.c.version)).group_by(signed.c.role)
        keep = or_(signed.c.role == _ROOT, signed.c.stored >= before.isoformat())
        for role, version in self._connection.execute(newest).all():
            self._connection.execute(delete(signed).where(signed.c.role == role, signed.c.version < version, ~keep))
        old = and_(policies.c.published.is_(False), policies.c.stored < before.isoformat())
        self._connection.execute(delete(policies).where(old))

    def put_policy(self, path: str, hex_digest: str, content: bytes, now: datetime) -> None:
        """Store a policy's bytes."""
        self._connection.execute(delete(policies).where(policies.c.path == path, policies.c.sha256 == hex_digest))
        self._connection.execute(
            insert(policies).values(
                path=path, sha256=hex_digest, content=content, stored=now.isoformat(), published=False
            )
        )

    def policy(self, path: str, hex_digest: str) -> bytes | None:
        """Return a policy's bytes."""
        query = select(policies.c.content).where(policies.c.path == path, policies.c.sha256 == hex_digest)
        return self._connection.execute(query).scalar()

    def serve(self, published: Mapping[str, str], named_by_segment: Mapping[str, frozenset[str]]) -> None:
        """Set the published policies and the versions that changed segments name."""
        self._connection.execute(update(policies).values(published=False))
        for path, hex_digest in published.items():
            here = (policies.c.path == path, policies.c.sha256 == hex_digest)
            self._connection.execute(update(policies).where(*here).values(published=True))
        for segment, digests in named_by_segment.items():
            self._connection.execute(delete(named).where(named.c.segment == segment))
            if digests:
                rows = [{"segment": segment, "digest": digest} for digest in sorted(digests)]
                self._connection.execute(insert(named), rows)

    def named_by(self, digest: str) -> list[str]:
        """Return the segments whose published policy names a version."""
        query = select(named.c.segment).where(named.c.digest == digest).order_by(named.c.segment)
        return list(self._connection.execute(query).scalars())

    def may_fetch(self, segment: str, hex_digest: str) -> bool:
        """Return whether a version that the segment's policy names needs this object (or is it)."""
        query = (
            select(named.c.digest)
            .join(version_files, version_files.c.digest == named.c.digest)
            .where(named.c.segment == segment, version_files.c.sha256 == hex_digest)
            .limit(1)
        )
        return self._connection.execute(query).first() is not None
