"""A remembered answer is the answer, for as long as it was promised, within its bytes."""

import serving_models as make
from execution_bench import Bench, loaded, rows_of
from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.data_plane import full_route
from onecode_serving.domain.options import CacheOptions, ModelOptions
from onecode_serving.execution.answer_cache import AnswerCache

SHAPES = ((1, 4),)


def cached_bench() -> Bench:
    bench = Bench()
    version = loaded(make.plus(1))
    bench.plane.set_options({"m": ModelOptions(cache=CacheOptions())})
    bench.plane.install(version)
    bench.plane.set_routes({"m": full_route("m", version.digest, 1)})
    return bench


def test_an_equal_request_is_answered_without_a_run_and_counted_for_its_arm() -> None:
    bench = cached_bench()
    for key, value in enumerate([1.0, 1.0, 2.0, 1.0]):
        bench.ask(key, rows_of(value))
        bench.turns.until_quiet()
    answers = bench.sink.answers
    assert answers[0] == answers[1] == answers[3] != answers[2]
    seen = bench.plane.statistics("m", "")[0]
    assert (seen.execution_count, seen.success.number) == (2, 4)
    assert (seen.cache_hit.number, seen.cache_miss.number, seen.waiting) == (2, 2, 0)
    assert bench.counters.take(1e12)[0].requests == 4


def test_rows_that_shared_a_run_are_remembered_apart() -> None:
    bench = cached_bench()
    for key in range(4):
        bench.ask(key, rows_of(key))
    bench.turns.until_quiet()
    for key in range(4):
        bench.ask(10 + key, rows_of(key))
    bench.turns.until_quiet()
    assert [bench.sink.answers[10 + key] for key in range(4)] == [bench.sink.answers[key] for key in range(4)]
    assert bench.plane.statistics("m", "")[0].execution_count == 1


def test_a_new_version_answers_for_itself() -> None:
    bench = cached_bench()
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()
    two = loaded(make.plus(2), release=2)
    bench.plane.install(two)
    bench.plane.set_routes({"m": full_route("m", two.digest, 2)})
    bench.ask(2, rows_of(1))
    bench.turns.until_quiet()
    assert bench.sink.answers[1][2] != bench.sink.answers[2][2]


def test_a_remembered_answer_is_forgotten_after_its_time() -> None:
    cache = AnswerCache(CacheOptions(ttl_s=10.0))
    cache.put("k", 4, SHAPES, [b"abcd"], 0.0)
    assert cache.get("k", 9.9) is not None
    assert cache.get("k", 10.0) is None
    assert cache.bytes == 0


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 2000)), max_size=60))
def test_the_cache_never_holds_more_bytes_than_it_may(puts: list[tuple[int, int]]) -> None:
    cache = AnswerCache(CacheOptions(max_bytes=4000))
    for key, size in puts:
        cache.put(key, size, SHAPES, [b"x" * size], 0.0)
        assert cache.bytes <= 4000
        assert cache.bytes == sum(cache.get(other, 0.0).size for other in range(10) if cache.get(other, 0.0))


def test_the_answer_that_was_not_asked_for_longest_goes_first() -> None:
    cache = AnswerCache(CacheOptions(max_bytes=3 * 300))
    for key in "abc":
        cache.put(key, 20, SHAPES, [b"x" * 20], 0.0)
    assert cache.get("a", 0.0) is not None
    cache.put("d", 20, SHAPES, [b"x" * 20], 0.0)
    assert [key for key in "abcd" if cache.get(key, 0.0)] == ["a", "c", "d"]
