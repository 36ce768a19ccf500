"""Name what is kept about ModelRollout objects, inside one open transaction."""

from typing import Protocol

from onecode_rollout.domain.lease import Lease
from onecode_rollout.domain.wish import Followed


class ResourceRows(Protocol):
    """What ModelRollout objects asked for, and which replica follows them."""

    def followed(self, namespace: str) -> list[Followed]:
        """Return all of a namespace, by name."""
        ...

    def save(self, followed: Followed) -> None:
        """Keep a new or changed one."""
        ...

    def lease(self, name: str) -> Lease | None:
        """Return a lease."""
        ...

    def save_lease(self, lease: Lease) -> None:
        """Keep it."""
        ...
