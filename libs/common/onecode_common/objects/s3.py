"""Keep objects in any S3: a PUT is atomic there, so an object is whole or absent."""

import hashlib
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import urllib3
from minio import Minio
from minio.error import MinioException, S3Error

from onecode_common.errors import ExhaustedError, InvalidError, NotFoundError, UnavailableError
from onecode_common.files import whole_or_removed
from onecode_common.ids import hex_of
from onecode_common.objects.directory import PIECE

_ABSENT = ("NoSuchKey", "NoSuchObject", "NotFound")


def open_s3(endpoint: str, bucket: str, prefix: str, credentials: Path | None, *, tls: bool) -> "S3Objects":
    """Return the store in a bucket, which is made when it is missing.

    Raises:
        InvalidError: The credentials file is not two lines.
        UnavailableError: The server does not answer or refuses the credentials.
    """
    access = secret = None
    if credentials is not None:
        lines = credentials.read_text(encoding="utf-8").split()
        if len(lines) != 2:  # noqa: PLR2004 - access key, secret key
            message = f"{credentials} must hold two lines: access key, secret key"
            raise InvalidError(message, code="settings.credentials")
        access, secret = lines
    client = Minio(
        endpoint,
        access_key=access,
        secret_key=secret,
        secure=tls,
        region="us-east-1",
        http_client=urllib3.PoolManager(timeout=urllib3.Timeout(connect=3, read=30), retries=urllib3.Retry(2)),
    )
    try:
        if not client.bucket_exists(bucket):
            client.make_bucket(bucket)
    except (MinioException, urllib3.exceptions.HTTPError) as error:
        raise _unavailable(error) from error
    return S3Objects(client, bucket, prefix)


class S3Objects:
    """The object store port, on S3; see :class:`onecode_common.objects.port.Objects`."""

    def __init__(self, client: Minio, bucket: str, prefix: str) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""

    def put(self, content: bytes) -> str:
        """Store the bytes and return their hex digest."""
        hex_digest = hashlib.sha256(content).hexdigest()
        self._upload(hex_digest, io.BytesIO(content), len(content))
        return hex_digest

    def put_file(self, path: Path) -> str:
        """Store the bytes of a file and return their hex digest."""
        with path.open("rb") as file:
            hex_digest = hashlib.file_digest(file, "sha256").hexdigest()
            length = file.tell()
            file.seek(0)
            self._upload(hex_digest, file, length)
        return hex_digest

    def get(self, hex_digest: str) -> bytes:
        """Return the bytes, checked against their name."""
        content = b"".join(self.read(hex_digest))
        if hashlib.sha256(content).hexdigest() != hex_digest:
            raise _damaged(hex_digest)
        return content

    def read(self, hex_digest: str, offset: int = 0, length: int | None = None) -> Iterator[bytes]:
        """Yield a range of the bytes in pieces, not checked."""
        if length == 0:
            return iter(())
        try:
            answer = self._client.get_object(self._bucket, self._key(hex_digest), offset=offset, length=length or 0)
        except S3Error as error:
            if error.code == "InvalidRange":
                return iter(())
            raise _translated(error, hex_digest) from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise _unavailable(error) from error
        return _stream(answer)

    def fetch(self, hex_digest: str, path: Path) -> None:
        """Write the object to a new file, checked against its name."""
        digest = hashlib.sha256()
        with path.open("xb") as target, whole_or_removed(path):
            for piece in self.read(hex_digest):
                digest.update(piece)
                target.write(piece)
        if digest.hexdigest() != hex_digest:
            path.unlink()
            raise _damaged(hex_digest)

    def size(self, hex_digest: str) -> int:
        """Return the number of bytes."""
        try:
            return self._client.stat_object(self._bucket, self._key(hex_digest)).size or 0
        except S3Error as error:
            raise _translated(error, hex_digest) from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise _unavailable(error) from error

    def delete(self, hex_digest: str) -> None:
        """Remove the object."""
        try:
            self._client.remove_object(self._bucket, self._key(hex_digest))
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise _unavailable(error) from error

    def list(self) -> Iterator[tuple[str, datetime]]:
        """Yield (hex digest, time of storing) of every object."""
        try:
            for item in self._client.list_objects(self._bucket, prefix=self._prefix, recursive=True):
                name = str(item.object_name).removeprefix(self._prefix).replace("/", "")
                # A store that does not say when: as if it were new, so that no sweep takes it.
                yield name, item.last_modified or datetime.max.replace(tzinfo=UTC)
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise _unavailable(error) from error

    def _key(self, hex_digest: str) -> str:
        digits = hex_of(hex_digest)
        return f"{self._prefix}{digits[:2]}/{digits[2:]}"

    def _upload(self, hex_digest: str, stream: BinaryIO, length: int) -> None:
        try:
            self._client.put_object(self._bucket, self._key(hex_digest), stream, length)
        except S3Error as error:
            raise _translated(error, hex_digest) from error
        except (MinioException, urllib3.exceptions.HTTPError) as error:
            raise _unavailable(error) from error


def _stream(answer: urllib3.BaseHTTPResponse) -> Iterator[bytes]:
    try:
        yield from answer.stream(PIECE)
    except urllib3.exceptions.HTTPError as error:
        raise _unavailable(error) from error
    finally:
        answer.close()
        answer.release_conn()


def _translated(error: S3Error, hex_digest: str) -> NotFoundError | ExhaustedError | UnavailableError:
    if error.code in _ABSENT:
        message = f"there is no object {hex_digest}"
        return NotFoundError(message, code="object.missing", params={"digest": hex_digest})
    if error.code in ("XMinioStorageFull", "QuotaExceeded", "EntityTooLarge"):
        return ExhaustedError(f"the object store has no space: {error.code}", code="disk.full")
    return _unavailable(error)


def _unavailable(error: Exception) -> UnavailableError:
    return UnavailableError(f"the object store does not answer: {error!r}"[:300], code="objects.unavailable")


def _damaged(hex_digest: str) -> NotFoundError:
    message = f"object {hex_digest} is damaged in the store: store it again"
    return NotFoundError(message, code="object.damaged", params={"digest": hex_digest})
