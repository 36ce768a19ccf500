"""What a shadow may cost is bounded: in time, in number, in bytes, and when it hangs or fails."""

import threading

import pytest
import serving_models as make
from execution_bench import loaded, rows_of
from hypothesis import given
from hypothesis import strategies as st
from shadow_bench import ShadowBench, bench_of

from onecode_serving.domain.cost import Cost
from onecode_serving.shadow import comparer, worker
from onecode_serving.shadow.comparer import QUEUE, Comparer, Shown
from onecode_serving.shadow.copies import Copy
from onecode_serving.version import ServedVersion


def test_requests_are_answered_while_a_shadow_hangs_and_nothing_more_is_shown() -> None:
    bench = bench_of()
    bench.ask(0, rows_of(0))
    bench.turns.until_quiet()
    assert len(bench.thread) == 1
    for key in range(1, 200):
        bench.ask(key, rows_of(key))
        bench.turns.until_quiet()
        assert key in bench.sink.answers
        bench.plane.tick()
    assert len(bench.thread) == 1
    found = bench.found()
    assert (found.pairs, found.dropped) == (0, 199 - QUEUE)


def test_a_dear_shadow_takes_no_thread_of_the_pool() -> None:
    stable, shadow = loaded(make.plus(1)), loaded(make.plus(2), release=2)
    stable.cost = shadow.cost = Cost(5e-3, 0.0)
    bench = ShadowBench(stable, shadow)
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()
    bench.pool.do()
    bench.turns.until_quiet()
    assert (len(bench.thread), len(bench.pool.work)) == (1, 0)
    bench.ask(2, rows_of(2))
    bench.turns.until_quiet()
    assert len(bench.pool.work) == 1
    bench.pool.do()
    bench.turns.until_quiet()
    assert list(bench.sink.answers) == [1, 2]


def test_one_run_is_never_longer_than_two_milliseconds_or_one_request() -> None:
    shadow = loaded(make.plus(2), release=2)
    shadow.cost = Cost(0.0, 0.9e-3)
    bench = ShadowBench(loaded(make.plus(1)), shadow)
    for key in range(5):
        bench.ask(key, rows_of(key))
    bench.turns.until_quiet()
    runs = 0
    while bench.thread:
        before = bench.found().pairs
        bench.do()
        bench.turns.until_quiet()
        assert bench.found().pairs - before <= 2
        runs += 1
    assert (runs, bench.found().pairs) == (3, 5)


def test_a_request_that_would_take_the_candidate_too_long_is_not_shown() -> None:
    shadow = loaded(make.plus(2), release=2)
    shadow.cost = Cost(0.0, 0.04)
    bench = ShadowBench(loaded(make.plus(1)), shadow)
    bench.ask(1, rows_of(1))
    bench.ask(2, rows_of(1, 2))
    bench.until_nothing_is_shown()
    found = bench.found()
    assert (found.pairs, found.dropped) == (1, 1)


def test_what_waits_is_bounded_in_number_and_the_rest_is_counted() -> None:
    bench = bench_of()
    bench.ask(0, rows_of(0))
    bench.turns.until_quiet()
    (one,) = bench.plane.shadows._comparers
    for key in range(1, 3 * QUEUE):
        bench.ask(key, rows_of(key))
        bench.turns.until_quiet()
    assert one.waiting == QUEUE
    assert bench.found().dropped == 3 * QUEUE - 1 - QUEUE


def test_what_waits_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparer, "QUEUE_BYTES", 1000)
    bench = bench_of()
    for key in range(20):
        bench.ask(key, rows_of(key, key))
        bench.turns.turn()
        bench.turns.turn()
    (one,) = bench.plane.shadows._comparers
    assert one.waiting_bytes == 960
    found = bench.found()
    assert (one.waiting, found.dropped) == (15, 4)


@given(st.lists(st.tuples(st.integers(1, 9), st.sampled_from(["ask", "turn", "run", "tick"])), max_size=60))
def test_every_request_is_a_pair_or_dropped_or_still_there_and_the_bounds_hold(moves: list[tuple[int, str]]) -> None:
    bench = bench_of()
    asked = 0
    for rows, what in moves:
        if what == "ask":
            bench.ask(asked, rows_of(*range(rows)))
            asked += 1
        elif what == "turn":
            bench.turns.turn()
        elif what == "tick":
            bench.plane.tick()
        elif bench.thread:
            bench.do()
        (one,) = bench.plane.shadows._comparers
        assert one.waiting <= QUEUE
        assert len(bench.thread) <= 1
    bench.until_nothing_is_shown()
    found = bench.found()
    assert len(bench.sink.answers) == asked
    assert found.pairs + found.dropped == asked
    (one,) = bench.plane.shadows._comparers
    assert (one.waiting, one.waiting_bytes) == (0, 0)


def test_of_a_failed_run_only_the_guilty_request_counts_as_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparer, "PAUSE_S", 0.0)
    bench = bench_of(make.root_of())
    for key, value in enumerate((4.0, -1.0, 9.0)):
        bench.ask(key, rows_of(value))
    bench.until_nothing_is_shown()
    found = bench.found()
    assert (found.pairs, found.failed, found.non_finite, found.dropped) == (3, 1, 1, 0)
    assert sorted(bench.sink.answers) == [0, 1, 2]


def test_after_a_failure_the_next_run_waits() -> None:
    bench = bench_of(make.root_of())
    for key in range(3):
        bench.ask(key, rows_of(-1))
        bench.turns.until_quiet()
    bench.do()
    bench.turns.until_quiet()
    bench.plane.tick()
    assert bench.thread == []


def test_a_fault_of_our_own_frees_the_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    bench = bench_of()
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()

    def broken(*_: object) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(ServedVersion, "run", broken)
        with pytest.raises(MemoryError):
            bench.do()
    bench.turns.until_quiet()
    bench.ask(2, rows_of(2))
    bench.until_nothing_is_shown()
    found = bench.found()
    assert (found.pairs, found.dropped) == (1, 1)


def test_after_each_run_the_thread_rests_nine_times_as_long() -> None:
    bench = bench_of()
    for key in range(3):
        bench.ask(key, rows_of(key))
        bench.until_nothing_is_shown()
    (view,) = bench.plane.shadows.view().values()
    assert len(bench.rests) == 3
    assert all(rest >= 2e-3 for rest in bench.rests)
    assert sum(bench.rests) >= 9 * view.seconds


def test_the_threads_rest_ends_with_the_server() -> None:
    bench = bench_of()
    bench.plane.shadows.stop()
    assert bench.plane.shadows._stopped.wait(0)
    assert bench.plane.state.lanes[bench.stable.digest].shadowed is None


def test_a_thread_that_hangs_holds_up_neither_requests_nor_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "_PATIENCE_S", 0.01)
    begun, free = threading.Event(), threading.Event()

    def hang(_: Comparer, copy: Copy) -> Shown:
        begun.set()
        free.wait()
        return Shown(copy, [], None, 0.0)

    monkeypatch.setattr(Comparer, "show", hang)
    bench = bench_of()
    shadows = bench.plane.shadows
    shadows.submit = shadows._worker.submit
    bench.ask(0, rows_of(0))
    bench.turns.until_quiet()
    assert begun.wait(10)
    for key in range(1, 100):
        bench.ask(key, rows_of(key))
        bench.turns.until_quiet()
    assert sorted(bench.sink.answers) == list(range(100))
    shadows.stop()
    assert shadows._comparers == ()
    free.set()


def test_the_thread_goes_on_after_a_fault_and_ends_when_it_is_told() -> None:
    done = threading.Event()
    one = worker.Worker()

    def broken() -> None:
        raise MemoryError

    one.submit(broken)
    one.submit(done.set)
    assert done.wait(10)
    one.stop()
    assert one._thread is not None
    assert not one._thread.is_alive()
