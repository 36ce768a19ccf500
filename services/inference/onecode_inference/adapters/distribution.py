"""Reach the distribution through the delivery library, as soon as its root of trust is there."""

import threading
from collections.abc import Callable
from pathlib import Path

from onecode_common.clock import Clock
from onecode_common.errors import InvalidError, NotFoundError, UnavailableError
from onecode_common.files import write_file
from onecode_delivery.client import Delivery
from onecode_delivery.policy import Policy
from onecode_delivery.store import VerifiedVersion


class SignedDistribution:
    """Policies and versions of one segment.

    Args:
        home: Own folder.
        url: Of the distribution.
        root_file: TUF root, written by the registry's first start; a copy is kept in the home.
        segment: Where this server belongs.
        tenant: Whose policies are read.
        token: Returns the access token for the distribution.
        clock: For expiry.
    """

    def __init__(
        self,
        home: Path,
        url: str,
        root_file: Path,
        segment: str,
        tenant: str,
        token: Callable[[], str],
        clock: Clock,
    ) -> None:
        self._home = home
        self._url = url
        self._root_file = root_file
        self._segment = segment
        self._tenant = tenant
        self._token = token
        self._clock = clock
        self._delivery: Delivery | None = None
        self._lock = threading.Lock()

    def refresh(self) -> Policy:
        """Return the newest policy."""
        return self._opened().refresh()[0]

    def accepted(self) -> Policy | None:
        """Return the newest policy that was accepted here before; None also before there is a root of trust."""
        try:
            found = self._opened().accepted()
        except UnavailableError:
            return None
        return found[0] if found else None

    def obtain(self, model: str, release: int, digest: str) -> VerifiedVersion:
        """Return a version's bytes; what is whole on the disk needs no network."""
        delivery = self._opened()
        try:
            return delivery.open_version(digest)
        except (NotFoundError, InvalidError):
            delivery.fetch(delivery.manifest(model, release, digest))
            return delivery.open_version(digest)

    def keep(self, digests: frozenset[str]) -> None:
        """Forget all versions but these."""
        self._opened().store.sweep(digests)

    def stop(self) -> None:
        """Close idle connections."""
        if self._delivery is not None:
            self._delivery.close()

    def _opened(self) -> Delivery:
        with self._lock:
            if self._delivery is None:
                directory = self._home / "delivery"
                self._delivery = Delivery(
                    directory, self._url, self._tenant, self._segment, self._token, self._root(), self._clock
                )
            return self._delivery

    def _root(self) -> bytes:
        kept = self._home / "root.json"
        for path in (self._root_file, kept):
            try:
                content = path.read_bytes()
            except OSError:
                continue
            if not kept.exists() or kept.read_bytes() != content:
                write_file(kept, content)
            return content
        message = f"the root of trust {self._root_file} is not there yet: the registry writes it at its first start"
        raise UnavailableError(message, code="sync.no_root")
