"""A server that nobody told what to serve is ready only if somebody could have told it."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onecode_common.clock import SystemClock
from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, UnavailableError
from onecode_delivery.policy import ArmRange, ModelPolicy, Policy
from onecode_delivery.store import VerifiedVersion
from onecode_inference.actions import Actions
from onecode_inference.reconcile import Reconciler
from onecode_inference.staging import Staging
from onecode_inference.state import StateFile
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.trial import TrialReport

AWAY = UnavailableError("nobody answers", code="sync.unreachable")
NOTHING = NotFoundError("nothing is signed", code="sync.no_policy")
FORGED = InvalidError("not the trusted key", code="sync.signature")
RUNNING = threading.Event()


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


class Registry:
    """Says what a test wants it to say; has no version's bytes."""

    def __init__(self) -> None:
        self.says: Policy | OnecodeError = AWAY
        self.kept: Policy | None = None

    def refresh(self) -> Policy:
        if isinstance(self.says, OnecodeError):
            raise self.says
        return self.says

    def accepted(self) -> Policy | None:
        return self.kept

    def obtain(self, model: str, release: int, digest: str) -> VerifiedVersion:
        message = f"{model} {release} {digest} is not here"
        raise UnavailableError(message)

    def keep(self, digests: frozenset[str]) -> None:
        """Keep what it is told."""


def _no_trial(_: VerifiedVersion) -> TrialReport:
    message = "no version came, so none is tried"
    raise AssertionError(message)


class Server:
    """The part of the inference server that follows policies."""

    def __init__(self, folder: Path) -> None:
        self.clock, self.registry = Hand(), Registry()
        self.plane = DataPlane(Counters(), SystemClock())
        actions = Actions(lambda _: None)
        staging = Staging(self.registry, self.plane, _no_trial, actions)
        state = StateFile(folder / "state.json")
        self.reconciler = Reconciler(self.registry, self.plane, staging, actions, state, self.clock, lambda _: None)

    def after(self, says: Policy | OnecodeError) -> str | None:
        """Return why it is not ready once the registry said this, or None."""
        self.registry.says = says
        self.clock.seconds += 60
        self.reconciler.turn(RUNNING)
        return self.plane.ready()


@pytest.fixture
def server(tmp_path: Path) -> Server:
    return Server(tmp_path)


def policy(*models: ModelPolicy) -> Policy:
    return Policy("default", "cloud", 1, datetime(2026, 11, 1, tzinfo=UTC), 15, 60, 3600, models)


def test_a_fresh_server_is_not_ready_while_the_registry_is_away(server: Server) -> None:
    assert server.after(AWAY) == "no policy yet: sync.unreachable"
    assert server.after(AWAY) == "no policy yet: sync.unreachable"


def test_nor_while_what_comes_is_not_to_be_believed(server: Server) -> None:
    assert server.after(FORGED) == "no policy yet: sync.signature"


def test_it_is_ready_once_the_registry_says_that_nothing_is_signed(server: Server) -> None:
    assert server.after(NOTHING) is None
    assert server.after(AWAY) == "no policy yet: sync.unreachable"
    assert server.after(NOTHING) is None
    assert server.reconciler.trouble == ""


def test_it_is_ready_once_there_is_a_policy_and_stays_so_when_the_registry_goes(server: Server) -> None:
    server.after(AWAY)
    assert server.after(policy()) is None
    assert server.after(AWAY) is None
    assert server.reconciler.trouble == "sync.unreachable"


def test_with_a_policy_it_is_the_missing_model_that_it_waits_for(server: Server) -> None:
    arm = ArmRange(0, 10_000, 1, "sha256:" + "a" * 64, "stable")
    entry = ModelPolicy("m", "r_1", 1, "request", "r_1", (arm,), "active", 10.0, (), 1, hold=False)
    server.after(AWAY)
    assert str(server.after(policy(entry))).startswith("model m waits: ")


def test_a_server_that_was_told_before_needs_no_registry(server: Server) -> None:
    server.registry.kept = policy()
    assert server.after(AWAY) is None
