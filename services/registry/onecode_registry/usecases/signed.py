"""Change signed metadata: a list, then the snapshot that names its version, then the timestamp, all or nothing."""

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta

from onecode_common.errors import UnavailableError
from onecode_common.restored import JUMP
from onecode_registry.domain.version import Version, manifest_path
from onecode_registry.ports import Fleet, Ports, Target
from onecode_registry.rows import Unit

_log = logging.getLogger(__name__)
_KEPT = timedelta(hours=24)
"""A client that began with an old timestamp may still ask for what that one names."""


class SignedMetadata:
    """The TUF repository.

    Every method but :meth:`begin` and :meth:`refresh` joins a running transaction whose caller has taken its turn.
    """

    def __init__(self, ports: Ports) -> None:
        self._records = ports.records
        self._signing = ports.signing
        self._clock = ports.clock

    def begin(self) -> bytes:
        """Make the repository where there is none, follow a new root, and return the root in force.

        Raises:
            InvalidError: A key that every day needs is missing or not trusted, or a new root may not follow.
        """
        now = self._clock.now()
        with self._records.transaction() as unit:
            unit.turn()
            root = unit.trust.current("root")
            if root is None:
                for role, content in self._signing.first(now).items():
                    unit.trust.put(role, self._signing.version(content), content, now)
                root = self._required(unit, "root")
                unit.audit("service:registry", "trust.create", "root", f"version {self._signing.version(root)}")
                return root
            root = self._follow(unit, root, now)
            if unit.trust.take_restored():
                self._overtake_lost(unit, now)
        self.refresh()
        return root

    def refresh(self) -> None:
        """Sign again what will expire, and forget what was replaced a day ago."""
        now = self._clock.now()
        with self._records.transaction() as unit:
            unit.turn()
            renewed = {}
            for role in ("root", "targets", "models"):
                current = self._required(unit, role)
                if self._signing.is_due(role, current, now):
                    renewed[role] = self._signing.renewed(role, current, now)
            root = renewed.pop("root", None)
            if root is not None:
                unit.trust.put("root", self._signing.version(root), root, now)
            due = [
                role
                for role in ("snapshot", "timestamp")
                if self._signing.is_due(role, self._required(unit, role), now)
            ]
            if renewed or "snapshot" in due:
                self._publish(unit, renewed, now)
            elif due:
                self._stamp(unit, self._required(unit, "snapshot"), now)
            unit.trust.prune(now - _KEPT)

    def add(self, unit: Unit, version: Version) -> None:
        """Sign a version's manifest as a target."""
        target = Target(
            path=manifest_path(version.model, version.release),
            hex_digest=version.digest.removeprefix("sha256:"),
            length=len(version.manifest.encode()),
            name=version.model,
            release=version.release,
        )
        now = self._clock.now()
        models = self._signing.models(self._required(unit, "models"), [target], [], now)
        self._publish(unit, {"models": models}, now)

    def remove(self, unit: Unit, version: Version) -> None:
        """Take a version out of the signed list."""
        now = self._clock.now()
        path = manifest_path(version.model, version.release)
        models = self._signing.models(self._required(unit, "models"), [], [path], now)
        self._publish(unit, {"models": models}, now)

    def check_fleet(self, unit: Unit, fleet: bytes) -> Fleet:
        """Verify metadata of role fleet with the fleet key in use.

        Raises:
            InvalidError: Not signed by it, expired, or no metadata at all.
        """
        now = self._clock.now()
        current = self._required(unit, "targets")
        return self._signing.check_fleet(self._signing.delegating(current, now) or current, fleet, now)

    def publish_fleet(self, unit: Unit, fleet: bytes) -> None:
        """Take over metadata of role fleet that was checked before.

        Its key is trusted from the same moment on, with the first policy or after a change of the key, so that nobody
        ever meets policies that are signed by a key which is not trusted.
        """
        now = self._clock.now()
        targets = self._signing.delegating(self._required(unit, "targets"), now)
        if targets is not None:
            unit.audit("service:registry", "trust.delegate", "fleet", f"with version {self._signing.version(fleet)}")
        self._publish(unit, {"fleet": fleet} | ({} if targets is None else {"targets": targets}), now)

    def _follow(self, unit: Unit, root: bytes, now: datetime) -> bytes:
        """Take over the root that an operator made after this one, and sign everything below it with its keys."""
        following = self._signing.successor(root)
        self._signing.require_keys(following or root)
        if following is None:
            return root
        version = self._signing.version(following)
        unit.trust.put("root", version, following, now)
        targets = self._signing.entrusting(self._required(unit, "targets"), now)
        models = self._signing.renewed("models", self._required(unit, "models"), now)
        self._publish(unit, {"targets": targets, "models": models}, now)
        unit.audit("service:registry", "trust.root", "root", f"version {version}")
        _log.info("root %d is in force: what its keys do not sign no longer counts", version)
        return following

    def _overtake_lost(self, unit: Unit, now: datetime) -> None:
        """Continue far above the numbers of a backup: gateways may have accepted what was signed after it."""
        ahead = {
            role: self._signing.advanced(role, self._required(unit, role), JUMP, now)
            for role in ("targets", "models", "snapshot", "timestamp")
        }
        for role in ("snapshot", "timestamp"):
            content = ahead.pop(role)
            unit.trust.put(role, self._signing.version(content), content, now)
        self._publish(unit, ahead, now)
        unit.audit("service:registry", "trust.overtake", "metadata", f"restored: {JUMP} numbers are left out")

    def _publish(self, unit: Unit, changed: Mapping[str, bytes], now: datetime) -> None:
        versions = {}
        for role, content in changed.items():
            versions[role] = self._signing.version(content)
            unit.trust.put(role, versions[role], content, now)
        snapshot = self._signing.snapshot(self._required(unit, "snapshot"), versions, now)
        unit.trust.put("snapshot", self._signing.version(snapshot), snapshot, now)
        self._stamp(unit, snapshot, now)

    def _stamp(self, unit: Unit, snapshot: bytes, now: datetime) -> None:
        timestamp = self._signing.timestamp(self._required(unit, "timestamp"), snapshot, now)
        unit.trust.put("timestamp", self._signing.version(timestamp), timestamp, now)

    def _required(self, unit: Unit, role: str) -> bytes:
        content = unit.trust.current(role)
        if content is None:
            message = f"there is no signed metadata of role {role} yet: try again"
            raise UnavailableError(message, code="trust.missing", params={"role": role})
        return content
