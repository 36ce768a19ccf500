"""Requests of one turn share runs, and each still gets exactly the answer it would have got alone."""

import numpy as np
import pytest
import serving_models as make
from execution_bench import Bench, loaded, request, rows_of
from hypothesis import given, settings
from hypothesis import strategies as st

from onecode_common.errors import InvalidError, OnecodeError, UnavailableError
from onecode_serving.data_plane import DEADLINE, full_route
from onecode_serving.domain.messages import InferenceReply, Tensor, Wanted
from onecode_serving.domain.routing import Arm, Route

DENSE = loaded(make.dense())
PLUS = loaded(make.plus(1))
ROOT = loaded(make.root_of())


def runs(bench: Bench, model: str = "m") -> int:
    return bench.plane.statistics(model, "")[0].execution_count


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=24), st.integers(0, 1000))
def test_each_caller_gets_its_own_rows_whatever_is_beside_them(sizes: list[int], seed: int) -> None:
    bench = Bench(DENSE)
    rng = np.random.default_rng(seed)
    asked = [rng.normal(size=(size, make.FEATURES)).astype(np.float32) for size in sizes]
    for key, rows in enumerate(asked):
        bench.ask(key, rows)
    bench.turns.until_quiet()
    for key, rows in enumerate(asked):
        alone = DENSE.run({"features": rows})
        _, shapes, raws = bench.sink.answers[key]
        assert shapes == tuple(array.shape for array in alone)
        assert raws == [array.tobytes() for array in alone]


def test_all_requests_of_one_turn_are_one_run() -> None:
    bench = Bench(DENSE)
    for key in range(8):
        bench.ask(key, rows_of(key))
    bench.turns.turn()
    assert sorted(bench.sink.answers) == list(range(8))
    assert runs(bench) == 1


def test_a_batch_never_grows_beyond_its_limit() -> None:
    bench = Bench(DENSE)
    limit = bench.plane.state.lanes[DENSE.digest].limit
    for key in range(3 * limit):
        bench.ask(key, rows_of(key))
    bench.turns.until_quiet()
    assert len(bench.sink.answers) == 3 * limit
    assert max(one.size for one in bench.plane.statistics("m", "")[0].batches) <= limit


def test_a_request_larger_than_a_batch_runs_alone() -> None:
    bench = Bench(DENSE)
    many = np.ones((500, make.FEATURES), np.float32)
    bench.ask(1, many)
    bench.ask(2, rows_of(2))
    bench.turns.until_quiet()
    assert bench.sink.answers[1][1][0] == (500,)
    assert bench.sink.answers[2][1][0] == (1,)


def test_planned_and_general_requests_of_one_turn_are_both_answered() -> None:
    bench = Bench(PLUS)
    bench.ask(1, rows_of(1))
    told = bench.ask_general(rows_of(2, 3), request_id="g")
    bench.turns.until_quiet()
    assert np.frombuffer(bench.sink.answers[1][2][0], np.float32).tolist() == [2.0] * make.FEATURES
    reply = told[0]
    assert isinstance(reply, InferenceReply)
    assert reply.request_id == "g"
    assert reply.outputs[0].array.tolist() == [[3.0] * make.FEATURES, [4.0] * make.FEATURES]


def test_only_the_caller_whose_rows_are_not_finite_is_refused() -> None:
    bench = Bench(PLUS)
    bench.ask(1, rows_of(1))
    bench.ask(2, rows_of(float("nan")))
    bench.ask(3, rows_of(3))
    bench.turns.until_quiet()
    assert sorted(bench.sink.answers) == [1, 3]
    assert isinstance(bench.sink.errors[2], InvalidError)
    assert "nan at element 0" in bench.sink.errors[2].message


def test_only_the_caller_whose_answer_breaks_the_contract_fails_and_is_counted() -> None:
    bench = Bench(ROOT)
    for key, value in enumerate([4.0, -1.0, 9.0]):
        bench.ask(key, rows_of(value))
    bench.turns.until_quiet()
    assert sorted(bench.sink.answers) == [0, 2]
    assert bench.sink.errors[1].code == "model.non_finite_output"
    row = bench.counters.take(1e12)[0]
    assert (row.requests, row.errors, row.non_finite) == (3, 1, 1)


def test_rows_of_other_shapes_do_not_share_a_run() -> None:
    bench = Bench(loaded(make.plus(1)), loaded(make.plus(2), "other"))
    bench.ask(1, rows_of(1))
    bench.ask(2, rows_of(1), "other")
    bench.turns.until_quiet()
    assert runs(bench) == runs(bench, "other") == 1
    assert bench.sink.answers[1][2] != bench.sink.answers[2][2]


def test_a_request_that_is_cancelled_or_late_never_reaches_the_model() -> None:
    bench = Bench(PLUS)
    bench.ask(1, rows_of(1)).cancel()
    bench.ask(2, rows_of(2), left_s=-1.0)
    bench.turns.until_quiet()
    assert bench.sink.answers == {}
    assert list(bench.sink.errors) == [2]
    error = bench.sink.errors[2]
    assert isinstance(error, UnavailableError)
    assert error.code == DEADLINE
    assert runs(bench) == 0


def test_a_plan_refuses_bytes_of_another_length() -> None:
    bench = Bench(PLUS)
    bench.ask(1, rows_of(1))
    plan = bench.plane.plan(request(rows_of(1)))
    assert plan is not None
    with pytest.raises(InvalidError, match="expected bytes 16, got 12"):
        bench.plane.submit_planned(plan, b"\0" * 12, 1e12, None, bench.sink, 9, 0.0)


@pytest.mark.parametrize(
    "strange",
    [
        request(rows_of(1), wanted=(Wanted("label", classes=1),)),
        request(rows_of(1)).__class__("m", (Tensor("features", "FP32", (1, 4), values=[1.0, 2.0, 3.0, 4.0]),)),
    ],
)
def test_what_is_not_raw_numbers_in_and_out_has_no_plan(strange: object) -> None:
    assert Bench(DENSE).plane.plan(strange) is None  # type: ignore[arg-type]


def test_a_bad_request_has_no_plan_but_an_error() -> None:
    with pytest.raises(InvalidError, match="expected shape"):
        Bench(DENSE).plane.plan(request(np.ones((1, 3), np.float32)))


def test_a_priority_of_one_runs_before_those_that_came_earlier() -> None:
    single = loaded(make.plus(1))
    single.limit = 1
    bench = Bench(single)
    order: list[str] = []
    for name, parameters in (("a", {}), ("b", {"priority": 2}), ("c", {"priority": 1})):
        bench.plane.submit(request(rows_of(1), parameters=parameters), lambda _, name=name: order.append(name))
    bench.turns.until_quiet()
    assert order == ["c", "b", "a"]


def test_arms_of_one_batch_are_counted_apart() -> None:
    one, two = loaded(make.plus(1)), loaded(make.plus(2), release=2)
    bench = Bench(one)
    bench.plane.install(two)
    arms = (Arm(0, 5000, two.digest, 2, "candidate"), Arm(5000, 10_000, one.digest, 1, "stable"))
    bench.plane.set_routes({"m": Route("m", "r", 3, "key", "salt", arms)})
    plan = bench.plane.plan(request(rows_of(1)))
    assert plan is not None
    assert plan.fixed is None
    for key in range(200):
        bench.plane.submit_planned(plan, rows_of(1).tobytes(), 1e12, f"unit-{key}", bench.sink, key, 0.0)
    bench.turns.until_quiet()
    counted = {row.role: row.requests for row in bench.counters.take(1e12)}
    by_digest = [answer[0] for answer in bench.sink.answers.values()]
    assert counted == {"candidate": by_digest.count(two.digest), "stable": by_digest.count(one.digest)}
    assert min(counted.values()) > 60


def test_a_unit_in_the_request_makes_the_plan_of_one_arm() -> None:
    one, two = loaded(make.plus(1)), loaded(make.plus(2), release=2)
    bench = Bench(one)
    bench.plane.install(two)
    arms = (Arm(0, 5000, two.digest, 2, "candidate"), Arm(5000, 10_000, one.digest, 1, "stable"))
    bench.plane.set_routes({"m": Route("m", "r", 3, "key", "salt", arms)})
    for unit in ("a", "b", "c", "d"):
        asked = request(rows_of(1), parameters={"onecode_unit": unit})
        plan = bench.plane.plan(asked)
        assert plan is not None
        assert plan.fixed is not None
        assert plan.fixed.digest == bench.plane.infer(asked).digest


def test_a_plan_dies_with_the_routes_it_was_made_under() -> None:
    bench = Bench(PLUS)
    plan = bench.plane.plan(request(rows_of(1)))
    assert plan is not None
    assert plan.generation == bench.plane.generation
    bench.plane.set_routes({"m": full_route("m", PLUS.digest, 1)})
    assert plan.generation != bench.plane.generation


def test_requests_before_the_server_listens_are_told_so() -> None:
    from onecode_common.clock import SystemClock
    from onecode_serving.counters import Counters
    from onecode_serving.data_plane import DataPlane

    plane = DataPlane(Counters(60), SystemClock())
    plane.install(PLUS)
    plane.set_routes({"m": full_route("m", PLUS.digest, 1)})
    with pytest.raises(OnecodeError, match="not listening yet"):
        plane.submit(request(rows_of(1)), lambda _: None)


def test_a_fault_of_ours_is_told_to_every_caller_and_the_server_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = Bench(PLUS)
    bench.ask(1, rows_of(1))
    bench.ask(2, rows_of(2))
    with monkeypatch.context() as broken:
        broken.setattr("onecode_serving.execution.run._run", lambda *_: 1 / 0)
        bench.turns.until_quiet()
    assert {error.code for error in bench.sink.errors.values()} == {"serving.fault"}
    assert len(bench.sink.errors) == 2
    bench.ask(3, rows_of(3))
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [3]
    assert bench.plane.idle()
