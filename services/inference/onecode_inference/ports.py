"""What the service needs from outside."""

from collections.abc import Callable
from typing import Protocol

from onecode_delivery.policy import Policy
from onecode_delivery.store import VerifiedVersion
from onecode_serving.trial import TrialReport


class Distribution(Protocol):
    """Signed policies and verified versions."""

    def refresh(self) -> Policy:
        """Return the newest policy.

        Raises:
            UnavailableError: Nobody answers.
            NotFoundError: Nothing is signed yet.
            InvalidError: What came is not to be believed.
        """
        ...

    def accepted(self) -> Policy | None:
        """Return the newest policy that was accepted here before; needs no network."""
        ...

    def obtain(self, model: str, release: int, digest: str) -> VerifiedVersion:
        """Return a version's bytes, from the disk or fetched.

        Raises:
            ExhaustedError: There is no space for it.
            OnecodeError: As :meth:`refresh`.
        """
        ...

    def keep(self, digests: frozenset[str]) -> None:
        """Forget all versions but these."""
        ...


class Publisher(Protocol):
    """Where reports go."""

    def send(self, kind: str, sequence: int, attempt: int, payload: bytes) -> None:
        """Hand over a report; ``attempt`` counts from 0 and tells a repetition from its original.

        Raises:
            UnavailableError: It was not taken; the caller sends it again.
        """
        ...


class Sequences(Protocol):
    """Numbers that are never used twice, whatever happens to the process."""

    def next(self) -> int:
        """Return a number larger than all before."""
        ...


Trial = Callable[[VerifiedVersion], TrialReport]
"""Tries a version where it can do no harm."""
