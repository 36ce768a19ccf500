"""Make versions in three steps that a crash may fall between: fix the manifest, store it, sign and tell.

First a row fixes release number and manifest (state *stored*; nobody sees it). Then the manifest becomes an
object. Last, one transaction signs it, makes it *ready* and tells of it. A repeated request or the next
start goes on from whatever was reached, so that in the end there is exactly one version or none.
"""

import logging
from dataclasses import replace

from onecode_common.errors import NotFoundError, PreconditionError
from onecode_registry.domain.version import DELETED, READY, STORED, Draft, Version, make_version, require_same_request
from onecode_registry.ports import Ports
from onecode_registry.usecases.signed import SignedMetadata

_log = logging.getLogger(__name__)


class Registration:
    """Carries versions from their draft to the signed list."""

    def __init__(self, ports: Ports, signed: SignedMetadata) -> None:
        self._records = ports.records
        self._objects = ports.objects
        self._clock = ports.clock
        self._signed = signed

    def earlier(self, project: str, request_id: str, kind: str, body: str) -> Version | None:
        """Return what a request made when it was sent before, finished if it was not.

        Raises:
            ConflictError: It asked for something else then.
            PreconditionError: The version was deleted since.
        """
        with self._records.transaction() as unit:
            found = unit.versions.by_request(project, request_id)
        if found is None:
            return None
        require_same_request(found, kind, body)
        return self._answer(found)

    def store(self, draft: Draft, kind: str, principal: str) -> Version:
        """Give the draft its release number, and finish it.

        Raises:
            NotFoundError: A file of it is not stored.
            ConflictError: The request id was used for something else meanwhile.
        """
        now = self._clock.now()
        with self._records.transaction() as unit:
            unit.turn()
            version = unit.versions.by_request(draft.project, draft.request_id)
            if version is None:
                # Looked at inside, so that a sweep cannot take them between the look and the row.
                for file in draft.files:
                    self._objects.size(file.hex_digest)
                version = make_version(
                    draft, unit.versions.next_release(draft.project, draft.model), kind, principal, now
                )
                unit.versions.add(version)
            else:
                require_same_request(version, kind, draft.body)
        return self._answer(version)

    def finish_all(self) -> int:
        """Finish what a crash left behind, or undo it where a file is gone; return how many there were."""
        with self._records.transaction() as unit:
            waiting = unit.versions.unfinished()
        for version in waiting:
            try:
                self._finish(version)
            except NotFoundError:
                _log.warning("%s cannot be finished, a file of it is gone: it is undone", version.digest)
                with self._records.transaction() as unit:
                    unit.versions.remove(version.digest)
        return len(waiting)

    def _answer(self, version: Version) -> Version:
        if version.state == DELETED:
            message = (
                f"request {version.request_id!r} made {version.model} release {version.release}, which was deleted"
            )
            raise PreconditionError(message, code="version.deleted", params={"digest": version.digest})
        return version if version.state == READY else self._finish(version)

    def _finish(self, version: Version) -> Version:
        for file in version.files():
            self._objects.size(file.hex_digest)
        self._objects.put(version.manifest.encode())
        with self._records.transaction() as unit:
            unit.turn()
            current = unit.versions.by_digest(version.digest)
            if current is None:
                message = f"{version.digest} was undone meanwhile: send the request again"
                raise NotFoundError(message, code="version.missing")
            if current.state == STORED:
                self._signed.add(unit, version)
                unit.versions.set_state(version.digest, READY)
                unit.tell_ready(version)
                detail = f"{version.kind} {version.digest}"
                unit.audit(version.principal, "version.create", f"{version.model}/{version.release}", detail)
        return replace(version, state=READY)
