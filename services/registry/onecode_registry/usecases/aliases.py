"""Move aliases, so that two who move one at the same time do not overwrite each other."""

from onecode_common.errors import ConflictError, NotFoundError
from onecode_common.ids import digest
from onecode_registry.domain.version import READY, Alias, Version, check_alias
from onecode_registry.ports import Ports
from onecode_registry.usecases.versions import Found, Versions


class Aliases:
    """What a caller may do with aliases."""

    def __init__(self, ports: Ports, versions: Versions) -> None:
        self._records = ports.records
        self._versions = versions

    def set(self, wanted: Alias, expected: str, principal: str) -> Found | None:
        """Point the alias to a version, or to nothing, if it names ``expected`` now; return the version.

        Setting what is set already changes nothing, so that a repeated call succeeds.

        Raises:
            ConflictError: It names something else; ``params.current`` says what.
            NotFoundError: There is no such version of the model.
        """
        check_alias(wanted.alias)
        wanted = Alias(wanted.project, wanted.model, wanted.alias, digest(wanted.digest) if wanted.digest else "")
        with self._records.transaction() as unit:
            unit.turn()
            version = unit.versions.by_digest(wanted.digest) if wanted.digest else None
            if wanted.digest:
                _require_version(version, wanted)
            now = unit.aliases.find(wanted.project, wanted.model, wanted.alias)
            current = now.digest if now is not None else ""
            if current != wanted.digest:
                if current != (digest(expected) if expected else ""):
                    message = (
                        f"alias {wanted.alias!r} of {wanted.model} names {current or 'nothing'} by now: look again"
                    )
                    raise ConflictError(message, code="alias.moved", params={"current": current})
                unit.aliases.put(wanted)
                unit.tell_alias(wanted)
                unit.audit(principal, "alias.set", f"{wanted.model}/{wanted.alias}", f"{current} -> {wanted.digest}")
        return self._versions.get(wanted.project, digest_=wanted.digest) if wanted.digest else None


def _require_version(version: Version | None, wanted: Alias) -> None:
    if version is None or (version.project, version.model, version.state) != (wanted.project, wanted.model, READY):
        message = f"{wanted.model} has no version {wanted.digest}"
        raise NotFoundError(message, code="version.missing", params={"value": wanted.digest})
