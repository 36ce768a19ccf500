"""Decide who may ask for predictions, the same for both faces."""

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path

from onecode_common.addresses import split_address
from onecode_common.clock import Clock
from onecode_common.errors import InvalidError, UnauthenticatedError

_HEX = re.compile(r"[0-9a-f]{64}")
_MAX_TOKEN = 8192
_REMEMBERED = 10_000
_REMEMBER_S = 30.0


def is_loopback(address: str) -> bool:
    """Return whether ``host:port`` can be reached from this machine only."""
    host, _ = split_address(address)
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


class Access:
    """Lets in who presents a bearer token whose SHA-256 is known; or everybody, on loopback, where that is set.

    Args:
        anonymous: Everybody may predict.
        addresses: Where the faces listen.
        tokens_file: Lines of 64 hex digits, read again when it changes.
        verify: Says whether a signed token of another service is good; None if none is taken.
        clock: For how long a verdict on a signed token is remembered.

    Raises:
        InvalidError: Anonymous and an address that others can reach; or a tokens file that is not one.
    """

    def __init__(
        self,
        *,
        anonymous: bool,
        addresses: Sequence[str],
        tokens_file: Path | None,
        clock: Clock,
        verify: Callable[[str], bool] | None = None,
    ) -> None:
        self._anonymous = anonymous
        self._file = tokens_file
        self._clock = clock
        self._verify = verify
        self._stamp = -1
        self._tokens: frozenset[str] = frozenset()
        self._verified: dict[str, float] = {}
        self._lock = threading.Lock()
        public = [address for address in addresses if not is_loopback(address)]
        if anonymous and public:
            message = f"anonymous prediction on {public[0]}, which others can reach: set a token file instead"
            raise InvalidError(message, code="serving.anonymous", params={"address": public[0]})
        self._reload()

    def check(self, authorization: str | None) -> None:
        """Let the caller in.

        Raises:
            UnauthenticatedError: No token, or one that is not known.
        """
        if self._anonymous:
            return
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN:
            message = "no bearer token: send Authorization: Bearer <token>"
            raise UnauthenticatedError(message, code="auth.missing")
        self._reload()
        # The digest is looked up, so that the time taken says nothing about the token.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        if digest not in self._tokens and not self._signed(token, digest):
            message = "the bearer token is not known here: use one whose SHA-256 is configured"
            raise UnauthenticatedError(message, code="auth.unknown_token")

    def _signed(self, token: str, digest: str) -> bool:
        if self._verify is None or token.count(".") != 2:  # noqa: PLR2004 - a signed token has three parts
            return False
        now = self._clock.monotonic()
        with self._lock:
            if self._verified.get(digest, 0.0) > now:
                return True
        if not self._verify(token):
            return False
        with self._lock:
            if len(self._verified) >= _REMEMBERED:
                self._verified.clear()
            self._verified[digest] = now + _REMEMBER_S
        return True

    def _reload(self) -> None:
        if self._file is None:
            return
        try:
            stamp = self._file.stat().st_mtime_ns
            if stamp == self._stamp:
                return
            lines = self._file.read_text().split()
        except OSError as error:
            message = f"cannot read the token file {self._file}: create it or correct the setting"
            raise InvalidError(message, code="serving.tokens") from error
        strange = [line for line in lines if not _HEX.fullmatch(line)]
        if strange:
            message = f"the token file {self._file} holds something else than SHA-256 digests in hex"
            raise InvalidError(message, code="serving.tokens")
        self._tokens, self._stamp = frozenset(lines), stamp
