"""Say what a gateway should serve under a policy, and what the next single step towards it is."""

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass

from onecode_common.assignment import BUCKETS, bucket
from onecode_delivery.policy import ArmRange, ModelPolicy, Policy
from onecode_edge.domain.modelset import EMPTY, Entry, ModelSet


@dataclass(frozen=True, slots=True)
class Wish:
    """What one model's policy entry means for this gateway.

    Attributes:
        entry: What to serve; None: nothing of this model can be served.
        refused: Bad version that the policy names; empty if ``entry`` is just what it asks for.
        hold: No new switch may begin.
    """

    entry: Entry | None
    asked: Entry
    refused: str
    hold: bool


@dataclass(frozen=True, slots=True)
class Step:
    """The next change.

    Attributes:
        target: What to serve after it.
        subject: Entry that changes; None where models only go away.
    """

    target: ModelSet
    subject: Entry | None


def asked_entry(model: ModelPolicy, gateway: str) -> Entry:
    """Return what the policy asks of this gateway: for the unit ``gateway`` the one arm that it falls into."""
    arms = model.arms
    if model.unit == "gateway":
        number = bucket(model.salt, gateway)
        mine = next(arm for arm in arms if arm.start <= number < arm.end)
        arms = (ArmRange(0, BUCKETS, mine.release, mine.digest, mine.role),)
    if model.shadow is not None and model.shadow.digest not in model.digests:
        arms = (*arms, model.shadow)
    return Entry(model.name, model.rollout, model.revision, model.unit, model.salt, model.probation_s, arms)


def wishes(policy: Policy, gateway: str, bad: AbstractSet[str], present: ModelSet) -> dict[str, Wish]:
    """Return what each model's entry means here, by model.

    A version that failed on this gateway is not tried again: its requests go to the stable version of the policy, or
    else to what is served at present.
    """
    found = {}
    for model in policy.models:
        asked = asked_entry(model, gateway)
        refused = next((arm.digest for arm in (asked.subject, *asked.arms) if arm.digest in bad), "")
        entry: Entry | None = asked
        if refused:
            entry = _fallback(asked, model, bad, present)
        found[model.name] = Wish(entry, asked, refused, model.hold)
    return found


def _fallback(asked: Entry, model: ModelPolicy, bad: AbstractSet[str], present: ModelSet) -> Entry | None:
    left = asked.without(bad)
    if left is not None:
        return left
    stable = next((arm for arm in model.arms if arm.role == "stable" and arm.digest not in bad), None)
    if stable is not None:
        arm = ArmRange(0, BUCKETS, stable.release, stable.digest, "stable")
        return Entry(asked.name, asked.rollout, asked.revision, asked.unit, asked.salt, asked.probation_s, (arm,))
    held = present.entry(asked.name)
    return held.without(bad) if held is not None else None


def next_step(present: ModelSet, wished: Mapping[str, Wish]) -> Step | None:
    """Return the next change of versions, or None if the versions are as wished.

    One model changes at a time, so that a crash has one suspect. New shares of the same versions are no change; see
    :func:`retuned`.
    """
    kept = retuned(present, wished)
    gone = [entry for entry in kept.entries if entry.name not in wished or wished[entry.name].entry is None]
    entries = {entry.name: entry for entry in kept.entries if entry not in gone}
    for name, wish in wished.items():
        held = entries.get(name)
        if wish.entry is None or wish.hold or (held is not None and held.parts == wish.entry.parts):
            continue
        entries[name] = wish.entry
        return Step(ModelSet.of(entries.values()), wish.entry)
    return Step(ModelSet.of(entries.values()), None) if gone else None


def retuned(present: ModelSet, wished: Mapping[str, Wish]) -> ModelSet:
    """Return the present set with the shares, revision and rollout that are wished for the versions it has."""
    entries = []
    for entry in present.entries:
        wish = wished.get(entry.name)
        same = wish is not None and wish.entry is not None and wish.entry.parts == entry.parts
        entries.append(wish.entry if same and wish is not None and wish.entry is not None else entry)
    return ModelSet.of(entries)


def revert_target(committed: ModelSet | None, previous: ModelSet | None, bad: AbstractSet[str]) -> ModelSet:
    """Return what to go back to: the last set found good, without what is bad now; nothing if there is none."""
    for candidate in (committed, previous):
        if candidate is not None:
            left = candidate.without(bad)
            if left.entries:
                return left
    return EMPTY
