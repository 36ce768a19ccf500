"""Models that nobody asks for leave the memory and come back when somebody does; nobody notices but by the wait."""

import pytest
import serving_models as make
from execution_bench import Bench, rows_of
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.errors import NotFoundError, OnecodeError, UnavailableError
from onecode_serving.data_plane import full_route
from onecode_serving.domain.cost import Cost
from onecode_serving.domain.residency import Resident, leaving
from onecode_serving.domain.routing import Arm, Route
from onecode_serving.loading import load_version

residents = st.lists(
    st.builds(
        Resident,
        digest=st.uuids().map(str),
        size=st.integers(1, 100),
        used=st.floats(0, 100),
        pinned=st.booleans(),
        unwanted=st.booleans(),
    ),
    max_size=12,
)


@given(residents, st.integers(1, 300))
def test_what_stays_fits_or_is_pinned_and_nothing_leaves_without_need(all_of: list[Resident], budget: int) -> None:
    gone = leaving(all_of, budget)
    stays = [one for one in all_of if one.digest not in gone]
    assert not any(one.pinned for one in all_of if one.digest in gone)
    assert sum(one.size for one in stays) <= budget or all(one.pinned for one in stays)
    movable = [one for one in all_of if one.digest in gone and not one.unwanted]
    if movable:
        last = next(one for one in movable if one.digest == gone[-1])
        assert sum(one.size for one in stays) + last.size > budget


def test_the_longest_unused_leaves_first() -> None:
    three = [Resident(name, 10, used, pinned=False) for name, used in (("a", 3.0), ("b", 1.0), ("c", 2.0))]
    assert leaving(three, 20) == ["b"]
    assert leaving(three, 10) == ["b", "c"]
    assert leaving(three, 0) == []


def reloadable(bench: Bench, *names: str) -> None:
    routes = {}
    for number, name in enumerate(names):
        built = make.built(name, 1, make.plus(number))
        version = load_version(built.manifest, built.onnx)
        version.cost = Cost(5e-6, 1e-7)
        bench.plane.install(version, lambda onnx=built.onnx: onnx)
        routes[name] = full_route(name, version.digest, 1)
    bench.plane.set_routes(routes)


def asleep(bench: Bench) -> set[str]:
    return {lane.version.model for lane in bench.plane.state.lanes.values() if lane.version.asleep}


def test_a_model_that_was_unloaded_leaves_the_memory_and_a_load_brings_it_back() -> None:
    bench = Bench()
    reloadable(bench, "a")
    bench.ask(1, rows_of(1), "a")
    bench.turns.until_quiet()
    bench.plane.unload("a")
    bench.plane.tick()
    assert asleep(bench) == {"a"}
    assert not bench.plane.model_ready("a", "")
    with pytest.raises(UnavailableError, match="unloaded by request"):
        bench.ask_general(rows_of(1), "a")
    told: list[OnecodeError | None] = []
    bench.plane.load("a", told.append)
    assert told == []
    bench.pool.do()
    bench.turns.until_quiet()
    assert told == [None]
    bench.ask(2, rows_of(1), "a")
    bench.turns.until_quiet()
    assert bench.sink.answers[1] == bench.sink.answers[2]


def test_a_request_to_a_model_that_left_waits_until_it_is_back() -> None:
    bench = Bench()
    bench.plane._resident_bytes = 1
    reloadable(bench, "a", "b")
    bench.plane.tick()
    assert asleep(bench) == {"a", "b"}
    bench.ask(1, rows_of(1), "b")
    bench.turns.until_quiet()
    assert bench.sink.answers == {}
    bench.pool.do()
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [1]
    assert asleep(bench) == {"a"}


def test_a_request_whose_model_cannot_come_back_is_told_why() -> None:
    bench = Bench()
    reloadable(bench, "a")
    lane = next(iter(bench.plane.state.lanes.values()))
    lane.source = lambda: b"not a model"
    lane.version.sleep()
    bench.ask(1, rows_of(1), "a")
    bench.turns.until_quiet()
    bench.pool.do()
    bench.turns.until_quiet()
    assert "could not be loaded again" in bench.sink.errors[1].message
    assert bench.plane.idle()


def test_versions_of_a_rollout_never_leave() -> None:
    bench = Bench()
    bench.plane._resident_bytes = 1
    digests = []
    for release in (1, 2):
        built = make.built("m", release, make.plus(release))
        version = load_version(built.manifest, built.onnx)
        version.cost = Cost(5e-6, 1e-7)
        bench.plane.install(version, lambda onnx=built.onnx: onnx)
        digests.append(version.digest)
    arms = (Arm(0, 100, digests[1], 2, "candidate"), Arm(100, 10_000, digests[0], 1, "stable"))
    bench.plane.set_routes({"m": Route("m", "r", 1, "request", "r", arms)})
    bench.plane.tick()
    assert asleep(bench) == set()


def test_loading_what_answers_needs_no_work_and_what_is_unknown_is_an_error() -> None:
    bench = Bench()
    reloadable(bench, "a")
    told: list[OnecodeError | None] = []
    bench.plane.load("a", told.append)
    bench.plane.load("zzz", told.append)
    assert told[0] is None
    assert isinstance(told[1], NotFoundError)
    assert bench.pool.work == []
