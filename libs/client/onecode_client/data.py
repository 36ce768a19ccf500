"""Data sets: upload files in parts that survive a cut, look, correct, commit, read."""

import hashlib
import time
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onecode_client.nouns import Noun, part
from onecode_client.results import DatasetVersion, Upload
from onecode_common.errors import ConflictError, OnecodeError, UnavailableError

PART_BYTES = 4 << 20
"""Bytes sent at once: a cut costs at most these."""

_CUTS_IN_A_ROW = 8
_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 8.0
_TUS = {"Tus-Resumable": "1.0.0"}

OnProgress = Callable[[int, int], None]
"""Told of durable bytes and of all bytes."""


class Data(Noun):
    """Data sets and their immutable versions."""

    def upload(
        self,
        path: Path | str,
        name: str,
        *,
        options: Mapping[str, Any] | None = None,
        on_progress: OnProgress | None = None,
    ) -> DatasetVersion:
        """Upload a file and commit it as a version of a data set.

        Args:
            path: CSV, gzip CSV or Parquet.
            name: Of the data set.
            options: How to read it (``ReadOptions`` of the contract); what is left out is inferred.
            on_progress: Told of durable bytes.

        Raises:
            InvalidError: The file cannot be read so.
        """
        sent = self.send(path, on_progress=on_progress)
        return self.commit(sent.upload_id, name, options=options)

    def send(
        self,
        path: Path | str,
        *,
        upload_id: str = "",
        on_progress: OnProgress | None = None,
        part_bytes: int = PART_BYTES,
    ) -> Upload:
        """Send a file's bytes; after a cut it goes on at the offset that the server names.

        Args:
            path: The file.
            upload_id: An upload that was begun before and broke off; empty begins a new one.
            on_progress: Told of durable bytes.
            part_bytes: How much to send at once.

        Raises:
            ConflictError: ``upload_id`` is of a file of another length.
            UnavailableError: The server stayed away; the error's ``upload_id`` parameter lets one go on.
        """
        file = Path(path)
        length = file.stat().st_size
        if not upload_id:
            upload_id = self._begin(file, length)
        try:
            self._send_parts(file, length, upload_id, on_progress or (lambda _done, _all: None), part_bytes)
        except UnavailableError as error:
            hint = f"go on with: onecode data upload {file} --resume {upload_id}"
            raise UnavailableError(
                error.message, code=error.code, hint=hint, params={**error.params, "upload_id": upload_id}
            ) from error
        return self.upload_state(upload_id)

    def upload_state(self, upload_id: str) -> Upload:
        """Return what the server has of an upload."""
        return Upload.read(self._rest.get(f"/uploads/{part(upload_id)}")["upload"])

    def preview(self, upload_id: str, *, options: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """Return what would be committed: options chosen, schema, first rows, findings."""
        answer: dict[str, Any] = self._rest.post(
            f"/uploads/{part(upload_id)}/preview", {"options": dict(options or {})}
        )
        return answer

    def commit(self, upload_id: str, name: str, *, options: Mapping[str, Any] | None = None) -> DatasetVersion:
        """Make an immutable version; the same bytes and options give the same version."""
        body = {"dataset": name, "options": dict(options or {})}
        return DatasetVersion.read(self._rest.post(f"/uploads/{part(upload_id)}/commit", body)["version"])

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return all data sets with their newest version."""
        return [*self._pages("/datasets", "datasets")]

    def show(self, name: str) -> DatasetVersion:
        """Return the newest version of a data set, or the version with this id (``sha256:...``)."""
        if name.startswith("sha256:"):
            return DatasetVersion.read(self._rest.get(f"/dataset-versions/{part(name)}")["version"])
        return DatasetVersion.read(self._rest.get(f"/datasets/{part(name)}")["version"])

    def versions(self, name: str) -> Sequence[DatasetVersion]:
        """Return all versions of a data set."""
        return [DatasetVersion.read(one) for one in self._rest.get(f"/datasets/{part(name)}")["versions"]]

    def profile(self, name: str) -> Mapping[str, Any]:
        """Return the profile of a version: balance, duplicates, and a description of each column."""
        version_id = self.show(name).version_id
        profile: dict[str, Any] = self._rest.get(f"/dataset-versions/{part(version_id)}/profile")["profile"]
        return profile

    def rows(self, name: str, *, offset: int = 0, limit: int = 50) -> Mapping[str, Any]:
        """Return some rows of a version as text: ``columns``, ``rows``, ``total``."""
        version_id = self.show(name).version_id
        path = f"/dataset-versions/{part(version_id)}/rows"
        answer: dict[str, Any] = self._rest.get(path, offset=offset, limit=limit)
        return answer

    def delete(self, version_id: str) -> None:
        """Delete a version.

        Raises:
            ConflictError: Something still uses it.
        """
        self._rest.delete(f"/dataset-versions/{part(version_id)}")

    def _begin(self, file: Path, length: int) -> str:
        with file.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
        metadata = f"filename {_base64(file.name)},sha256 {_base64(sha256)}"
        headers = {**_TUS, "Upload-Length": str(length), "Upload-Metadata": metadata}
        answer = self._rest.send("POST", "/uploads", headers=headers)
        return str(answer.headers["location"]).rstrip("/").rsplit("/", 1)[-1]

    def _send_parts(self, file: Path, length: int, upload_id: str, on_progress: OnProgress, part_bytes: int) -> None:
        offset, cuts = self._offset(upload_id, length), 0
        on_progress(offset, length)
        with file.open("rb") as content:
            while offset < length:
                content.seek(offset)
                error = self._send_part(upload_id, content.read(part_bytes), offset)
                if error is not None:
                    cuts += 1
                    if cuts > _CUTS_IN_A_ROW:
                        raise error
                    time.sleep(min(_LONGEST_PAUSE_S, _PAUSE_S * 2 ** (cuts - 1)))
                durable = self._offset(upload_id, length) if error is not None else min(length, offset + part_bytes)
                cuts = 0 if durable > offset else cuts
                offset = durable
                on_progress(offset, length)

    def _send_part(self, upload_id: str, content: bytes, offset: int) -> OnecodeError | None:
        """Send one part; return why it must be sent again, or None."""
        headers = {**_TUS, "Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        try:
            self._rest.send("PATCH", f"/uploads/{part(upload_id)}", headers=headers, content=content, again=False)
        except (UnavailableError, ConflictError) as error:
            return error
        return None

    def _offset(self, upload_id: str, length: int) -> int:
        answer = self._rest.send("HEAD", f"/uploads/{part(upload_id)}", headers=_TUS)
        announced = int(answer.headers.get("upload-length", length))
        if announced != length:
            message = f"upload {upload_id} is of a file of {announced} bytes, this one has {length}"
            raise ConflictError(message, code="client.other_file", params={"upload_id": upload_id})
        return int(answer.headers["upload-offset"])


def _base64(text: str) -> str:
    return b64encode(text.encode()).decode()
