"""Every process of a server answers for what all of them did, and what was counted once is never lost."""

import json

from hypothesis import given
from hypothesis import strategies as st

from onecode_inference.pooled import Pool, by_version, heard, told
from onecode_serving.execution.statistics import Tally, VersionStatistics

RUNS = st.lists(st.tuples(st.integers(1, 3), st.floats(0, 1)), max_size=5)


def view(runs: list[tuple[int, float]], model: str = "press") -> VersionStatistics:
    tally = Tally()
    for rows, seconds in runs:
        tally.ran(rows, seconds, seconds / 2, seconds / 4)
        tally.success += 1
        tally.success_s += seconds
        tally.total_places[rows] += 1
        tally.last_s = max(tally.last_s, seconds)
    tally.waiting = 1
    return tally.view(model, "1", 100)


@given(RUNS, RUNS)
def test_two_processes_read_like_one_that_did_both(
    first: list[tuple[int, float]], second: list[tuple[int, float]]
) -> None:
    pool = Pool()
    for process, runs in ((1, first), (2, second)):
        (arrived,) = heard(json.loads(json.dumps(told(by_version([view(runs)])))))
        assert arrived == view(runs)
        pool.take(process, [arrived])
    whole, one = pool.others(0)["press", "1"], view([*first, *second])
    assert (whole.inference_count, whole.execution_count) == (one.inference_count, one.execution_count)
    assert (whole.success.number, whole.last_inference_ms) == (one.success.number, one.last_inference_ms)
    assert abs(whole.compute_infer.ns - one.compute_infer.ns) <= 2
    assert [batch.size for batch in whole.batches] == [batch.size for batch in one.batches]
    assert [batch.compute_input.number for batch in whole.batches] == [
        batch.compute_input.number for batch in one.batches
    ]
    assert (whole.total.counts, whole.memory_bytes, whole.waiting) == (one.total.counts, 200, 2)


def test_nobody_is_told_its_own_share_and_the_ended_stay() -> None:
    pool = Pool()
    pool.take(1, [view([(1, 0.5)])])
    pool.take(2, [view([(2, 0.5)]), view([(3, 0.5)], "oven")])
    pool.take(3, [view([(3, 0.5)])])
    assert pool.others(1)["press", "1"].inference_count == 5
    pool.end(2)
    pool.end(2)
    left = pool.others(1)
    assert (left["press", "1"].inference_count, left["press", "1"].memory_bytes) == (5, 100)
    assert (left["oven", "1"].inference_count, left["oven", "1"].waiting) == (3, 0)
