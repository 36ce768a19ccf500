"""Publish what rollout signed; nothing reaches a gateway that the fleet key did not sign."""

from collections.abc import Mapping
from dataclasses import dataclass

from onecode_common.canonical import sha256_hex
from onecode_common.errors import ConflictError, InvalidError
from onecode_registry.domain.policy import Named, read_policy, segment_of
from onecode_registry.domain.project import require_project
from onecode_registry.domain.version import READY
from onecode_registry.ports import Fleet, Ports
from onecode_registry.rows import Unit
from onecode_registry.usecases.signed import SignedMetadata


@dataclass(frozen=True, slots=True)
class Publication:
    """Signed metadata of role fleet, its version, and the policies that changed."""

    project: str
    generation: int
    metadata: bytes
    policies: Mapping[str, bytes]


@dataclass(frozen=True, slots=True)
class Published:
    """What is published now; the fleet's metadata is empty before the first policy."""

    fleet: bytes
    root: bytes


class Policies:
    """What rollout may do with policies."""

    def __init__(self, ports: Ports, signed: SignedMetadata) -> None:
        self._project = ports.project
        self._records = ports.records
        self._signing = ports.signing
        self._clock = ports.clock
        self._signed = signed

    def publish(self, publication: Publication, principal: str) -> int:
        """Serve the policies from now on and return the generation; the same again changes nothing.

        Raises:
            ConflictError: The generation is not newer, or it was published with another content.
            InvalidError: Not signed by the fleet key, or metadata and policies do not fit each other.
        """
        require_project(publication.project, self._project)
        now = self._clock.now()
        with self._records.transaction() as unit:
            unit.turn()
            fleet = self._signed.check_fleet(unit, publication.metadata)
            if self._is_published(unit, fleet):
                return publication.generation
            if fleet.version != publication.generation:
                message = f"the metadata has version {fleet.version}, the request generation {publication.generation}"
                raise InvalidError(message, code="policy.generation")
            changed = self._changed(unit, fleet, publication.policies)
            for path, content in publication.policies.items():
                unit.trust.put_policy(path, sha256_hex(content), content, now)
            published = {path: hex_digest for path, (hex_digest, _) in fleet.policies.items()}
            unit.trust.serve(published, {one.segment: one.digests for one in changed})
            self._signed.publish_fleet(unit, publication.metadata)
            paths = ", ".join(sorted(publication.policies))
            unit.audit(principal, "policy.publish", f"generation {publication.generation}", paths[:2000])
        return publication.generation

    def published(self, project: str) -> Published:
        """Return what is published, for a controller that lost its memory."""
        require_project(project, self._project)
        with self._records.transaction() as unit:
            return Published(unit.trust.current("fleet") or b"", unit.trust.current("root") or b"")

    def _is_published(self, unit: Unit, fleet: Fleet) -> bool:
        """Return whether the same policies are out under this version; signed again they differ in expiry only."""
        current = unit.trust.current("fleet")
        if current is None:
            return False
        version = self._signing.version(current)
        if fleet.version > version:
            return False
        if fleet.version == version and fleet.policies == self._signing.policies(current):
            return True
        what = "with another content" if fleet.version == version else f"and {version} is published"
        message = f"generation {fleet.version} was published before {what}: take a higher one"
        raise ConflictError(message, code="policy.generation", params={"current": version})

    def _changed(self, unit: Unit, fleet: Fleet, given: Mapping[str, bytes]) -> list[Named]:
        unlisted = sorted(set(given) - set(fleet.policies))
        if unlisted:
            message = f"{unlisted[0][:120]!r} is not in the fleet metadata"
            raise InvalidError(message, code="policy.unlisted", params={"path": unlisted[0][:120]})
        changed = []
        for path, (hex_digest, length) in fleet.policies.items():
            segment_of(path)
            content = given.get(path)
            if content is None:
                content = unit.trust.policy(path, hex_digest)
            if content is None or len(content) != length or sha256_hex(content) != hex_digest:
                message = f"the policy {path} with digest {hex_digest} was neither sent nor published before"
                raise InvalidError(message, code="policy.missing", params={"path": path})
            named = read_policy(path, content, self._project)
            for digest in sorted(named.digests):
                self._require_version(unit, path, digest)
            changed.append(named)
        gone = {one.segment for one in changed}
        return changed + [Named(segment, frozenset()) for segment in self._segments(unit) if segment not in gone]

    def _segments(self, unit: Unit) -> list[str]:
        current = unit.trust.current("fleet")
        if current is None:
            return []
        # Who signed it was checked when it came; by now its key may be another.
        return [segment_of(path) for path in self._signing.policies(current)]

    def _require_version(self, unit: Unit, path: str, digest: str) -> None:
        version = unit.versions.by_digest(digest)
        if version is None or version.state != READY:
            message = f"the policy {path} names {digest}, which is no version"
            raise InvalidError(message, code="policy.unknown_version", params={"digest": digest})
