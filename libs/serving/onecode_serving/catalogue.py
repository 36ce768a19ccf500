"""Hold what is served: versions, routes and why something is not; changed by any thread, in one assignment."""

import threading
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from onecode_common.errors import OnecodeError, PreconditionError, UnavailableError
from onecode_serving.domain.contract import Contract
from onecode_serving.domain.options import ModelOptions
from onecode_serving.domain.residency import Resident
from onecode_serving.domain.routing import Route
from onecode_serving.execution.job import Target
from onecode_serving.execution.lane import Lane
from onecode_serving.execution.statistics import VersionStatistics
from onecode_serving.execution.targets import Chooser
from onecode_serving.execution.windows import Windows
from onecode_serving.shadow.shadows import Shadows
from onecode_serving.table import IndexEntry, Table
from onecode_serving.version import ServedVersion


class State(NamedTuple):
    """All that a request is routed by; replaced as a whole."""

    table: Table
    lanes: Mapping[str, Lane]
    named: Mapping[str, Target]
    choosers: Mapping[str, Chooser]


class Catalogue:
    """What one process serves; safe to use from several threads.

    Args:
        source: Who serves: ``cloud`` or the gateway's id; decides routes by gateway.
        draw: Returns a random bucket for routes by request.

    Attributes:
        state: The current state; one assignment changes it.
        generation: Of the state's table.
        shadows: Versions that are shown requests and answer nobody.
    """

    def __init__(self, source: str, draw: Callable[[], int]) -> None:
        self._source = source
        self._draw = draw
        self._options: Mapping[str, ModelOptions] = {}
        self._windows: Mapping[str, Windows] = {}
        self._lock = threading.Lock()
        self._watchers: list[Callable[[], None]] = []
        self._call_watchers: Callable[[Callable[[], None]], None] | None = None
        self.shadows = Shadows()
        self.state = State(Table(), {}, {}, {})
        self.generation = 0

    def set_options(self, options: Mapping[str, ModelOptions]) -> None:
        """Serve versions that are installed from now on with these options, by model."""
        with self._lock:
            self._options = dict(options)
            self._windows = {name: Windows(one.window) for name, one in options.items() if one.window is not None}

    def install(self, version: ServedVersion, source: Callable[[], bytes] | None = None) -> None:
        """Hold a version ready; it is reached by its number, and by routes that name it later.

        Args:
            version: Loaded and proven.
            source: Returns its verified bytes again, so that it may leave the memory while nobody asks for it.

        Raises:
            InvalidError: The model is declared to take windows, and this version does not.
        """
        with self._lock:
            table, lanes, named, _ = self.state
            lane = Lane(version, self._options.get(version.model), self._windows.get(version.model))
            lane.source = source
            self._put(
                table.changed(versions={**table.versions, version.digest: version}),
                {**lanes, version.digest: lane},
                {**named, version.digest: Target(version, "", None, lane)},
            )

    def retire(self, digest: str) -> None:
        """Let go of a version; requests that have it finish with it.

        Raises:
            PreconditionError: A route still names it.
        """
        with self._lock:
            table, lanes, named, _ = self.state
            routed = [route.model for route in table.routes.values() if digest in route.held]
            if routed:
                message = f"version {digest} is still served by model {routed[0]!r}: change the route first"
                raise PreconditionError(message, code="serving.routed")
            versions = _without(table.versions, digest)
            self._put(table.changed(versions=versions), _without(lanes, digest), _without(named, digest))

    def set_routes(self, routes: Mapping[str, Route]) -> None:
        """Serve by these routes from the next request on.

        Raises:
            PreconditionError: A route names a version that is not installed; nothing changes.
        """
        with self._lock:
            table = self.state.table
            for route in routes.values():
                absent = route.held - set(table.versions)
                if absent:
                    message = f"model {route.model!r}: version {min(absent)} is not installed"
                    raise PreconditionError(message, code="serving.not_installed")
            self._put(table.changed(routes=MappingProxyType(dict(routes))))

    def announce(self, missing: Mapping[str, str], reason: str | None) -> None:
        """Say which models are known and not loaded, with the reason, and why the server is not ready, if so."""
        with self._lock:
            table = self.state.table
            if dict(missing) != dict(table.missing) or reason != table.reason:
                self._put(table.changed(missing=MappingProxyType(dict(missing)), reason=reason))

    def routes(self) -> Mapping[str, Route]:
        """Return what is served by model."""
        return self.state.table.routes

    def installed(self) -> frozenset[str]:
        """Return the digests that are held."""
        return frozenset(self.state.table.versions)

    def version(self, digest: str) -> ServedVersion | None:
        """Return a version that is held."""
        return self.state.table.versions.get(digest)

    def contract(self, version: ServedVersion) -> Contract:
        """Return what callers of a version send and get, which is not what its model takes where rows are kept."""
        lane = self.state.lanes.get(version.digest)
        return version.contract if lane is None else lane.contract

    def serving(self) -> dict[str, str]:
        """Return the digest of each model's stable arm, as its session would answer now."""
        table = self.state.table
        return {name: table.versions[route.stable.digest].digest for name, route in table.routes.items()}

    def ready(self) -> str | None:
        """Return why the server is not ready, or None."""
        return self.state.table.reason

    def model_ready(self, model: str, version: str) -> bool:
        """Return whether a request to this model and version would be answered."""
        try:
            self.metadata(model, version)
        except OnecodeError:
            return False
        return True

    def metadata(self, model: str, version: str) -> tuple[ServedVersion, list[str]]:
        """Return the version that answers and all version numbers that are held, newest last.

        Raises:
            NotFoundError: Unknown model or version.
            UnavailableError: The model is known and not loaded.
        """
        table = self.state.table
        target = table.find(model, version) if version else table.stable(model)
        held = sorted({one.release for one in table.versions.values() if one.model == model})
        return target, [str(release) for release in held]

    def statistics(self, model: str, version: str) -> list[VersionStatistics]:
        """Return what versions did: of one version, of all of a model, or of all if the name is empty.

        Raises:
            InvalidError, NotFoundError, UnavailableError: As :meth:`metadata`.
        """
        table, lanes, _, _ = self.state
        if model:
            chosen = [self.metadata(model, version)[0]] if version else []
            table.require_loaded(model)
            chosen = chosen or [one for one in table.versions.values() if one.model == model]
            if not chosen:
                raise table.unknown(model)
        else:
            chosen = list(table.versions.values())
        chosen.sort(key=lambda one: (one.model, one.release))
        return [
            lanes[one.digest].tally.view(one.model, one.version, one.size_bytes)
            for one in chosen
            if one.digest in lanes
        ]

    def index(self) -> list[IndexEntry]:
        """Return every version that is held and every model that is known."""
        return self.state.table.index()

    def residents(self) -> list[Resident]:
        """Return the versions in memory; those of a rollout, at work or without a source are pinned."""
        table, lanes, _, _ = self.state
        pinned = {digest for route in table.routes.values() if len(route.held) > 1 for digest in route.held}
        return [
            Resident(
                digest,
                lane.version.size_bytes,
                lane.tally.last_s,
                pinned=lane.source is None or lane.busy or digest in pinned,
                unwanted=lane.version.model in table.hidden,
            )
            for digest, lane in lanes.items()
            if not lane.version.asleep
        ]

    def show(self, model: str) -> OnecodeError | None:
        """Answer for a model again that was unloaded; return why it cannot be, or None."""
        with self._lock:
            table = self.state.table
            if model in table.hidden:
                self._put(table.changed(hidden=table.hidden - {model}))
        if table.holds(model):
            return None
        error = table.unknown(model)
        if isinstance(error, UnavailableError):
            return PreconditionError(error.message, code="model.not_loaded")
        return error

    def unload(self, model: str) -> None:
        """Answer no more for a model from the next request on; what is in hand is finished, unknown names pass."""
        with self._lock:
            table = self.state.table
            if table.holds(model) and model not in table.hidden:
                self._put(table.changed(hidden=table.hidden | {model}))

    def watch(self, changed: Callable[[], None]) -> Callable[[], None]:
        """Call back, on the loop's thread, after each change of what is served; return how to end that."""
        self._watchers.append(changed)
        return lambda: self._watchers.remove(changed) if changed in self._watchers else None

    def _put(
        self, table: Table, lanes: Mapping[str, Lane] | None = None, named: Mapping[str, Target] | None = None
    ) -> None:
        """Make a state the current one; the lock is held."""
        lanes = self.state.lanes if lanes is None else lanes
        choosers = {name: Chooser(route, lanes, self._source, self._draw) for name, route in table.routes.items()}
        self.state = State(table, lanes, self.state.named if named is None else named, choosers)
        self.generation = table.generation
        self.shadows.follow(table.routes, lanes)
        if self._call_watchers is not None:
            for changed in tuple(self._watchers):
                self._call_watchers(changed)


def _without(mapping: Mapping[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in mapping.items() if name != key}
