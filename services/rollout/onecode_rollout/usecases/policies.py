"""Change what segments should serve, sign it, and bring it to the registry until it has taken it."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace

from onecode_common.errors import ConflictError, InvalidError, PreconditionError
from onecode_common.restored import JUMP
from onecode_rollout.domain.fleet import Fleet
from onecode_rollout.domain.policy import Entry, SegmentPolicy, Times, changed, document
from onecode_rollout.ports import Ports, Rows, StoredPolicy

_log = logging.getLogger(__name__)
_DAY_S = 86_400
LIFE_S = 7 * _DAY_S
"""How long signed fleet metadata is valid."""

RESIGN_S = _DAY_S
"""Age at which it is signed again."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a segment should serve of a model from now on."""

    model: str
    entry: Entry | None
    times: Times | None = None


class Policies:
    """Policies of all segments of a project."""

    def __init__(self, ports: Ports, project: str) -> None:
        self._ports = ports
        self._project = project

    def create(self, rows: Rows, segment: str) -> None:
        """Give a new segment its first, empty policy."""
        self._save(rows, [SegmentPolicy(segment, 1, Times(), {})])

    def change(self, rows: Rows, wanted: Mapping[str, Wanted]) -> dict[str, SegmentPolicy]:
        """Apply wishes by segment; return all these segments' policies.

        What changed is signed in the same transaction as the reason for it.
        """
        result: dict[str, SegmentPolicy] = {}
        touched = []
        for segment, wish in wanted.items():
            before = rows.policies.policy(segment) or SegmentPolicy(segment, 0, Times(), {})
            after = changed(before, wish.model, wish.entry, wish.times)
            result[segment] = after
            if after.generation != before.generation:
                touched.append(after)
        if touched:
            self._save(rows, touched)
        return result

    def resign_when_old(self) -> None:
        """Sign the metadata again when it is a day old, so that it never expires while the service runs."""
        now = self._ports.clock.now().timestamp()
        with self._ports.records.transaction() as rows:
            fleet = rows.policies.fleet()
            if fleet.version and now - fleet.signed_at >= RESIGN_S:
                self._seal(rows, fleet, fleet.version + 1)

    def resign_for_key(self) -> None:
        """Sign the metadata again when another key has signed it: that one will not be trusted much longer."""
        with self._ports.records.transaction() as rows:
            fleet = rows.policies.fleet()
            if fleet.version and not self._ports.fleet_signer.made(fleet.metadata):
                self._seal(rows, fleet, fleet.version + 1)
                rows.audit("service:rollout", "policies.key", "fleet", f"version {fleet.version + 1}: another key")

    def publish(self) -> bool:
        """Bring the newest metadata to the registry; return whether there was anything to bring.

        Raises:
            UnavailableError: The registry does not answer; the same call later goes on.
        """
        with self._ports.records.transaction() as rows:
            fleet = rows.policies.fleet()
            pending = rows.policies.stored(newer_than=fleet.published)
        if fleet.published >= fleet.version:
            return False
        try:
            self._ports.registry.publish(
                fleet.version, fleet.metadata, {f"fleet/{one.segment}/policy.json": one.content for one in pending}
            )
        except (ConflictError, InvalidError, PreconditionError) as error:
            _log.warning("the registry refuses fleet version %d: %s", fleet.version, error)
            self._catch_up()
            raise
        self._mark_published(fleet, pending)
        return True

    def compare_with_registry(self) -> None:
        """Publish again what the registry has lost, and overtake what this service has lost."""
        version, _ = self._ports.fleet_signer.read(self._ports.registry.published())
        with self._ports.records.transaction() as rows:
            fleet = rows.policies.fleet()
            if version < fleet.published:
                _log.warning("the registry serves fleet version %d, %d was published", version, fleet.published)
                rows.policies.save_fleet(replace(fleet, published=version))
        if version > fleet.version:
            self._catch_up()

    def overtake_lost(self) -> None:
        """Continue far above the numbers of a backup: gateways may have accepted what was signed after it."""
        with self._ports.records.transaction() as rows:
            if not rows.policies.take_restored():
                return
            policies = [rows.policies.policy(stored.segment) for stored in rows.policies.stored()]
            raised = [replace(one, generation=one.generation + JUMP) for one in policies if one is not None]
            fleet = rows.policies.fleet()
            rows.policies.save_fleet(replace(fleet, version=fleet.version + JUMP))
            self._save(rows, raised)
            rows.audit("service:rollout", "policies.overtake", "fleet", f"restored: {JUMP} numbers are left out")

    def _mark_published(self, fleet: Fleet, pending: list[StoredPolicy]) -> None:
        with self._ports.records.transaction() as rows:
            now_kept = rows.policies.fleet()
            rows.policies.save_fleet(replace(now_kept, published=max(now_kept.published, fleet.version)))
            for one in pending:
                rows.tell_policy(one.segment, one.generation)
        for one in pending:
            self._ports.hints.wake(one.segment, one.generation)

    def _catch_up(self) -> None:
        """Continue above the registry's numbers: this database is older than what gateways have accepted."""
        version, generations = self._ports.fleet_signer.read(self._ports.registry.published())
        with self._ports.records.transaction() as rows:
            fleet = rows.policies.fleet()
            if version <= fleet.published:
                return
            lower = []
            for stored in rows.policies.stored():
                policy = rows.policies.policy(stored.segment)
                if policy is not None and policy.generation <= generations.get(stored.segment, 0):
                    lower.append(replace(policy, generation=generations[stored.segment] + 1))
            rows.policies.save_fleet(replace(fleet, version=max(version, fleet.version), published=version))
            self._save(rows, lower)

    def _save(self, rows: Rows, policies: list[SegmentPolicy]) -> None:
        fleet = rows.policies.fleet()
        version = fleet.version + 1
        now = self._ports.clock.now().timestamp()
        for policy in policies:
            rows.policies.save(policy, document(policy, self._project, now), version)
        self._seal(rows, fleet, version)

    def _seal(self, rows: Rows, fleet: Fleet, version: int) -> None:
        now = self._ports.clock.now().timestamp()
        metadata = self._ports.fleet_signer.sign(version, now + LIFE_S, rows.policies.stored())
        rows.policies.save_fleet(replace(fleet, version=version, metadata=metadata, signed_at=now))
