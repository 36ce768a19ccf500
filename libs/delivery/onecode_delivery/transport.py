"""Fetch bytes over HTTP with a credential, a limit and a resume; trust nothing that arrives.

Whoever calls decides by signature or digest whether the bytes are right; here it is only decided whether the other side
answers, how much it may send, and how slowly.
"""

import hashlib
import os
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import urllib3
from tuf.api.exceptions import DownloadError, DownloadHTTPError, DownloadLengthMismatchError, SlowRetrievalError
from tuf.ngclient.fetcher import FetcherInterface
from urllib3.exceptions import HTTPError

from onecode_common.errors import (
    InvalidError,
    NotFoundError,
    OnecodeError,
    UnauthenticatedError,
    UnavailableError,
)
from onecode_common.files import storage_error

_PIECE = 64 << 10
_OK, _PARTIAL = 200, 206
_UNAUTHENTICATED, _DENIED, _MISSING, _RANGE = 401, 403, 404, 416
_LEAST_RATE = 1024
_PATIENCE_S = 30.0
_ATTEMPTS_WITHOUT_PROGRESS = 3


class Http:
    """Authenticated requests to one distribution server.

    Args:
        token: Returns the present access token; asked before each request.
    """

    def __init__(self, token: Callable[[], str]) -> None:
        self._token = token
        self._pool = urllib3.PoolManager(
            retries=False, timeout=urllib3.Timeout(connect=5.0, read=10.0), maxsize=2, headers={}
        )

    def get(self, url: str, first: int = 0) -> urllib3.BaseHTTPResponse:
        """Return an answer whose body is still to be read, from byte ``first`` on.

        Raises:
            UnavailableError: Nobody answers.
        """
        headers = {"Accept-Encoding": "identity", "Authorization": f"Bearer {self._token()}"}
        if first:
            headers["Range"] = f"bytes={first}-"
        try:
            return self._pool.request("GET", url, headers=headers, preload_content=False, redirect=False)
        except (HTTPError, OSError) as error:
            raise unavailable(url, error) from error

    def close(self) -> None:
        """Close idle connections."""
        self._pool.clear()


class MetadataFetcher(FetcherInterface):
    """What the TUF client downloads through."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def download_bytes(self, url: str, max_length: int) -> bytes:
        """Return the whole answer, in memory, and let go of the connection whatever happens.

        Raises:
            DownloadLengthMismatchError: There is more than ``max_length``.
            DownloadError: As :meth:`fetch`.
        """
        content = bytearray()
        with closing(self._open(url)) as body:
            for piece in body:
                content += piece
                if len(content) > max_length:
                    message = f"{url} has more than {max_length} bytes"
                    raise DownloadLengthMismatchError(message)
        return bytes(content)

    def _fetch(self, url: str) -> Iterator[bytes]:
        return self._open(url)

    def _open(self, url: str) -> Generator[bytes, None, None]:
        response = self._http.get(url)
        if response.status != _OK:
            status = response.status
            response.close()
            message = f"{url} answers {status}"
            raise DownloadHTTPError(message, status)
        return pieces(response)


def pieces(response: urllib3.BaseHTTPResponse) -> Generator[bytes, None, None]:
    """Yield the body as it comes.

    Raises:
        SlowRetrievalError: After half a minute less than 1 kB/s came.
        DownloadError: The connection was cut.
    """
    began, received = time.monotonic(), 0
    try:
        for piece in response.stream(_PIECE, decode_content=False):
            received += len(piece)
            elapsed = time.monotonic() - began
            if elapsed > _PATIENCE_S and received < _LEAST_RATE * elapsed:
                message = f"{received} bytes in {elapsed:.0f} s are too slow"
                raise SlowRetrievalError(message)
            yield piece
    except (HTTPError, OSError) as error:
        message = f"the connection was cut after {received} bytes"
        raise DownloadError(message) from error
    finally:
        # Not given back: what is left of a body that was not read to its end would be the next answer.
        response.close()


def download(http: Http, url: str, part: Path, hex_digits: str, length: int) -> None:
    """Bring exactly these bytes into the file ``part``, beginning with what it holds already, and flush it.

    Raises:
        InvalidError: ``sync.digest_mismatch``, ``sync.length_mismatch``: the server has other bytes.
        NotFoundError: ``sync.missing_object``.
        UnauthenticatedError: ``sync.unauthenticated``.
        UnavailableError: Cut or unreachable; what came is kept for the next call.
        ExhaustedError: The disk is full.
    """
    fruitless = 0
    while True:
        resumed = _size(part) > 0
        before = _size(part)
        try:
            complete = _append(http, url, part, length)
        except DownloadError as error:
            fruitless = 0 if _size(part) > before else fruitless + 1
            if fruitless >= _ATTEMPTS_WITHOUT_PROGRESS:
                raise unavailable(url, error) from error
            continue
        if complete and _matches(part, hex_digits):
            return
        part.unlink(missing_ok=True)
        if not resumed:
            message = f"the server sent other bytes than those of {hex_digits}"
            raise InvalidError(message, code="sync.digest_mismatch", params={"digest": hex_digits})


def _append(http: Http, url: str, part: Path, length: int) -> bool:
    """Write the missing bytes behind those of the file; return whether it then has its length."""
    have = _size(part)
    if have == length:
        return True
    if have > length:
        return False
    response = http.get(url, have)
    try:
        if response.status == _RANGE:
            return False
        _check_status(url, response.status)
        if response.status == _OK:
            have = 0
        _check_length(url, response, have, length)
        _write(response, part, have, length)
    finally:
        response.close()
    return _size(part) == length


def _write(response: urllib3.BaseHTTPResponse, part: Path, have: int, length: int) -> None:
    try:
        with part.open("r+b" if part.exists() else "xb") as file:
            file.truncate(have)
            file.seek(have)
            try:
                for piece in pieces(response):
                    have += len(piece)
                    if have > length:
                        message = f"more than {length} bytes came"
                        raise InvalidError(message, code="sync.length_mismatch")
                    file.write(piece)
            finally:
                file.flush()
                os.fsync(file.fileno())
    except OSError as error:
        raise storage_error(error, part) from error


def _check_status(url: str, status: int) -> None:
    if status in (_OK, _PARTIAL):
        return
    raise status_error(url, status)


def status_error(url: str, status: int) -> OnecodeError:
    """Return our error for an answer that is no success."""
    if status in (_UNAUTHENTICATED, _DENIED):
        message = f"{url} refuses this gateway's token ({status})"
        return UnauthenticatedError(message, code="sync.unauthenticated")
    if status == _MISSING:
        message = f"{url} does not exist"
        return NotFoundError(message, code="sync.missing_object")
    message = f"{url} answers {status}"
    return UnavailableError(message, code="sync.unavailable")


def _check_length(url: str, response: urllib3.BaseHTTPResponse, have: int, length: int) -> None:
    """Refuse an object that is shorter or longer, before its bytes come."""
    told = response.headers.get("Content-Length", "")
    if response.status == _PARTIAL:
        span, _, total = response.headers.get("Content-Range", "").removeprefix("bytes ").partition("/")
        if not span.startswith(f"{have}-") or total not in ("*", str(length)):
            message = f"{url} sends bytes {span[:40]!r} of {total[:20]!r}, wanted {have} to {length}"
            raise InvalidError(message, code="sync.length_mismatch")
    if told.isdigit() and int(told) != length - have:
        message = f"{url} has {have + int(told)} bytes, the manifest says {length}"
        raise InvalidError(message, code="sync.length_mismatch")


def _matches(part: Path, hex_digits: str) -> bool:
    with part.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest() == hex_digits


def _size(part: Path) -> int:
    return part.stat().st_size if part.exists() else 0


def unavailable(url: str, error: BaseException) -> UnavailableError:
    """Return the error of a server that cannot be reached now."""
    message = f"{url.split('?', maxsplit=1)[0]} does not answer: {type(error).__name__}"
    return UnavailableError(message, code="sync.unavailable")
