"""Say what a caller may do with the bytes of an upload: begin, append, ask, give up."""

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path

from onecode_common.errors import ExhaustedError, InvalidError, PreconditionError
from onecode_common.ids import check_id, new_id
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.upload import (
    Upload,
    check_end,
    check_expected,
    check_file_name,
    check_offset,
    parse_metadata,
)
from onecode_ingestion.ports import Appending, Ports
from onecode_ingestion.retrying import retried

_SPARE_BYTES = 64 << 20
"""Kept free beside what an upload announces, for the records and for what it becomes."""


class Uploads:
    """Uploads in progress and complete ones that may still be committed.

    Args:
        ports: Everything outside.
        limits: On one upload.
        most: Uploads under way at the same time.
        keep: How long an upload is kept.
    """

    def __init__(self, ports: Ports, limits: Limits, most: int, keep: timedelta) -> None:
        self._ports = ports
        self._limits = limits
        self._most = most
        self._keep = keep

    @property
    def most_bytes(self) -> int:
        """The largest upload that is taken."""
        return self._limits.upload_bytes

    def begin(self, project: str, length: int, metadata: str, principal: str) -> Upload:
        """Return a new upload of ``length`` bytes.

        Raises:
            InvalidError: The metadata cannot be meant.
            ExhaustedError: It is too large, the disk is too full, or there are too many uploads.
        """
        if length > self._limits.upload_bytes:
            message = f"an upload of {length} bytes is more than the {self._limits.upload_bytes} that are taken"
            params = {"value": length, "limit": self._limits.upload_bytes}
            raise ExhaustedError(message, code="upload.too_large", params=params)
        pairs = parse_metadata(metadata)
        free = self._ports.files.free_bytes()
        if length + _SPARE_BYTES > free:
            message = f"the disk has {free} bytes free, too few for an upload of {length}"
            raise ExhaustedError(message, code="disk.full", hint="free some space", params={"free": free})
        upload = Upload(
            upload_id=new_id("u"),
            project=project,
            file_name=check_file_name(pairs.get("filename", "") or "upload"),
            length=length,
            expected=check_expected(pairs.get("sha256", "")),
            sha256="",
            created=self._ports.clock.now(),
            created_by=principal,
        )
        retried(lambda: self._ports.records.add_upload(upload, self._most))
        return upload

    def find(self, project: str, upload_id: str) -> tuple[Upload, int]:
        """Return an upload and how many of its bytes are durable. Raises NotFoundError."""
        upload = self._ports.records.upload(project, check_id(upload_id, "upload"))
        return upload, self._ports.files.durable(upload_id)

    def expires(self, upload: Upload) -> datetime:
        """Return when the upload is forgotten."""
        return upload.created + self._keep

    def open(self, project: str, upload_id: str, offset: int, count: int | None) -> "Append":
        """Open an upload for bytes at an offset; ``count`` is how many are announced.

        Raises:
            ConflictError: The upload is at another offset, or somebody else appends.
            ExhaustedError: There would be more bytes than announced.
        """
        upload = self._ports.records.upload(project, check_id(upload_id, "upload"))
        target = self._ports.files.open(upload_id)
        with ExitStack() as closing:
            closing.callback(target.close)
            check_offset(upload_id, offset, self._ports.files.durable(upload_id))
            check_end(offset + (count or 0), upload.length)
            closing.pop_all()
        return Append(upload, target, offset, self._finished)

    def remove(self, project: str, upload_id: str, principal: str) -> None:
        """Give up an upload. Raises NotFoundError."""
        known = check_id(upload_id, "upload")
        retried(lambda: self._ports.records.remove_upload(project, known, principal))
        self._ports.files.clear(known)

    def complete(self, project: str, upload_id: str) -> Upload:
        """Return an upload that has all its bytes, with their digest.

        Raises:
            NotFoundError: No such upload.
            PreconditionError: Bytes are missing.
            InvalidError: The bytes are not those that were announced.
        """
        upload, durable = self.find(project, upload_id)
        if upload.sha256:
            return upload
        if durable < upload.length:
            message = f"upload {upload_id} has {durable} of {upload.length} bytes"
            hint = "send the missing bytes first"
            raise PreconditionError(message, code="upload.incomplete", hint=hint, params={"offset": durable})
        return self._finished(upload)

    def path(self, upload: Upload) -> Path:
        """Return where the bytes of an upload lie."""
        return self._ports.files.path(upload.upload_id)

    def _finished(self, upload: Upload) -> Upload:
        sha256 = self._ports.files.digest(upload.upload_id)
        if upload.expected and sha256 != upload.expected:
            self._ports.files.clear(upload.upload_id)
            message = f"the bytes have SHA-256 {sha256}, announced was {upload.expected}: the upload begins again at 0"
            hint = "send the file again from its beginning"
            params = {"expected": upload.expected, "value": sha256}
            raise InvalidError(message, code="upload.digest_mismatch", hint=hint, params=params)
        self._ports.records.complete_upload(upload.upload_id, sha256)
        return self._ports.records.upload(upload.project, upload.upload_id)


class Append:
    """Bytes on their way into an upload; :meth:`end` or :meth:`undo` must follow."""

    def __init__(self, upload: Upload, target: Appending, offset: int, finished: Callable[[Upload], Upload]) -> None:
        self._upload = upload
        self._target = target
        self._offset = offset
        self._finished = finished

    def write(self, piece: bytes) -> None:
        """Append a piece.

        Raises:
            ExhaustedError: More than was announced, or the disk is full.
        """
        check_end(self._offset + len(piece), self._upload.length)
        self._target.write(piece)
        self._offset += len(piece)

    def end(self) -> int:
        """Make the bytes durable and return the new offset; the last byte completes the upload.

        Raises:
            InvalidError: All bytes are there, and they are not those that were announced.
        """
        offset = self._target.close()
        if offset == self._upload.length:
            self._finished(self._upload)
        return offset

    def undo(self) -> None:
        """Take the bytes back."""
        self._target.undo()
