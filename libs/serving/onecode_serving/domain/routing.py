"""Say which version answers a request: the one question that the cloud and every gateway must answer alike."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from onecode_common.assignment import BUCKETS, bucket
from onecode_common.errors import InvalidError

STABLE = "stable"
CANDIDATE = "candidate"
SHADOW = "shadow"
UNITS = ("request", "key", "gateway")


@dataclass(frozen=True, slots=True)
class Arm:
    """A share of the buckets and the version that answers there.

    Attributes:
        start: First bucket.
        end: First bucket that no longer belongs to it.
        digest: ``sha256:<hex>`` of the version.
        release: Its release number.
        role: ``stable`` or ``candidate``; ``shadow`` for one that answers nobody.
    """

    start: int
    end: int
    digest: str
    release: int
    role: str


@dataclass(frozen=True, slots=True)
class Route:
    """How one model's requests are divided.

    Attributes:
        model: Name that callers use.
        rollout: Id of the rollout; empty outside of one.
        revision: Changes when the set of digests changes.
        unit: ``request`` (random draw), ``key`` (hash of what the caller names) or ``gateway`` (hash of where it runs).
        salt: Differs for each rollout, so that the same units are not the guinea pigs of every release.
        arms: Disjoint ranges over all buckets.
        shadow: A version that is shown in spare time what the stable one is asked; its range says nothing.

    Raises:
        InvalidError: The ranges overlap, leave a gap, or the unit is unknown.
    """

    model: str
    rollout: str
    revision: int
    unit: str
    salt: str
    arms: tuple[Arm, ...]
    shadow: Arm | None = None

    def __post_init__(self) -> None:
        if self.unit not in UNITS:
            message = f"model {self.model!r}: unit {self.unit!r} is none of {', '.join(UNITS)}"
            raise InvalidError(message, code="route.unit")
        edge = 0
        for arm in sorted(self.arms, key=lambda arm: (arm.start, arm.end)):
            if arm.start != edge or arm.end < arm.start:
                message = f"model {self.model!r}: arm [{arm.start}, {arm.end}) does not begin at bucket {edge}"
                raise InvalidError(message, code="route.arms")
            edge = arm.end
        if edge != BUCKETS:
            message = f"model {self.model!r}: the arms end at bucket {edge}, expected {BUCKETS}"
            raise InvalidError(message, code="route.arms")

    @property
    def stable(self) -> Arm:
        """The arm of everyone who is not under test; without one, the widest."""
        for arm in self.arms:
            if arm.role == STABLE:
                return arm
        return max(self.arms, key=lambda arm: arm.end - arm.start)

    @property
    def candidate(self) -> Arm | None:
        """The arm under test, if there is one."""
        return next((arm for arm in self.arms if arm.role == CANDIDATE), None)

    @property
    def digests(self) -> frozenset[str]:
        """All versions that answer."""
        return frozenset(arm.digest for arm in self.arms)

    @property
    def held(self) -> frozenset[str]:
        """All versions that must be loaded for this route."""
        return self.digests if self.shadow is None else self.digests | {self.shadow.digest}


class Choice(NamedTuple):
    """What was chosen; ``assigned`` is False where a key was wanted and none came."""

    arm: Arm
    assigned: bool


def choose(route: Route, unit_key: str | None, draw: int) -> Choice:
    """Return the arm that answers.

    Args:
        route: Of the model asked for.
        unit_key: What the caller named, or the gateway's id for routes by gateway; None if nothing.
        draw: A random bucket, used by routes by request only.
    """
    if route.unit == "request":
        return Choice(arm_of(route.arms, draw, route.stable), assigned=True)
    if not unit_key:
        return Choice(route.stable, assigned=False)
    return Choice(arm_of(route.arms, bucket(route.salt, unit_key), route.stable), assigned=True)


def arm_of(arms: Sequence[Arm], number: int, otherwise: Arm) -> Arm:
    """Return the arm that owns a bucket."""
    for arm in arms:
        if arm.start <= number < arm.end:
            return arm
    return otherwise


def only(route: Route, digest: str, release: int) -> Route:
    """Return the route with every bucket answered by one version, as its stable arm."""
    return replace(route, arms=(Arm(0, BUCKETS, digest, release, STABLE),), shadow=None)
