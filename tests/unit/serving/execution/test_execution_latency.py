"""The durations of a run fall into the same buckets together as each alone."""

from collections import Counter

from hypothesis import example, given
from hypothesis import strategies as st

from onecode_serving.counters import LATENCY_EDGES_US
from onecode_serving.execution.latency import place_of, spread

durations = st.one_of(
    st.floats(0, 10),
    st.sampled_from(LATENCY_EDGES_US).map(lambda edge: edge / 1e6),
    st.sampled_from(LATENCY_EDGES_US).map(lambda edge: (edge - 0.001) / 1e6),
)


@given(st.lists(durations, max_size=40), st.sampled_from([0.0, 1.0, 86_400.0 * 365]))
@example([0.0], 0.0)
def test_every_duration_is_counted_once_where_it_belongs(lengths: list[float], began: float) -> None:
    ended = began + 10
    moments = sorted(ended - length for length in lengths)
    found: Counter[int] = Counter()
    histogram = [0] * (len(LATENCY_EDGES_US) + 1)
    for place, many in spread(moments, ended, histogram):
        found[place] += many
    assert found == Counter({place: many for place, many in enumerate(histogram) if many})
    # At an edge the two ways of rounding may differ by the last bit of the clock.
    near = Counter(place_of(ended - moment + nudge) for moment in moments for nudge in (-2e-8, 0.0, 2e-8))
    assert found.total() == len(lengths)
    assert set(found) <= set(near)
    exact = Counter(place_of(ended - moment) for moment in moments)
    assert sum((found - exact).values()) <= sum(
        place_of(ended - moment - 2e-8) != place_of(ended - moment + 2e-8) for moment in moments
    )


def test_an_edge_belongs_to_the_bucket_above_it() -> None:
    assert place_of(19.9e-6) == 0
    assert [place_of(edge / 1e6 + 1e-9) for edge in LATENCY_EDGES_US] == list(range(1, len(LATENCY_EDGES_US) + 1))
