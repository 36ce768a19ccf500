"""Of each run those requests are told that are worth it, with what became of them and how far they came."""

from datetime import datetime
from typing import Any

import numpy as np
import pytest
import serving_models as make
from execution_bench import Catcher, ManualPool, ManualTurns

from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_serving.counters import Counters
from onecode_serving.data_plane import full_route
from onecode_serving.domain.messages import InferenceRequest, Tensor
from onecode_serving.domain.sampling import Share
from onecode_serving.domain.spans import Told, rpc_face, spans_of
from onecode_serving.execution.job import Job
from onecode_serving.loading import load_version
from onecode_serving.tracing.origin import Origin
from onecode_serving.tracing.plane import TracedPlane
from onecode_serving.tracing.recorder import Recorder

ASKED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
ROW = np.ones((1, make.FEATURES), np.float32).tobytes()


class SteeredClock:
    """The system's clock, ahead of itself by as much as the test says."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return self._system.now()

    def monotonic(self) -> float:
        return self._system.monotonic() + self.ahead_s


class World:
    """A plane that a recorder follows; ``told`` is what it chose."""

    def __init__(self, model: bytes, share: Share) -> None:
        self.told: list[Told] = []
        self.room = True
        self.clock = SteeredClock()
        self.recorder = Recorder(self, share, self.clock, lambda: 0.5)
        self.plane = TracedPlane(self.recorder, Counters(), self.clock)
        built = make.built("m", 1, model)
        version = load_version(built.manifest, built.onnx)
        self.plane.install(version)
        self.plane.set_routes({"m": full_route("m", version.digest, 1)})
        self.lane = self.plane.state.lanes[version.digest]
        self.turns = ManualTurns()
        self.plane.attach(self.turns, ManualPool(), 1)
        self.caught = Catcher()
        request = InferenceRequest("m", (Tensor("features", "FP32", (1, make.FEATURES), raw=ROW),))
        plan = self.plane.plan(request)
        assert plan is not None
        self.plan = plan
        self.origin = Origin(self.recorder, rpc_face("ModelInfer"), lambda error: error.kind.upper())
        self.number = 0

    def offer(self, told: Told) -> bool:
        if self.room:
            self.told.append(told)
        return self.room

    def ask(self, traceparent: str = "", raw: bytes = ROW, priority: int = 0, within_s: float = 1000.0) -> Job:
        """Put a request in line as a face does."""
        self.recorder.current = self.origin.carrying(traceparent) if traceparent else self.origin
        self.number += 1
        now = self.clock.monotonic()
        self.plan.priority = priority
        job = self.plane.submit_planned(self.plan, raw, now + within_s, None, self.caught, self.number, now)
        self.recorder.current = None
        return job

    def ask_and_run(self, count: int, traceparent: str = "") -> None:
        for _ in range(count):
            self.ask(traceparent)
        self.turns.until_quiet()


@pytest.fixture
def world() -> World:
    return World(make.plus(1.0), Share(random=0.0, per_s=1000))


def test_of_a_run_that_many_share_only_who_asks_is_told(world: World) -> None:
    for number in range(10):
        world.ask(ASKED if number in (3, 7) else "")
    world.turns.until_quiet()
    assert len(world.caught.answers) == 10
    assert [(one.why, one.batch, one.batch_rows, one.rows) for one in world.told] == [("caller", 10, 10, 1)] * 2
    assert {one.traceparent for one in world.told} == {ASKED}


def test_what_nobody_passed_on_is_followed_by_nobody(world: World) -> None:
    world.ask(ASKED).trace = None
    world.turns.until_quiet()
    assert not world.told


def test_a_deadline_that_passes_in_line_is_told_without_a_run(world: World) -> None:
    world.ask(within_s=-1.0)
    world.turns.until_quiet()
    (told,) = world.told
    assert (told.why, told.error, told.fault, told.batch) == ("error", "deadline.exceeded", True, 0)
    assert told.version.model == "m"
    assert spans_of(told)[1] == []


@pytest.mark.parametrize("given_up", [False, True])
def test_a_request_that_was_late_when_its_run_ended_is_told_once(
    world: World, monkeypatch: pytest.MonkeyPatch, *, given_up: bool
) -> None:
    job = world.ask(ASKED, within_s=5.0)
    execute = world.lane.version.execute

    def slow(*what: Any) -> Any:
        if given_up:
            job.cancel()
        world.clock.ahead_s = 10.0
        return execute(*what)

    monkeypatch.setattr(world.lane.version, "execute", slow)
    world.turns.until_quiet()
    (told,) = world.told
    assert (told.error, told.batch) == ("deadline.exceeded", 1)
    assert bool(world.caught.errors) is not given_up, "its caller is told once as well"


def test_a_run_that_fails_is_told_for_the_guilty_one_alone() -> None:
    world = World(make.root_of(), Share(random=0.0, per_s=1000))
    bad = np.full((1, make.FEATURES), -1.0, np.float32).tobytes()
    for raw in (ROW, bad, ROW):
        world.ask(raw=raw)
    world.turns.until_quiet()
    (told,) = world.told
    assert (told.why, told.batch, told.fault) == ("error", 1, True)
    assert len(world.caught.answers) == 2
    assert [span.name for span in spans_of(told)[1]] == ["queue", "batch", "compute", "output"]


def test_the_oldest_is_seen_behind_one_that_goes_first(world: World) -> None:
    world.ask_and_run(300)
    world.clock.ahead_s = 1.5
    world.ask_and_run(1)
    old = world.ask(priority=2)
    old.arrived -= 20.0
    world.ask(priority=1)
    world.turns.until_quiet()
    assert old.arrived in {one.times.arrived for one in world.told if one.why == "slow"}


def test_no_room_is_counted_and_harms_nobody(world: World) -> None:
    world.room = False
    world.ask_and_run(4, ASKED)
    assert len(world.caught.answers) == 4
    assert (world.recorder.counts.chosen, world.recorder.counts.dropped) == (0, 4)


def test_a_refusal_before_the_line_is_told_once(world: World) -> None:
    world.recorder.current = world.origin
    world.recorder.refused(OnecodeError("it broke", code="a.fault"))
    world.recorder.refused(OnecodeError("it broke again", code="b.fault"))
    assert [(one.error, one.status, one.batch) for one in world.told] == [("a.fault", "INTERNAL", 0)]
