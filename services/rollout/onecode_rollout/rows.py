"""Name what can be done with records inside one open transaction."""

from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol

from onecode_rollout.domain.decision import Decision
from onecode_rollout.domain.evaluation import Interval
from onecode_rollout.domain.fleet import Fleet, Gateway, Segment, Source
from onecode_rollout.domain.members import Action
from onecode_rollout.domain.policy import SegmentPolicy
from onecode_rollout.domain.reports import ActionReport, CounterReport
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.shadow import Shadow
from onecode_rollout.domain.situation import Suspect
from onecode_rollout.resource_rows import ResourceRows


class StoredPolicy(NamedTuple):
    """A policy as it was signed: its bytes, their SHA-256, and the fleet version that first named them."""

    segment: str
    generation: int
    content: bytes
    sha256: str
    fleet_version: int


class Traffic(NamedTuple):
    """Requests a second and the share of errors that a model saw lately."""

    per_second: float
    error_rate: float


class ArmTotal(NamedTuple):
    """Bare totals of one version in a rollout, for display."""

    requests: int
    errors: int
    non_finite: int


class FleetRows(Protocol):
    """Segments, gateways and sources."""

    def segments(self) -> list[Segment]:
        """Return all, by name."""
        ...

    def segment(self, name: str) -> Segment | None:
        """Return one."""
        ...

    def add_segment(self, segment: Segment) -> None:
        """Keep a new one. Raises ConflictError when the name is taken."""
        ...

    def gateways(self, segment: str = "") -> list[Gateway]:
        """Return all, or those of a segment, by id."""
        ...

    def gateway(self, gateway_id: str) -> Gateway | None:
        """Return one."""
        ...

    def gateway_by_token(self, token_id: str) -> Gateway | None:
        """Return the one that an enrolment token was made for."""
        ...

    def save_gateway(self, gateway: Gateway) -> None:
        """Keep a new or changed one."""
        ...

    def use_token(self, gateway: Gateway, public_key: bytes, state: str, now: float) -> bool:
        """Bind the key if the token is still unused and valid; return whether this call did it."""
        ...

    def remember_assertion(self, gateway_id: str, jti: str, until: float, now: float) -> bool:
        """Note a one-time id; return False when it was used before."""
        ...

    def source(self, name: str) -> Source | None:
        """Return what a source told last."""
        ...

    def sources(self) -> dict[str, Source]:
        """Return all by name."""
        ...

    def save_source(self, source: Source) -> None:
        """Keep what a source told."""
        ...


class PolicyRows(Protocol):
    """Policies of segments and the signed list of them."""

    def policy(self, segment: str) -> SegmentPolicy | None:
        """Return what a segment should serve."""
        ...

    def save(self, policy: SegmentPolicy, content: bytes, fleet_version: int) -> None:
        """Keep a policy and its bytes."""
        ...

    def stored(self, newer_than: int = -1) -> list[StoredPolicy]:
        """Return the policies that changed after a fleet version."""
        ...

    def fleet(self) -> Fleet:
        """Return the signed list."""
        ...

    def save_fleet(self, fleet: Fleet) -> None:
        """Keep the signed list."""
        ...

    def take_restored(self) -> bool:
        """Return whether these records come from a backup and nobody has acted on it yet; who asks does."""
        ...


class RolloutRows(Protocol):
    """Rollouts, their slots and decisions."""

    def get(self, rollout_id: str) -> Rollout | None:
        """Return one."""
        ...

    def open_ones(self) -> list[Rollout]:
        """Return all that have not ended, oldest first."""
        ...

    def page(self, model: str, before: int, size: int) -> list[Rollout]:
        """Return the newest with a sequence below ``before``, of one model or of all."""
        ...

    def alias_wanted(self) -> list[Rollout]:
        """Return those whose champion alias has still to move, oldest first."""
        ...

    def latest_success(self, model: str) -> Rollout | None:
        """Return the newest that succeeded."""
        ...

    def add(self, rollout: Rollout) -> Rollout:
        """Keep a new one and return it with its sequence. Raises ConflictError when the id is taken."""
        ...

    def save(self, rollout: Rollout) -> Rollout:
        """Replace the record whose version it carries. Raises ConflictError when somebody was faster."""
        ...

    def slot_holder(self, segment: str, model: str) -> str:
        """Return the id of the rollout that owns the slot, or nothing."""
        ...

    def take_slot(self, segment: str, model: str, rollout_id: str) -> None:
        """Own a slot. Raises ConflictError when it is taken."""
        ...

    def release_slots(self, rollout_id: str) -> None:
        """Give all slots back."""
        ...

    def decisions(self, rollout_id: str) -> list[Decision]:
        """Return all, in order."""
        ...

    def add_decision(self, decision: Decision) -> None:
        """Keep one for ever."""
        ...

    def suspects(self, rollout_id: str, *, accepted: bool | None = None) -> list[Suspect]:
        """Return sources that count for neither version."""
        ...

    def add_suspect(self, rollout_id: str, suspect: Suspect, now: float) -> None:
        """Drop a source; again is nothing new."""
        ...

    def accept_suspects(self, rollout_id: str) -> None:
        """Note that a person has looked at them; they stay dropped."""
        ...

    def exposed(self, rollout_id: str) -> dict[tuple[str, int], float]:
        """Return when sources were first known to follow a step."""
        ...

    def expose(self, rollout_id: str, source: str, step: int, now: float) -> None:
        """Note that a source follows a step."""
        ...


class ReportRows(Protocol):
    """Counters and actions."""

    def put_counter(self, source: str, boot_id: str, sequence: int, counter: CounterReport, now: float) -> None:
        """Replace the counter of this key unless a later report did."""
        ...

    def put_shadow(self, source: str, boot_id: str, sequence: int, counter: CounterReport) -> None:
        """Replace what a shadow found, by key, unless a later report did."""
        ...

    def shadow(self, rollout: Rollout) -> Shadow:
        """Return what shadows found in a rollout, without suspect sources."""
        ...

    def forget_shadow(self, rollout_id: str) -> None:
        """Drop what shadows found in a rollout that has ended."""
        ...

    def put_action(self, source: str, sequence: int, action: ActionReport, now: float) -> bool:
        """Count the event once by (source, sequence) and keep the newest by key; return whether it was new."""
        ...

    def actions(self, rollout_id: str) -> dict[tuple[str, str], Action]:
        """Return the newest action by (source, digest)."""
        ...

    def intervals(self, rollout: Rollout) -> tuple[Interval, ...]:
        """Return the merged counters of both versions, without suspect sources, in order."""
        ...

    def arm_totals(self, rollout_id: str) -> dict[str, ArmTotal]:
        """Return bare totals by digest."""
        ...

    def traffic(self, model: str, since: float) -> Traffic:
        """Return what a model saw since then."""
        ...

    def requests(self, source: str) -> dict[str, int]:
        """Return how many requests a source reported, by model."""
        ...

    def forget_source(self, source: str) -> None:
        """Drop events and actions of a source: another device takes its name."""
        ...

    def forget(self, before: float) -> None:
        """Drop counters of ended rollouts that are older."""
        ...


class Rows(Protocol):
    """All records, inside one open transaction."""

    @property
    def fleet(self) -> FleetRows:
        """Segments, gateways, sources."""
        ...

    @property
    def policies(self) -> PolicyRows:
        """Policies."""
        ...

    @property
    def rollouts(self) -> RolloutRows:
        """Rollouts."""
        ...

    @property
    def reports(self) -> ReportRows:
        """Reports."""
        ...

    @property
    def resources(self) -> ResourceRows:
        """ModelRollout objects."""
        ...

    def tell_rollout(self, rollout: Rollout, sentence: str) -> None:
        """Tell others of a changed rollout once this transaction is committed."""
        ...

    def tell_policy(self, segment: str, generation: int) -> None:
        """Tell others of a published policy."""
        ...

    def audit(self, principal: str, action: str, object_: str, detail: str = "") -> None:
        """Write down who changed what."""
        ...


class Records(Protocol):
    """Where records are."""

    def transaction(self) -> AbstractContextManager[Rows]:
        """Open a transaction that no other writer runs beside."""
        ...
