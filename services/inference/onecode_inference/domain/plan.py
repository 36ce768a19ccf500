"""Derive what one model serves now from the policy, from what is loaded here, and from what was found bad here."""

from collections.abc import Collection
from dataclasses import dataclass

from onecode_delivery.policy import ArmRange, ModelPolicy
from onecode_serving.domain.routing import CANDIDATE, SHADOW, STABLE, Arm, Route


@dataclass(frozen=True, slots=True)
class Loaded:
    """A version that can answer here."""

    digest: str
    release: int


def target_of(entry: ModelPolicy) -> ArmRange:
    """Return the arm that an entry is about: the candidate; without one, the stable version."""
    return next((arm for arm in entry.arms if arm.role == CANDIDATE), stable_of(entry))


def stable_of(entry: ModelPolicy) -> ArmRange:
    """Return the arm of everyone who is not under test; without one, the widest."""
    widest = max(entry.arms, key=lambda arm: arm.end - arm.start)
    return next((arm for arm in entry.arms if arm.role == STABLE), widest)


def arms_of(entry: ModelPolicy) -> list[ArmRange]:
    """Return one arm for each digest to be loaded, the stable one first, so that it never waits for another."""
    shadow = () if entry.shadow is None else (entry.shadow,)
    found = {arm.digest: arm for arm in reversed((*entry.arms, *shadow))}
    first = stable_of(entry).digest
    return sorted(found.values(), key=lambda arm: arm.digest != first)


def route_of(
    entry: ModelPolicy,
    ready: Collection[str],
    banned: Collection[str],
    last_good: Loaded | None,
    current: Route | None,
) -> Route | None:
    """Return the route to serve by, or None while nothing can answer.

    Versions that were found bad here (``banned``) give their share to the stable one; if that is bad too, to the last
    good one. While a version is still on its way, and while a switch is held, what is served stays.
    """
    good = {arm.digest for arm in entry.arms if arm.digest in ready and arm.digest not in banned}
    waiting = {arm.digest for arm in entry.arms} - good - set(banned)
    if current is not None and current.digests <= set(ready) - set(banned):
        held = entry.hold and not good <= current.digests
        if waiting or held:
            return current
    instead = _instead(entry, good, last_good if last_good and last_good.digest in ready else None)
    if instead is None:
        return None
    arms = tuple(
        Arm(arm.start, arm.end, arm.digest, arm.release, arm.role)
        if arm.digest in good
        else Arm(arm.start, arm.end, instead.digest, instead.release, STABLE)
        for arm in entry.arms
        if arm.end > arm.start
    )
    # What a version does that the rollout does not know is no evidence in it.
    known = instead.digest in entry.digests or all(arm.digest in good for arm in entry.arms)
    shadow = _shadow(entry, ready, banned) if stable_of(entry).digest in good else None
    return Route(entry.name, entry.rollout if known else "", entry.revision, entry.unit, entry.salt, arms, shadow)


def _shadow(entry: ModelPolicy, ready: Collection[str], banned: Collection[str]) -> Arm | None:
    """Return the version that is compared with the stable one, once it can be; nobody waits for it."""
    arm = entry.shadow
    if arm is None or arm.digest in entry.digests or arm.digest not in ready or arm.digest in banned:
        return None
    return Arm(arm.start, arm.end, arm.digest, arm.release, SHADOW)


def _instead(entry: ModelPolicy, good: Collection[str], last_good: Loaded | None) -> Loaded | None:
    stable = stable_of(entry)
    if stable.digest in good:
        return Loaded(stable.digest, stable.release)
    if last_good is not None:
        return last_good
    other = next((arm for arm in entry.arms if arm.digest in good), None)
    return Loaded(other.digest, other.release) if other else None
