"""Hold what is served as one value that is replaced as a whole: a request sees the old one or the new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, UnavailableError
from onecode_serving.domain.routing import Route
from onecode_serving.version import ServedVersion


@dataclass(frozen=True, slots=True)
class Table:
    """Versions by digest, routes by model, and what is known and not here.

    Attributes:
        missing: Why a model that is known is not loaded.
        reason: Why the server is not ready, or None.
    """

    versions: Mapping[str, ServedVersion] = field(default_factory=lambda: MappingProxyType({}))
    routes: Mapping[str, Route] = field(default_factory=lambda: MappingProxyType({}))
    missing: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reason: str | None = None

    def find(self, model: str, version: str) -> ServedVersion:
        """Return the version that a caller names by number or digest.

        Raises:
            InvalidError: The name is neither.
            NotFoundError: It is not held.
            UnavailableError: The model is known and not loaded.
        """
        held = [one for one in self.versions.values() if one.model == model]
        if version.startswith("sha256:"):
            found = next((one for one in held if one.digest == version), None)
        elif version.isascii() and version.isdigit():
            found = next((one for one in held if one.version == version.lstrip("0")), None)
        else:
            message = f"version {version[:80]!r} of model {model[:80]!r}: expected a number, sha256:<hex> or nothing"
            params = {"field": "model_version", "got": version[:80]}
            raise InvalidError(message, code="version.invalid", params=params)
        if found is not None:
            return found
        if not held:
            raise self.unknown(model)
        message = (
            f"model {model!r} has no version {version[:80]!r} here: held are {sorted(one.release for one in held)}"
        )
        raise NotFoundError(message, code="version.unknown", params={"field": "model_version", "got": version[:80]})

    def stable(self, model: str) -> ServedVersion:
        """Return the version of everyone who is not under test.

        Raises:
            NotFoundError: Unknown model.
            UnavailableError: The model is known and not loaded.
        """
        route = self.routes.get(model)
        if route is None:
            raise self.unknown(model)
        return self.versions[route.stable.digest]

    def unknown(self, model: str) -> OnecodeError:
        """Return the refusal of a model that nobody answers for."""
        why = self.missing.get(model)
        if why is not None:
            return UnavailableError(f"model {model!r} is not loaded: {why}", code="model.not_loaded")
        message = f"model {model[:80]!r} is not known here: known are {', '.join(sorted(self.routes)) or 'none'}"
        return NotFoundError(message, code="model.unknown", params={"field": "model_name", "got": model[:80]})
