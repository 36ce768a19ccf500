"""Counters are exact, replace instead of adding, and never shrink."""

import threading

from onecode.edge.v1 import edge_pb2
from onecode_serving.counters import LATENCY_EDGES_US, MAX_ROWS, CounterKey, Counters, Totals
from onecode_serving.domain.comparison import Findings, Pair

STABLE = CounterKey("m", "r_1", 3, "sha256:" + "1" * 64, "stable")
CANDIDATE = STABLE._replace(role="candidate", digest="sha256:" + "2" * 64)


def only(rows: list[edge_pb2.Counter]) -> edge_pb2.Counter:
    assert len(rows) == 1
    return rows[0]


def test_many_threads_lose_nothing() -> None:
    counters = Counters(60)

    def work(number: int) -> None:
        for turn in range(2000):
            key = STABLE if number % 2 else CANDIDATE
            counters.record(key, 120.0 + turn % 60, 0.001, bad=turn % 10 == 0, non_finite=turn % 20 == 0)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = {row.role: row for row in counters.take(130)}
    for row in rows.values():
        assert (row.requests, row.errors, row.non_finite, row.interval_start) == (8000, 800, 400, 120)
        assert sum(row.latency.counts) == 8000
    assert set(rows) == {"stable", "candidate"}


def test_totals_of_an_interval_grow_and_are_the_same_when_taken_twice() -> None:
    counters = Counters(10)
    counters.record(STABLE, 100, 0.001)
    first = only(counters.take(101))
    assert only(counters.take(101)) == first
    counters.record(STABLE, 109, 0.001)
    assert only(counters.take(109)).requests == 2


def test_what_arrived_is_not_taken_again_until_it_grows() -> None:
    counters = Counters(10)
    counters.record(STABLE, 100, 0.001)
    counters.settle(counters.take(100))
    assert counters.take(100) == []
    counters.record(STABLE, 101, 0.001)
    assert only(counters.take(102)).requests == 2


def test_growth_between_taking_and_arriving_is_taken_again() -> None:
    counters = Counters(10)
    counters.record(STABLE, 100, 0.001)
    taken = counters.take(100)
    counters.record(STABLE, 100, 0.001)
    counters.settle(taken)
    assert only(counters.take(100)).requests == 2


def test_a_closed_interval_that_arrived_is_never_opened_again() -> None:
    """A clock that is set back must not replace a total by a smaller one."""
    counters = Counters(10)
    counters.record(STABLE, 100, 0.001)
    counters.settle(counters.take(100))
    assert counters.take(115) == []
    counters.record(STABLE, 103, 0.001)
    assert only(counters.take(115)).interval_start == 110


def test_a_request_without_its_key_is_counted_as_unassigned_and_in_no_arm() -> None:
    counters = Counters(10)
    counters.record(STABLE, 100, 0.001, bad=True, assigned=False)
    row = only(counters.take(100))
    assert (row.requests, row.errors, row.unassigned) == (0, 0, 1)
    assert counters.totals(STABLE.digest).requests == 0


def test_latency_falls_into_the_bucket_whose_edge_is_not_below_it() -> None:
    counters = Counters(10)
    for microseconds in (1, 20, 21, 10_000_000):
        counters.record(STABLE, 100, microseconds / 1e6)
    counts = only(counters.take(100)).latency.counts
    assert (counts[0], counts[1], counts[-1], len(counts)) == (2, 1, 1, len(LATENCY_EDGES_US) + 1)


def test_another_interval_length_opens_rows_of_its_own() -> None:
    counters = Counters(60)
    counters.record(STABLE, 119, 0.001)
    counters.set_interval(5)
    counters.record(STABLE, 119, 0.001)
    assert {(row.interval_start, row.interval_seconds) for row in counters.take(119)} == {(60, 60), (115, 5)}


def test_rows_that_nobody_takes_are_bounded_and_the_oldest_go_first() -> None:
    counters = Counters(1)
    for second in range(MAX_ROWS + 10):
        counters.record(STABLE, second, 0.001)
    rows = counters.take(MAX_ROWS + 10)
    assert (len(rows), min(row.interval_start for row in rows)) == (MAX_ROWS, 10)


def test_totals_by_version_go_over_all_intervals_and_rollouts() -> None:
    counters = Counters(10)
    counters.record(STABLE, 100, 0.001, bad=True)
    counters.record(STABLE._replace(rollout="r_2"), 200, 0.001)
    totals = counters.totals(STABLE.digest)
    assert (totals.requests, totals.errors) == (2, 1)


SHADOW = CounterKey("m", "r", 1, "sha256:" + "2" * 64, "shadow")


def test_what_shadows_find_is_reported_apart_and_again_until_it_arrived() -> None:
    counters = Counters(60)
    found = Findings(failed=1, non_finite=1, dropped=5, largest=0.5)
    found.compared([Pair(same=False, difference=0.25)])
    counters.record_shadow(SHADOW, 120, found)
    (row,) = counters.take(130)
    assert (row.role, row.requests, row.errors, row.non_finite) == ("shadow", 2, 1, 1)
    assert (row.different, row.dropped, row.largest_difference) == (1, 5, 0.5)
    counters.settle([row])
    assert counters.take(130) == []
    counters.record_shadow(SHADOW, 121, Findings(dropped=1))
    (grown,) = counters.take(130)
    assert (grown.requests, grown.dropped) == (2, 6)
    assert counters.totals(SHADOW.digest) == Totals()


def test_what_another_process_found_in_shadow_adds_up_and_is_no_version_s_history() -> None:
    counters, other = Counters(60), Counters(60)
    other.record_shadow(SHADOW, 120, Findings(same=3, largest=0.75, dropped=1))
    counters.record_shadow(SHADOW, 120, Findings(same=2, largest=0.25))
    for row in other.take(130):
        counters.add(row)
    (whole,) = counters.take(130)
    assert (whole.requests, whole.dropped, whole.largest_difference) == (5, 1, 0.75)
    assert counters.totals(SHADOW.digest) == Totals()
