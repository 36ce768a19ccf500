"""Bring one version from the distribution into memory: verified, tried in a child, loaded, proven on its golden set."""

import logging
from typing import NamedTuple

from onecode_common.errors import ExhaustedError, InvalidError, NotFoundError, OnecodeError
from onecode_delivery.policy import ArmRange, ModelPolicy
from onecode_delivery.store import VerifiedVersion
from onecode_inference.actions import REFUSED, REJECTED, STAGED, VERIFIED, Actions
from onecode_inference.ports import Distribution, Trial
from onecode_serving.data_plane import DataPlane
from onecode_serving.golden import GoldenResult, check_golden, parse_golden
from onecode_serving.loading import load_version

_log = logging.getLogger(__name__)
_TRIES = 2
_PERHAPS_THE_MACHINE = ("timeout", "crash", "memory")
"""Causes that a busy machine can have too: such a version is tried twice."""


class Staged(NamedTuple):
    """How it ended: ``ready`` (it is installed), or ``cause`` (it is bad), or neither (try again later)."""

    ready: bool
    cause: str = ""
    why: str = ""


class Staging:
    """Stages versions, one at a time.

    Args:
        distribution: Where verified bytes come from.
        plane: Where versions are installed.
        trial: Tries a version in a child.
        actions: Is told of each state.
    """

    def __init__(self, distribution: Distribution, plane: DataPlane, trial: Trial, actions: Actions) -> None:
        self._distribution = distribution
        self._plane = plane
        self._trial = trial
        self._actions = actions
        self._golden: dict[str, bytes] = {}

    def stage(self, entry: ModelPolicy, arm: ArmRange, *, proven: bool) -> Staged:
        """Make a version ready to serve; one that was ``proven`` here before needs no new trial."""
        try:
            verified = self._distribution.obtain(entry.name, arm.release, arm.digest)
        except (InvalidError, NotFoundError, ExhaustedError) as error:
            # The version is not judged by this: its bytes never came, or were not the ones that were signed.
            self._actions.reached(entry, arm.digest, REFUSED, cause=error.code, detail=error.message)
            return Staged(ready=False, why=error.message)
        except OnecodeError as error:
            _log.info("model %s release %d waits: %s", entry.name, arm.release, error.message)
            return Staged(ready=False, why=error.message)
        self._actions.reached(entry, arm.digest, VERIFIED)
        if not proven:
            cause, detail = self._try(verified)
            if cause:
                return self._rejected(entry, arm.digest, cause, detail)
        return self._install(entry, verified)

    def golden_again(self, digest: str) -> GoldenResult:
        """Ask the installed version its golden set once more."""
        version = self._plane.version(digest)
        content = self._golden.get(digest)
        if version is None or content is None:
            return GoldenResult(passed=False, mismatches=0, detail="the version is not installed")
        if version.asleep:
            return GoldenResult(passed=True, mismatches=0, detail="")
        return check_golden(version, parse_golden(content))

    def _again(self, entry: ModelPolicy, digest: str, release: int) -> bytes:
        """Return the verified bytes of a version that left the memory."""
        return self._distribution.obtain(entry.name, release, digest).onnx

    def retire_but(self, keep: frozenset[str]) -> None:
        """Let go of every installed version but these."""
        for digest in self._plane.installed() - keep:
            self._plane.retire(digest)
            self._golden.pop(digest, None)

    def _try(self, verified: VerifiedVersion) -> tuple[str, str]:
        for _ in range(_TRIES):
            report = self._trial(verified)
            if report.ok or report.cause not in _PERHAPS_THE_MACHINE:
                break
        return ("", "") if report.ok else (report.cause, report.detail)

    def _install(self, entry: ModelPolicy, verified: VerifiedVersion) -> Staged:
        try:
            version = load_version(verified.manifest, verified.onnx)
            result = check_golden(version, parse_golden(verified.golden))
        except OnecodeError as error:
            return self._rejected(entry, verified.digest, "load", error.message)
        if not result.passed:
            return self._rejected(entry, verified.digest, "golden", result.detail)
        try:
            self._plane.install(version, lambda: self._again(entry, verified.digest, version.release))
        except InvalidError as error:
            return self._rejected(entry, verified.digest, "load", error.message)
        self._golden[verified.digest] = verified.golden
        self._actions.reached(entry, verified.digest, STAGED)
        return Staged(ready=True)

    def _rejected(self, entry: ModelPolicy, digest: str, cause: str, detail: str) -> Staged:
        self._actions.reached(entry, digest, REJECTED, cause=cause, detail=detail)
        return Staged(ready=False, cause=cause, why=detail)


def answering(plane: DataPlane, name: str) -> str:
    """Return the digest of the version that answers for a model now; empty if none does."""
    return plane.serving().get(name, "")
