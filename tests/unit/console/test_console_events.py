"""The ring gives each listener what it missed, or says that something is lost."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from onecode_console.domain.events import EventRing, parse_topics, wanted


def names(piece: Any) -> list[str]:
    return [event.name for event in piece.events]


def test_a_listener_hears_what_came_after_its_place() -> None:
    ring = EventRing(first=100)
    ring.append("run:r_1", "a", {})
    place = ring.append("run:r_1", "b", {}).number
    ring.append("run:r_1", "c", {})
    piece = ring.since(place)
    assert (names(piece), piece.place, piece.reset) == (["c"], 102, False)


def test_a_fresh_listener_at_the_newest_place_hears_nothing_yet() -> None:
    ring = EventRing(first=100)
    assert ring.since(ring.newest) == ring.since(99)
    assert not ring.since(ring.newest).reset


def test_a_place_that_fell_out_of_the_ring_is_reset() -> None:
    ring = EventRing(first=1, capacity=3)
    for name in "abcde":
        ring.append("run:r", name, {})
    assert ring.since(1).reset
    assert names(ring.since(2)) == ["c", "d", "e"]


def test_a_place_of_an_earlier_process_is_reset() -> None:
    assert EventRing(first=1_000_000).since(17).reset


def test_a_place_from_the_future_is_reset() -> None:
    assert EventRing(first=1).since(50).reset


def test_after_forgetting_every_listener_looks_again() -> None:
    ring = EventRing(first=1)
    place = ring.append("run:r", "a", {}).number
    ring.forget()
    piece = ring.since(place)
    assert piece.reset
    ring.append("run:r", "b", {})
    assert names(ring.since(piece.place)) == ["b"]


@given(st.lists(st.sampled_from(["tell", "forget", "read"]), max_size=60), st.integers(1, 5))
def test_a_listener_never_misses_a_fact_without_a_reset(moves: Any, capacity: Any) -> None:
    ring = EventRing(first=7, capacity=capacity)
    place, told, heard = ring.newest, [], []
    for move in moves:
        if move == "tell":
            told.append(ring.append("run:r", "x", {}).number)
        elif move == "forget":
            ring.forget()
            told.append(-1)
        else:
            piece = ring.since(place)
            place = piece.place
            if piece.reset:
                told.clear()
            heard = [event.number for event in piece.events]
            assert piece.reset or heard == told
            told.clear()


def test_topics_name_one_thing_or_a_kind() -> None:
    patterns = parse_topics(" run:r_1, rollout:* ,")
    assert patterns == {"run:r_1", "rollout:*"}
    assert wanted("run:r_1", patterns)
    assert wanted("rollout:r_9", patterns)
    assert not wanted("run:r_2", patterns)
    assert not wanted("model:m", patterns)
    assert wanted("model:m", parse_topics(""))
