"""Hold what is served as one value that is replaced as a whole: a request sees the old one or the new one."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, UnavailableError
from onecode_serving.domain.names import unknown_model
from onecode_serving.domain.routing import Route
from onecode_serving.version import ServedVersion

READY = "READY"
UNAVAILABLE = "UNAVAILABLE"
UNLOADED = "unloaded by request"


@dataclass(frozen=True, slots=True)
class IndexEntry:
    """One version, or one model without a version, as the repository lists it.

    Attributes:
        state: ``READY`` or ``UNAVAILABLE``.
        reason: Why it does not answer; empty if it does.
    """

    name: str
    version: str
    state: str
    reason: str


@dataclass(frozen=True, slots=True)
class Table:
    """Versions by digest, routes by model, and what is known and not here.

    Attributes:
        missing: Why a model that is known is not loaded.
        reason: Why the server is not ready, or None.
        hidden: Models that were unloaded by request.
        generation: Changes with everything else here.
    """

    versions: Mapping[str, ServedVersion] = field(default_factory=lambda: MappingProxyType({}))
    routes: Mapping[str, Route] = field(default_factory=lambda: MappingProxyType({}))
    missing: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    reason: str | None = None
    hidden: frozenset[str] = frozenset()
    generation: int = 0

    def changed(self, **parts: Any) -> "Table":
        """Return the table with other parts, under the next generation."""
        return replace(self, generation=self.generation + 1, **parts)

    def find(self, model: str, version: str) -> ServedVersion:
        """Return the version that a caller names by number or digest.

        Raises:
            InvalidError: The name is neither.
            NotFoundError: It is not held.
            UnavailableError: The model is known and not loaded.
        """
        self.require_loaded(model)
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
        return self.versions[self.route(model).stable.digest]

    def route(self, model: str) -> Route:
        """Return how a model's requests are divided.

        Raises:
            NotFoundError: Unknown model.
            UnavailableError: The model is known and not loaded.
        """
        self.require_loaded(model)
        route = self.routes.get(model)
        if route is None:
            raise self.unknown(model)
        return route

    def require_loaded(self, model: str) -> None:
        """Refuse a model that was unloaded by request.

        Raises:
            UnavailableError: It was.
        """
        if model in self.hidden:
            message = f"model {model!r} is not loaded: {UNLOADED}"
            raise UnavailableError(message, code="model.not_loaded")

    def holds(self, model: str) -> bool:
        """Return whether a version of this model is here."""
        return model in self.routes or any(one.model == model for one in self.versions.values())

    def index(self) -> list[IndexEntry]:
        """Return every version that is held and every model that is known, by name and number."""
        found: list[IndexEntry] = []
        for one in sorted(self.versions.values(), key=lambda one: (one.model, one.release)):
            gone = one.model in self.hidden
            found.append(IndexEntry(one.model, one.version, UNAVAILABLE if gone else READY, UNLOADED if gone else ""))
        held = {entry.name for entry in found}
        return found + [
            IndexEntry(name, "", UNAVAILABLE, why) for name, why in sorted(self.missing.items()) if name not in held
        ]

    def unknown(self, model: str) -> OnecodeError:
        """Return the refusal of a model that nobody answers for."""
        why = self.missing.get(model)
        if why is not None:
            return UnavailableError(f"model {model!r} is not loaded: {why}", code="model.not_loaded")
        return unknown_model(model)
