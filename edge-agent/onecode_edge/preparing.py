"""Fetch and try what the next change needs, in a thread of its own: it may take minutes, and nothing waits for it."""

import logging
import threading
from collections.abc import Callable, Mapping
from importlib.metadata import version as installed_version
from typing import Any, Protocol

from onecode_common.clock import Clock
from onecode_common.errors import (
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    UnauthenticatedError,
    UnavailableError,
)
from onecode_delivery.policy import ArmRange
from onecode_delivery.store import ModelStore, VerifiedVersion
from onecode_edge.adapters.journal import Journal
from onecode_edge.conductor import Conductor
from onecode_edge.domain import transition as states
from onecode_edge.domain.transition import Transition

_log = logging.getLogger(__name__)
_TRIES = 3
_PATIENCE_S = 300.0
_LONGEST_PAUSE_S = 30.0
_LEAST_MEMORY = 192 << 20
_MEMORY_FILE = "/proc/meminfo"


class Source(Protocol):
    """Where versions come from; see :class:`onecode_delivery.client.Delivery`."""

    def manifest(self, model: str, release: int, digest: str) -> bytes:
        """Return the signed manifest of a version."""
        ...

    def fetch(self, manifest: bytes) -> object:
        """Bring its files to this disk."""
        ...


class Report(Protocol):
    """How a trial went; see :class:`onecode_serving.trial.TrialReport`."""

    @property
    def ok(self) -> bool:
        """Whether the version may be loaded."""
        ...

    @property
    def cause(self) -> str:
        """Why it may not."""
        ...

    @property
    def detail(self) -> str:
        """One sentence for people."""
        ...


Trial = Callable[[bytes, Mapping[str, Any], bytes], Report]
"""Takes model, manifest and golden set; runs a limited child."""


class Preparer:
    """Takes a transition from DOWNLOADING to STAGED, or to the end that its versions deserve.

    Args:
        source: None while the gateway is not enrolled.
        refused: Called when the distribution refuses the access token.
    """

    def __init__(
        self,
        conductor: Conductor,
        journal: Journal,
        store: ModelStore,
        trial: Trial,
        clock: Clock,
        refused: Callable[[], None],
    ) -> None:
        self._conductor = conductor
        self._journal = journal
        self._store = store
        self._trial = trial
        self._clock = clock
        self._refused = refused
        self._runtime = installed_version("onnxruntime")
        self._failures = 0
        self._first_failure = 0.0
        self._about = (0, "")
        self.source: Source | None = None

    def turn(self, stopping: threading.Event) -> bool:
        """Do one piece of work; return whether there may be more at once."""
        transition = self._conductor.work()
        if transition is None:
            return False
        if (transition.id, transition.state) != self._about:
            self._about, self._failures = (transition.id, transition.state), 0
        try:
            if transition.state == states.DOWNLOADING:
                self._download(transition)
            else:
                self._try(transition)
        except OnecodeError as error:
            self._failed(transition, error, stopping)
        return True

    def _download(self, transition: Transition) -> None:
        if _available_memory() < _LEAST_MEMORY:
            self._conductor.prepared(transition, states.REFUSED, cause="memory", detail="little memory is left")
            return
        for model, arm in _arms(transition):
            if not self._complete(arm.digest):
                self._fetch(model, arm)
        self._conductor.prepared(transition, states.VERIFIED)

    def _fetch(self, model: str, arm: ArmRange) -> None:
        if self.source is None:
            message = "the gateway is not enrolled"
            raise UnavailableError(message, code="edge.not_enrolled")
        self.source.fetch(self.source.manifest(model, arm.release, arm.digest))

    def _complete(self, digest: str) -> bool:
        """Return whether every file of a version is on this disk, hashed now."""
        try:
            self._store.open_version(digest)
        except (NotFoundError, InvalidError):
            return False
        return True

    def _try(self, transition: Transition) -> None:
        for _, arm in _arms(transition):
            try:
                version = self._store.open_version(arm.digest)
            except (NotFoundError, InvalidError) as error:
                self._conductor.prepared(transition, states.DOWNLOADING, detail=error.message)
                return
            if not self._journal.proven(arm.digest, self._runtime) and not self._passes(transition, version):
                return
        self._conductor.prepared(transition, states.STAGED)

    def _passes(self, transition: Transition, version: VerifiedVersion) -> bool:
        """Return whether a version passed its trial; if not, the transition was told."""
        # The count on disk, not a loop, is what bounds this: a trial may take the whole gateway down.
        if transition.attempts >= states.MAX_ATTEMPTS:
            cause = "timeout" if self._failures else "crash"
            detail = f"{transition.attempts} trials were begun and none has ended well"
            self._conductor.prepared(transition, states.REJECTED, cause=cause, detail=detail, bad=version.digest)
            return False
        if not self._conductor.attempt(transition):
            return False
        report = self._trial(version.onnx, version.manifest, version.golden)
        if report.ok:
            self._journal.mark_proven(version.digest, self._runtime)
            return True
        _log.warning("trial of %s release %d: %s: %s", version.model, version.release, report.cause, report.detail)
        if report.cause == "timeout":
            # A busy machine may be to blame; the next turn tries once more.
            self._failures += 1
            return False
        self._conductor.prepared(
            transition, states.REJECTED, cause=report.cause, detail=report.detail, bad=version.digest
        )
        return False

    def _failed(self, transition: Transition, error: OnecodeError, stopping: threading.Event) -> None:
        now = self._clock.monotonic()
        self._first_failure = self._first_failure if self._failures else now
        self._failures += 1
        _log.info("preparing %s waits: %s: %s", transition.model, error.code, error.message)
        if isinstance(error, ExhaustedError):
            self._conductor.prepared(transition, states.REFUSED, cause="space", detail=error.message)
        elif (isinstance(error, InvalidError) and self._failures >= _TRIES) or (
            isinstance(error, NotFoundError) and now - self._first_failure > _PATIENCE_S
        ):
            self._conductor.prepared(transition, states.REFUSED, cause=error.code, detail=error.message)
        elif self._clock.now().timestamp() - transition.since > states.DOWNLOAD_LIMIT_S:
            self._conductor.prepared(transition, states.TIMED_OUT, cause="download", detail=error.message)
        else:
            if isinstance(error, UnauthenticatedError):
                self._refused()
            pause = min(0.3 * 2 ** min(self._failures, 10), _LONGEST_PAUSE_S)
            stopping.wait(pause)


def _arms(transition: Transition) -> list[tuple[str, ArmRange]]:
    """Return each version of the target once, with its model; the one on trial comes last."""
    found = {arm.digest: (entry.name, arm) for entry in transition.target.entries for arm in entry.arms}
    return sorted(found.values(), key=lambda one: (one[1].digest == transition.digest, one[1].digest))


def _available_memory() -> int:
    """Return the bytes that a new process may take; very many where the system does not say."""
    try:
        with open(_MEMORY_FILE, encoding="ascii") as lines:  # noqa: PTH123 - no file of ours
            for line in lines:
                if line.startswith("MemAvailable:"):
                    return int(line.split()[1]) << 10
    except OSError:
        pass
    return 1 << 62
