"""Dear models run in threads and never hold up cheap ones; what cannot be in time is refused at once."""

import pytest
import serving_models as make
from execution_bench import Bench, loaded, rows_of

from onecode_common.errors import ExhaustedError, UnavailableError
from onecode_serving.domain.cost import Cost
from onecode_serving.version import ServedVersion


def dear(model: str = "m", seconds: float = 5e-3, limit: int = 1) -> ServedVersion:
    """A small model that says it is a slow one."""
    version = loaded(make.plus(1), model)
    version.cost, version.limit = Cost(seconds, 0.0), limit
    return version


def test_a_cheap_model_is_answered_while_a_dear_one_runs() -> None:
    bench = Bench(dear(), loaded(make.plus(2), "cheap"))
    bench.ask(1, rows_of(1))
    bench.ask(2, rows_of(1), "cheap")
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [2]
    bench.pool.do()
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [2, 1]


def test_while_a_batch_runs_in_a_thread_the_next_one_collects() -> None:
    bench = Bench(dear(limit=8))
    bench.ask(0, rows_of(0))
    bench.turns.until_quiet()
    for key in range(1, 6):
        bench.ask(key, rows_of(key))
        bench.turns.until_quiet()
    assert len(bench.pool.work) == 1
    bench.pool.do()
    bench.turns.until_quiet()
    assert len(bench.pool.work) == 1
    bench.pool.do()
    bench.turns.until_quiet()
    assert sorted(bench.sink.answers) == list(range(6))
    assert [one.size for one in bench.plane.statistics("m", "")[0].batches] == [1, 5]


def test_what_cannot_be_answered_in_time_is_refused_at_once_with_when_to_come_again() -> None:
    bench = Bench(dear(seconds=0.5))
    for key in range(3):
        bench.ask(key, rows_of(key), left_s=60)
    with pytest.raises(ExhaustedError, match="longer than the time that is left") as caught:
        bench.ask(9, rows_of(9), left_s=1.0)
    assert caught.value.code == "queue.too_long"
    assert int(caught.value.params["retry_after_ms"]) == 2048


def test_a_request_that_grows_late_in_the_queue_is_refused_and_never_runs() -> None:
    bench = Bench(dear(seconds=1e-3))
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()
    job = bench.ask(2, rows_of(2))
    job.deadline = 0.0
    bench.plane.tick()
    bench.turns.until_quiet()
    assert isinstance(bench.sink.errors[2], UnavailableError)
    bench.pool.do()
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [1]
    assert bench.pool.work == []


def test_more_than_the_largest_queue_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecode_serving.execution.executor.MAX_WAITING", 4)
    bench = Bench(loaded(make.plus(1)))
    next(iter(bench.plane.state.lanes.values())).patience = 4
    for key in range(4):
        bench.ask(key, rows_of(key))
    with pytest.raises(ExhaustedError, match="wait for model 'm'"):
        bench.ask(4, rows_of(4))
    bench.turns.until_quiet()
    assert len(bench.sink.answers) == 4


def test_the_plane_is_idle_only_when_nothing_waits_or_runs() -> None:
    bench = Bench(dear())
    assert bench.plane.idle()
    bench.ask(1, rows_of(1))
    assert not bench.plane.idle()
    bench.turns.until_quiet()
    assert not bench.plane.idle()
    bench.pool.do()
    bench.turns.until_quiet()
    assert bench.plane.idle()


def test_a_model_changes_sides_when_its_price_leaves_the_range_and_not_at_the_border() -> None:
    bench = Bench(loaded(make.plus(1)))
    lane = next(iter(bench.plane.state.lanes.values()))
    lane.cost, lane.pooled = Cost(150e-6, 0.0), False
    lane.learn(1, 150e-6)
    assert not lane.pooled
    for _ in range(200):
        lane.learn(1, 400e-6)
    assert lane.pooled
    lane.cost = Cost(150e-6, 0.0)
    lane.learn(1, 150e-6)
    assert lane.pooled
    for _ in range(200):
        lane.learn(1, 50e-6)
    assert not lane.pooled


def test_a_cheap_model_too_refuses_what_its_queue_would_make_late() -> None:
    version = loaded(make.plus(1))
    version.cost, version.limit = Cost(0.0, 100e-6), 8
    bench = Bench(version)
    refused = 0
    for key in range(400):
        try:
            bench.ask(key, rows_of(key), left_s=0.05)
        except ExhaustedError:
            refused += 1
    # Half of 50 ms at 100 us a row.
    assert 100 <= refused <= 200


def test_after_a_refusal_the_turn_refuses_no_one_who_has_more_time_and_the_next_turn_asks_anew() -> None:
    version = loaded(make.plus(1))
    version.cost, version.limit = Cost(0.0, 100e-6), 8
    bench = Bench(version)
    for key in range(7000):
        bench.ask(key, rows_of(1))
    for _ in range(3):
        with pytest.raises(ExhaustedError):
            bench.ask(-1, rows_of(1), left_s=1.0)
    bench.ask(7000, rows_of(1))
    bench.turns.until_quiet()
    bench.ask(7001, rows_of(1), left_s=1.0)
    bench.turns.until_quiet()
    assert sorted(bench.sink.answers) == list(range(7002))


def test_a_refusal_beside_a_running_batch_is_forgotten_when_the_batch_is_done() -> None:
    bench = Bench(dear(seconds=20.0))
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()
    with pytest.raises(ExhaustedError):
        bench.ask(2, rows_of(1), left_s=50.0)
    bench.pool.do()
    bench.turns.until_quiet()
    bench.ask(3, rows_of(1), left_s=50.0)
    bench.turns.until_quiet()
    bench.pool.do()
    bench.turns.until_quiet()
    assert sorted(bench.sink.answers) == [1, 3]
