"""Say what a caller may do with uploads and data sets. Every method may be repeated after a crash at any point."""

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from onecode_common.canonical import digest_of
from onecode_common.errors import InvalidError
from onecode_common.ids import check_name, digest
from onecode_ingestion.domain.findings import refuse_errors
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.domain.project import own_project
from onecode_ingestion.domain.version import StoredPart, Version, elsewhere, version_id
from onecode_ingestion.ports import Cells, Commit, Ports, Reading
from onecode_ingestion.retrying import retried
from onecode_ingestion.uploads import Uploads

_MOST_LISTED = 200
_LISTED = 50
_MOST_ROWS = 500
_ROWS = 50
_HOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/-]{0,199}")
_MOST_OFFSET = 1 << 40


class Page(NamedTuple):
    """Some rows of a version: names of columns, cells as text, number of rows of the version."""

    columns: list[str]
    rows: Cells
    total: int


class Datasets:
    """Data sets and their immutable versions.

    Args:
        ports: Everything outside.
        uploads: Where complete uploads are found.
        project: The one that is kept here.
    """

    def __init__(self, ports: Ports, uploads: Uploads, project: str) -> None:
        self._ports = ports
        self._uploads = uploads
        self._project = project

    def preview(self, project: str, upload_id: str, options: ReadOptions) -> Reading:
        """Return what a commit would make of an upload; of a large file, its beginning.

        Raises:
            PreconditionError: The upload is not complete.
            InvalidError: It cannot be read at all; what a commit merely refuses is a finding.
        """
        upload = self._uploads.complete(self._own(project), upload_id)
        path = self._uploads.path(upload)
        with self._ports.reader.reading(path, upload.file_name, options.checked(), preview=True) as reading:
            return reading

    def commit(self, project: str, upload_id: str, dataset: str, options: ReadOptions, principal: str) -> Version:
        """Make an immutable version of an upload, or return the one that the same bytes and options made.

        Objects are stored first and the record last, so that a kill in between leaves objects that nobody names:
        the repeated commit stores the same ones again, a sweep removes them otherwise.

        Raises:
            InvalidError: The file cannot be read, or a finding must be settled by an option first.
            PreconditionError: The upload is not complete.
            ConflictError: These bytes and options are a version of another data set.
        """
        name = check_name(dataset, "data set")
        upload = self._uploads.complete(self._own(project), upload_id)
        requested = digest_of(options.checked().to_document())
        known = self._ports.records.committed(self._project, upload.sha256, requested)
        if known is not None:
            return _of_dataset(known, name)
        path = self._uploads.path(upload)
        with self._ports.reader.reading(path, upload.file_name, options, preview=False) as reading:
            refuse_errors(reading.findings)
            if not reading.rows:
                raise InvalidError("no good row is left", code="data.empty", hint="choose a file with rows")
            parts = self._store(reading)
            commit = Commit(
                version_id=version_id(upload.sha256, reading.options, reading.schema),
                project=self._project,
                dataset=name,
                requested=requested,
                upload_sha256=upload.sha256,
                options=reading.options,
                schema=reading.schema,
                findings=reading.findings,
                rows=reading.rows,
                dropped_rows=reading.dropped,
                parts=parts,
                profile=reading.profile,
                principal=principal,
            )
        return retried(lambda: self._ports.records.commit(commit))

    def datasets(self, project: str, page_size: int, page_token: str) -> tuple[list[tuple[str, int, Version]], str]:
        """Return data sets by name with the number of their versions and the newest, and the next page's token."""
        self._own(project)
        limit = min(page_size, _MOST_LISTED) if page_size > 0 else _LISTED
        after = check_name(page_token, "page token") if page_token else ""
        found = self._ports.records.datasets(self._project, after, limit + 1)
        return found[:limit], found[limit - 1][0] if len(found) > limit else ""

    def versions(self, project: str, dataset: str) -> list[Version]:
        """Return all versions of a data set, newest first. Raises NotFoundError."""
        return self._ports.records.versions(self._own(project), check_name(dataset, "data set"))

    def version(self, project: str, id_: str, dataset: str) -> Version:
        """Return a version by its id, or the newest of a data set. Raises NotFoundError."""
        self._own(project)
        if id_:
            return self._ports.records.version(self._project, digest(id_))
        return self._ports.records.newest(self._project, check_name(dataset, "data set"))

    def profile(self, project: str, id_: str) -> Mapping[str, Any]:
        """Return the profile document of a version. Raises NotFoundError."""
        return self._ports.records.profile(self._own(project), digest(id_))

    def rows(self, project: str, id_: str, offset: int, limit: int) -> Page:
        """Return some rows of a version as text, at most 500.

        Raises:
            InvalidError: A negative offset or limit.
            NotFoundError: No such version.
        """
        version = self.version(project, digest(id_), "")
        if not 0 <= offset <= _MOST_OFFSET or limit < 0:
            message = f"offset {offset} and limit {limit} must not be negative"
            raise InvalidError(message, code="page.invalid", params={"offset": offset, "limit": limit})
        most = min(limit, _MOST_ROWS) if limit else _ROWS
        names = [column.name for column in version.schema.columns]
        return Page(names, self._ports.pages.page(version.parts, offset, most), version.rows)

    def hold(self, project: str, id_: str, holder: str) -> None:
        """Keep a version from being deleted while ``holder`` needs it; again is nothing new. Raises NotFoundError."""
        retried(lambda: self._ports.records.hold(self._own(project), digest(id_), _checked_holder(holder)))

    def release(self, project: str, id_: str, holder: str) -> None:
        """Take a hold back; nothing happens where there is none."""
        self._ports.records.release(self._own(project), digest(id_), _checked_holder(holder))

    def delete(self, project: str, id_: str, principal: str) -> None:
        """Delete a version; its objects are swept later.

        Raises:
            NotFoundError: No such version.
            PreconditionError: Somebody holds it.
        """
        retried(lambda: self._ports.records.delete(self._own(project), digest(id_), principal))

    def _store(self, reading: Reading) -> tuple[StoredPart, ...]:
        put = self._ports.objects.put_file
        return tuple(StoredPart(put(part.path), part.rows, part.bytes) for part in reading.parts)

    def _own(self, project: str) -> str:
        return own_project(self._project, project)


def _of_dataset(version: Version, dataset: str) -> Version:
    if version.dataset != dataset:
        raise elsewhere(version.version_id, version.dataset)
    return version


def _checked_holder(holder: str) -> str:
    if not _HOLDER.fullmatch(holder):
        message = f"holder {holder[:80]!r} is not like run/r_1: use 1-200 letters, digits or . _ : / -"
        raise InvalidError(message, code="holder.invalid", params={"value": holder[:80]})
    return holder
