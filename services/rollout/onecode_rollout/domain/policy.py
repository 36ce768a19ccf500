"""Write what a segment should serve as one document that gateways evaluate themselves.

``generation`` grows with any change of the document; ``revision`` of a model only when the *set* of its
digests changes, so that a wider ramp makes nobody load anything again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from onecode_common.assignment import BUCKETS
from onecode_common.canonical import Json, canonical

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Arm:
    """The buckets ``start <= bucket < end`` get this version."""

    start: int
    end: int
    release: int
    digest: str
    role: str


@dataclass(frozen=True, slots=True)
class Entry:
    """What a segment serves of one model.

    Attributes:
        revision: Generation in which the set of digests last changed.
        hold: Nobody begins a new switch.
        rollback_to: Versions that stay on the gateway.
        shadow: Version that answers nobody and is compared with the stable one; its range says nothing.
    """

    model: str
    rollout: str
    unit: str
    arms: tuple[Arm, ...]
    probation_s: int
    rollback_to: tuple[str, ...] = ()
    hold: bool = False
    revision: int = 0
    shadow: Arm | None = None

    @property
    def digests(self) -> frozenset[str]:
        """All versions that answer."""
        return frozenset(arm.digest for arm in self.arms)

    @property
    def stable(self) -> Arm | None:
        """The arm that is not on trial."""
        return next((arm for arm in self.arms if arm.role == "stable"), None)


@dataclass(frozen=True, slots=True)
class Times:
    """How often gateways ask and tell, in seconds; interval_s is the length of a counter."""

    poll_s: int = 30
    report_s: int = 30
    interval_s: int = 60


@dataclass(frozen=True, slots=True)
class SegmentPolicy:
    """The present policy of a segment."""

    segment: str
    generation: int
    times: Times
    entries: Mapping[str, Entry]


def split_arms(stable: tuple[str, int] | None, candidate: tuple[str, int], width: int) -> tuple[Arm, ...]:
    """Return the arms of a trial: the candidate owns ``[0, width)``; without a stable it owns everything."""
    digest, release = candidate
    if stable is None:
        return (Arm(0, BUCKETS, release, digest, "candidate"),)
    trial = Arm(0, width, release, digest, "candidate")
    return tuple(arm for arm in (trial, Arm(width, BUCKETS, stable[1], stable[0], "stable")) if arm.start < arm.end)


def whole(version: tuple[str, int], role: str) -> tuple[Arm, ...]:
    """Return one arm for everybody."""
    return (Arm(0, BUCKETS, version[1], version[0], role),)


def changed(policy: SegmentPolicy, model: str, entry: Entry | None, times: Times | None = None) -> SegmentPolicy:
    """Return the policy with this entry for a model (None: without it), or the same policy when nothing changes.

    Generation and revision follow; the entry's own revision is ignored.
    """
    before = policy.entries.get(model)
    wanted_times = times or policy.times
    generation = policy.generation + 1
    if entry is not None:
        same_set = before is not None and before.digests == entry.digests
        entry = replace(entry, revision=before.revision if before is not None and same_set else generation)
    if entry == before and wanted_times == policy.times:
        return policy
    entries = {name: other for name, other in policy.entries.items() if name != model}
    if entry is not None:
        entries[model] = entry
    return replace(policy, generation=generation, entries=entries, times=wanted_times)


def document(policy: SegmentPolicy, tenant: str, issued: float) -> bytes:
    """Return the canonical JSON that gateways read."""
    return canonical(
        {
            "schema": SCHEMA,
            "tenant": tenant,
            "segment": policy.segment,
            "generation": policy.generation,
            "issued": iso(issued),
            "poll_s": policy.times.poll_s,
            "report_s": policy.times.report_s,
            "interval_s": policy.times.interval_s,
            "critical": [],
            "models": [_model(policy.entries[name]) for name in sorted(policy.entries)],
        }
    )


def iso(seconds: float) -> str:
    """Return Unix seconds as RFC 3339 in UTC, to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def served(entries: Mapping[str, Entry]) -> dict[str, str]:
    """Return the version by model that a segment serves to most: stable, or the only one."""
    return {name: (entry.stable or entry.arms[0]).digest for name, entry in entries.items()}


def _model(entry: Entry) -> dict[str, Json]:
    arms: Sequence[Json] = [
        {"from": arm.start, "to": arm.end, "release": arm.release, "digest": arm.digest, "role": arm.role}
        for arm in entry.arms
    ]
    # Policies without a shadow are the same bytes as ever.
    shadow: dict[str, Json] = {}
    if entry.shadow is not None:
        shadow["shadow"] = {"release": entry.shadow.release, "digest": entry.shadow.digest}
    return {
        **shadow,
        "name": entry.model,
        "rollout": entry.rollout,
        "revision": entry.revision,
        "unit": entry.unit,
        "salt": entry.rollout,
        "arms": arms,
        "mode": "active",
        "probation_s": entry.probation_s,
        "rollback_to": list(entry.rollback_to),
        "floor": 1,
        "hold": entry.hold,
    }
