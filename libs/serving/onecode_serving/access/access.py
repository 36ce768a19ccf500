"""Turn what a caller shows into what it may do."""

import hashlib
import logging
import threading
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from pathlib import Path
from weakref import WeakSet

from onecode_common.addresses import split_address
from onecode_common.clock import Clock
from onecode_common.errors import InvalidError, UnauthenticatedError
from onecode_serving.access.grant import Grant, Meters
from onecode_serving.domain.tenants import Tenant, Tenants, parse_tenants

_log = logging.getLogger(__name__)
_MAX_TOKEN = 8192
_MAX_FILE = 8 << 20
_REMEMBERED = 10_000
_REMEMBER_S = 30.0
_FOREVER = float("inf")
_ANYBODY = Tenant("anonymous")


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
    """Lets in who shows a known key, a signed token or a known certificate; or everybody, on loopback, if that is set.

    Args:
        anonymous: Everybody may predict; a key that is shown all the same is not looked at.
        addresses: Where the faces listen.
        tokens_file: The tenants; see :func:`~onecode_serving.domain.tenants.parse_tenants`. Read again when it
            changes; a change that cannot be read is logged and the last good one stays in force.
        verify: Returns the principal that a signed token proves, or None; a plain True means some service.
        clock: Time of day for the expiry of keys, monotonic for how long a verdict is remembered.
        processes: That serve together and know nothing of each other's callers: each allows its share of a limit.

    Attributes:
        trouble: Why the newest tenants file is not in force, or None.

    Raises:
        InvalidError: Anonymous and an address that others can reach; or a tenants file that is not one.
    """

    def __init__(
        self,
        *,
        anonymous: bool,
        addresses: Sequence[str],
        tokens_file: Path | None,
        clock: Clock,
        verify: Callable[[str], bool | str | None] | None = None,
        processes: int = 1,
    ) -> None:
        self._anonymous = anonymous
        self._file = tokens_file
        self._processes = processes
        self._clock = clock
        self._verify = verify
        self._stamp: tuple[int, int, int] | None = None
        self._tenants = Tenants()
        self._meters: dict[str, Meters] = {}
        self._signed: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()
        self._given: WeakSet[Grant] = WeakSet()
        self.trouble: str | None = None
        public = [address for address in addresses if not is_loopback(address)]
        if anonymous and public:
            message = f"anonymous prediction on {public[0]}, which others can reach: set a token file instead"
            raise InvalidError(message, code="serving.anonymous", params={"address": public[0]})
        self._reload()
        self._everybody = Grant(_ANYBODY, Meters())

    def admit(self, authorization: str | None, certificate: str | None = None, now: float | None = None) -> Grant:
        """Return what the caller may do.

        Args:
            authorization: The header; it counts before the certificate.
            certificate: Name in the verified certificate, such as ``dns:press-3``.
            now: Monotonic seconds; None asks the clock.

        Raises:
            UnauthenticatedError: Nothing is shown, or nothing that is known.
        """
        if self._anonymous:
            return self._everybody
        now = self._clock.monotonic() if now is None else now
        self.refresh()
        if authorization is None and certificate is not None:
            tenant = self._tenants.certificates.get(certificate)
            if tenant is None:
                message = f"the certificate of {certificate[:80]!r} is not known here: add it to a tenant"
                raise UnauthenticatedError(message, code="auth.unknown_certificate")
            return self._until_expiry(tenant, now)
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token or len(token) > _MAX_TOKEN:
            message = "no bearer token: send Authorization: Bearer <token>"
            raise UnauthenticatedError(message, code="auth.missing")
        # The digest is looked up, so that the time taken says nothing about the token.
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
        tenant = self._tenants.keys.get(digest)
        if tenant is not None:
            return self._until_expiry(tenant, now)
        return self._by_signature(token, digest, now)

    def check(self, authorization: str | None) -> None:
        """Let the caller predict, without a look at models and limits. Raises as :meth:`admit` does."""
        self.admit(authorization)

    def refresh(self) -> None:
        """Look whether the tenants file has changed; costs one ``stat``. Never raises."""
        try:
            self._reload()
        except InvalidError as error:
            if self.trouble != error.message:
                _log.error("%s; the last good rules stay in force", error.message)
                self.trouble = error.message

    def refused(self) -> dict[str, int]:
        """Return how many requests limits turned away, by principal."""
        return {name: meters.refused for name, meters in self._meters.copy().items() if meters.refused}

    def _by_signature(self, token: str, digest: str, now: float) -> Grant:
        principal, until = self._signed.get(digest, ("", 0.0))
        if until <= now:
            principal, until = self._verified(token), now + _REMEMBER_S
            if not principal:
                message = "the bearer token is not known here: use one whose SHA-256 is configured"
                raise UnauthenticatedError(message, code="auth.unknown_token")
            with self._lock:
                if len(self._signed) >= _REMEMBERED:
                    self._signed.clear()
                self._signed[digest] = (principal, until)
        return self._grant(self._tenants.named.get(principal) or Tenant(principal), until)

    def _verified(self, token: str) -> str:
        if self._verify is None or token.count(".") != 2:  # noqa: PLR2004 - a signed token has three parts
            return ""
        proven = self._verify(token)
        return "service" if proven is True else proven or ""

    def _until_expiry(self, tenant: Tenant, now: float) -> Grant:
        if tenant.expires == _FOREVER:
            return self._grant(tenant, _FOREVER)
        left = tenant.expires - self._clock.now().timestamp()
        if left <= 0:
            message = f"the credential of {tenant.principal} has expired: ask for a new one"
            raise UnauthenticatedError(message, code="auth.expired")
        return self._grant(tenant, now + left)

    def _grant(self, tenant: Tenant, until: float) -> Grant:
        meters = self._meters.setdefault(tenant.principal, Meters())
        grant = Grant(tenant, meters, until=until, secret_names=self._tenants.secret_names)
        self._given.add(grant)
        return grant

    def _reload(self) -> None:
        if self._file is None:
            return
        try:
            found = self._file.stat()
            stamp = (found.st_mtime_ns, found.st_size, found.st_ino)
            if stamp == self._stamp:
                return
            if found.st_size > _MAX_FILE:
                message = f"the token file {self._file} has {found.st_size} bytes, at most {_MAX_FILE} are read"
                raise InvalidError(message, code="serving.tokens")
            text = self._file.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            message = f"cannot read the token file {self._file}: create it or correct the setting"
            raise InvalidError(message, code="serving.tokens") from error
        try:
            tenants = parse_tenants(text, self._processes)
        except InvalidError as error:
            message = f"the token file {self._file}: {error.message}"
            raise InvalidError(message, code="serving.tokens") from error
        self._tenants, self._stamp = tenants, stamp
        known = {*tenants.named, *(one.principal for one in tenants.keys.values())}
        with self._lock:
            self._meters = {name: meters for name, meters in self._meters.items() if name in known}
        # What was given under other rules ends: whoever holds it asks again.
        for grant in self._given:
            grant.until = -_FOREVER
        self._given.clear()
        self.trouble = None
