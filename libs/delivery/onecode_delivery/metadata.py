"""Follow the chain of signatures from the root that was shipped to the document that is wanted.

The TUF client does the verifying; this module gives each of its refusals a name, closes what it leaves to its caller
(a clock that cannot be trusted, limits on what a signed length may be), and makes what it wrote survive a power cut.
"""

import os
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import ParamSpec, TypeVar

from tuf.api import exceptions as tuf_errors
from tuf.api._payload import TargetFile
from tuf.api.metadata import Metadata
from tuf.ngclient.updater import Updater

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError
from onecode_common.files import storage_error
from onecode_delivery.transport import Http, MetadataFetcher, status_error, unavailable

_MISSING = 404
_P = ParamSpec("_P")
_R = TypeVar("_R")

REASONS: Mapping[type[Exception], str] = {
    tuf_errors.UnsignedMetadataError: "sync.unsigned",
    tuf_errors.ExpiredMetadataError: "sync.expired",
    tuf_errors.BadVersionNumberError: "sync.rollback",
    tuf_errors.LengthOrHashMismatchError: "sync.digest_mismatch",
    tuf_errors.RepositoryError: "sync.metadata",
    tuf_errors.DownloadLengthMismatchError: "sync.too_large",
}
"""Why metadata was refused, by the TUF client's error; the first that fits."""


class TrustedMetadata:
    """One consistent state of a repository, verified.

    Args:
        directory: Where trusted metadata is kept; its ``metadata`` folder.
        url: Of the distribution.
        root: The root metadata that was shipped or pinned.
    """

    def __init__(self, directory: Path, url: str, http: Http, root: bytes) -> None:
        self._directory = directory / "metadata"
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._url = url.rstrip("/")
        self._fetcher = MetadataFetcher(http)
        try:
            self._updater = Updater(
                str(self._directory), f"{self._url}/metadata/", fetcher=self._fetcher, bootstrap=root
            )
        except tuf_errors.RepositoryError as error:
            raise _refused(error) from error
        except OSError as error:
            raise storage_error(error, self._directory) from error

    def refresh(self, now: datetime) -> None:
        """Bring root, timestamp, snapshot and targets up to date.

        Raises:
            InvalidError: ``sync.<reason>``; what was trusted before stays.
            UnavailableError: The distribution does not answer.
        """
        self._call(self._updater.refresh)
        self.check_expiry(("timestamp", "snapshot", "targets"), now)

    def check_expiry(self, roles: tuple[str, ...], now: datetime) -> None:
        """Refuse metadata that is over by the given time.

        The TUF client looks at the machine's clock, which on a gateway may stand in 1970; ``now`` never lies before
        the newest signed time that was seen.
        """
        for role in roles:
            metadata = Metadata.from_bytes((self._directory / f"{role}.json").read_bytes())
            if metadata.signed.is_expired(now):
                message = f"the {role} metadata expired at {metadata.signed.expires.isoformat()}"
                raise InvalidError(message, code="sync.expired", hint="the last good policy stays in force")

    def target(self, path: str, limit: int) -> tuple[bytes, TargetFile]:
        """Return a signed document and what is signed about it.

        Raises:
            NotFoundError: ``sync.no_target``: nobody who may has signed such a path.
            InvalidError: ``sync.<reason>``.
            UnavailableError: The distribution does not answer.
        """
        info = self._call(self._updater.get_targetinfo, path)
        if info is None:
            message = f"no signed {path}"
            raise NotFoundError(message, code="sync.no_target", params={"path": path})
        if info.length > limit:
            message = f"{path} has {info.length} bytes, at most {limit} are allowed"
            raise InvalidError(message, code="sync.too_large", params={"path": path})
        if set(info.hashes) != {"sha256"}:
            message = f"{path} is not signed by its SHA-256 alone"
            raise InvalidError(message, code="sync.metadata", params={"path": path})
        folder, _, name = path.rpartition("/")
        url = f"{self._url}/targets/{folder}/{info.hashes['sha256']}.{name}"
        content = self._call(self._fetcher.download_bytes, url, info.length)
        self._call(info.verify_length_and_hashes, content)
        return content, info

    def flush(self) -> None:
        """Make what the TUF client wrote survive a power cut; it renames without flushing."""
        for folder in (self._directory / "root_history", self._directory):
            for path in [*folder.iterdir(), folder]:
                if path.is_symlink():
                    continue
                handle = os.open(path, os.O_RDONLY)
                try:
                    os.fsync(handle)
                finally:
                    os.close(handle)

    def _call(self, function: Callable[_P, _R], *arguments: _P.args, **named: _P.kwargs) -> _R:
        try:
            return function(*arguments, **named)
        except (tuf_errors.RepositoryError, tuf_errors.DownloadError) as error:
            raise self._translate(error) from error
        except OSError as error:
            raise storage_error(error, self._directory) from error

    def _translate(self, error: Exception) -> OnecodeError:
        if isinstance(error, tuf_errors.DownloadHTTPError):
            if error.status_code == _MISSING:
                return unavailable(self._url, error)
            return status_error(self._url, error.status_code)
        if isinstance(error, tuf_errors.DownloadError) and type(error) not in REASONS:
            cause = error.__cause__
            return cause if isinstance(cause, OnecodeError) else unavailable(self._url, error)
        return _refused(error)


def _refused(error: Exception) -> InvalidError:
    code = next(code for kind, code in REASONS.items() if isinstance(error, kind))
    message = f"signed metadata is refused: {str(error)[:200]}"
    return InvalidError(message, code=code, hint="the last good policy stays in force")
