"""A shadow runs in spare time only, one run at a time, and nobody's answer, count or limit knows of it."""

import numpy as np
import pytest
import serving_models as make
from execution_bench import loaded, rows_of
from onnx import TensorProto, helper
from onnxruntime import InferenceSession
from shadow_bench import ShadowBench, bench_of

from onecode_serving.data_plane import full_route
from onecode_serving.domain.contract import Contract
from onecode_serving.domain.cost import Cost
from onecode_serving.domain.messages import InferenceRequest, Tensor
from onecode_serving.domain.options import CacheOptions, ModelOptions, WindowOptions
from onecode_serving.session import contract_of, open_session
from onecode_serving.shadow.copies import size_of
from onecode_serving.version import ServedVersion


def test_what_was_answered_is_shown_to_the_candidate_and_compared() -> None:
    bench = bench_of()
    bench.ask(1, rows_of(1))
    bench.ask(2, rows_of(1e6))
    bench.until_nothing_is_shown()
    found = bench.found()
    assert (found.same, found.different, found.failed, found.dropped) == (1, 1, 0, 0)
    assert found.largest == pytest.approx(1 / 3)


def test_answers_are_the_same_bits_with_and_without_a_shadow() -> None:
    answers = []
    for shadow in (True, False):
        bench = bench_of(make.root_of())
        if not shadow:
            bench.set_shadow(None)
        for key in range(40):
            bench.ask(key, rows_of(*[0.1 * (key - index) for index in range(1 + key % 3)]))
            if key % 5 == 4:
                bench.until_nothing_is_shown()
        answers.append((bench.sink.answers, bench.sink.errors))
    assert answers[0] == answers[1]
    assert len(answers[0][0]) == 40


def test_a_general_request_is_compared_as_a_planned_one() -> None:
    bench = bench_of()
    told = bench.ask_general(rows_of(1, 2))
    bench.until_nothing_is_shown()
    assert len(told) == 1
    assert bench.found().different == 1


def test_a_run_of_a_shadow_begins_only_when_nothing_waits_or_runs() -> None:
    dear = loaded(make.plus(1), "dear")
    dear.cost, dear.limit = Cost(5e-3, 0.0), 1
    bench = ShadowBench(loaded(make.plus(1)), loaded(make.plus(2), release=2), dear)
    bench.ask(1, rows_of(1))
    bench.ask(2, rows_of(1), "dear")
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [1]
    assert bench.thread == []
    bench.plane.tick()
    assert bench.thread == []
    bench.pool.do()
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [1, 2]
    bench.plane.tick()
    assert len(bench.thread) == 1


def test_a_request_that_came_in_the_same_turn_goes_before_the_shadow() -> None:
    bench = bench_of()
    bench.ask(1, rows_of(1))
    bench.turns.turn()
    bench.ask(2, rows_of(2))
    bench.turns.turn()
    assert sorted(bench.sink.answers) == [1, 2]
    assert bench.thread == []


def test_answers_from_the_cache_are_no_runs_and_are_not_shown() -> None:
    bench = bench_of()
    bench.plane.set_options({"m": ModelOptions(cache=CacheOptions())})
    bench.plane.install(bench.stable)
    bench.set_shadow(bench.shadow)
    for key in range(5):
        bench.ask(key, rows_of(1))
        bench.until_nothing_is_shown()
    assert bench.found().pairs == 1


def test_rows_of_a_sequence_are_shown_as_the_window_that_the_model_saw() -> None:
    content = make.serialized(
        [helper.make_node("ReduceSum", ["features", "axes"], ["prediction"], keepdims=0)],
        [make.value("features", TensorProto.FLOAT, ["N", 3, make.FEATURES])],
        [make.value("prediction", TensorProto.FLOAT, ["N", make.FEATURES])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    bench = bench_of()
    bench.plane.set_options({"w": ModelOptions(window=WindowOptions("features", 3))})
    stable, shadow = (ServedVersion("w", n, f"sha256:{n:064}", *_opened(content)) for n in (1, 2))
    for version in (stable, shadow):
        version.cost = Cost(10e-6, 0.0)
        bench.plane.install(version)
    bench.plane.set_routes({"w": full_route("w", stable.digest, 1)})
    bench.model = "w"
    bench.set_shadow(shadow)
    bench.ask_general(rows_of(1, 2, 3), "w", parameters={"sequence_id": "s", "sequence_start": True})
    bench.until_nothing_is_shown()
    for value in (4, 5, 6):
        bench.ask_general(rows_of(value), "w", parameters={"sequence_id": "s"})
        bench.until_nothing_is_shown()
    found = bench.found()
    assert (found.same, found.different, found.failed) == (4, 0, 0)
    assert bench.plane.state.lanes[stable.digest].windows is not None


def _opened(content: bytes) -> tuple[Contract, InferenceSession]:
    session = open_session(content)
    return contract_of(session), session


def test_requests_with_a_priority_are_shown_like_others_and_go_before_any_shadow() -> None:
    bench = bench_of()
    told = bench.ask_general(rows_of(1), parameters={"priority": 1})
    bench.until_nothing_is_shown()
    assert len(told) == 1
    assert bench.found().pairs == 1


def test_no_arm_no_statistics_and_no_log_know_of_a_shadow() -> None:
    bench = bench_of(make.root_of())
    for key in range(10):
        bench.ask(key, rows_of(key))
        bench.until_nothing_is_shown()
    stable, shadow = bench.plane.statistics("m", "")
    assert (stable.success.number, shadow.success.number) == (10, 0)
    assert (shadow.execution_count, shadow.inference_count, shadow.fail.number) == (0, 0, 0)
    bench.plane.tick()
    rows = {row.role: row for row in bench.counters.take(0)}
    assert set(rows) == {"stable", "shadow"}
    assert (rows["stable"].requests, rows["stable"].errors) == (10, 0)
    assert (rows["shadow"].requests, rows["shadow"].digest) == (10, bench.shadow.digest)
    assert bench.counters.totals(bench.shadow.digest).requests == 0
    assert bench.plane.routes()["m"].digests == {bench.stable.digest}


def test_without_a_shadow_a_lane_hands_on_nothing() -> None:
    bench = bench_of()
    lane = bench.plane.state.lanes[bench.stable.digest]
    assert lane.shadowed is not None
    bench.ask(1, rows_of(1))
    bench.turns.turn()
    bench.set_shadow(None)
    assert lane.shadowed is None
    bench.until_nothing_is_shown()
    bench.plane.tick()
    assert bench.plane.shadows.view()["m"].findings.dropped == 1
    assert bench.plane.shadows._comparers == ()


def test_another_candidate_is_never_shown_what_was_kept_for_the_last_one() -> None:
    bench = bench_of()
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()
    bench.ask(2, rows_of(2))
    bench.turns.until_quiet()
    third = loaded(make.plus(1), release=3)
    bench.plane.install(third)
    bench.set_shadow(third)
    bench.until_nothing_is_shown()
    bench.plane.tick()
    bench.ask(3, rows_of(3))
    bench.until_nothing_is_shown()
    bench.plane.tick()
    rows = {row.digest: row for row in bench.counters.take(0) if row.role == "shadow"}
    assert (rows[bench.shadow.digest].requests, rows[bench.shadow.digest].dropped) == (1, 1)
    assert (rows[third.digest].requests, rows[third.digest].different) == (1, 0)


def test_a_shadow_stays_in_memory_and_cannot_be_retired() -> None:
    bench = bench_of()
    for version in (bench.stable, bench.shadow):
        bench.plane.install(version, lambda: b"")
    pinned = {one.digest for one in bench.plane.residents() if one.pinned}
    assert {bench.stable.digest, bench.shadow.digest} <= pinned
    with pytest.raises(Exception, match="change the route first"):
        bench.plane.retire(bench.shadow.digest)


def test_a_candidate_with_another_contract_is_not_shown_anything() -> None:
    bench = ShadowBench(loaded(make.plus(1)), loaded(make.many_types(), release=2))
    bench.ask(1, rows_of(1))
    bench.until_nothing_is_shown()
    bench.plane.tick()
    assert "m" not in bench.plane.shadows.view()
    assert list(bench.sink.answers) == [1]


def test_memory_that_a_caller_writes_to_after_its_answer_is_not_what_the_shadow_sees() -> None:
    bench = bench_of(make.root_of())
    memory = bytearray(rows_of(4).tobytes())
    told: list[object] = []
    tensor = Tensor("features", "FP32", (1, make.FEATURES), raw=memoryview(memory))
    bench.plane.submit(InferenceRequest("m", (tensor,)), told.append)
    bench.turns.until_quiet()
    assert len(told) == 1
    memory[:] = rows_of(-4).tobytes()
    bench.until_nothing_is_shown()
    assert (bench.found().pairs, bench.found().failed) == (1, 0)


def test_texts_count_by_their_letters() -> None:
    words = np.array([["a" * 1000, "b"]], object)
    assert size_of([], [{"s": words}], []) >= 1001
    assert size_of([b"12"], [], [np.zeros(3, np.float32)]) == 14
