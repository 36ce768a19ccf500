"""What one process serves arrives in another unchanged, and what it counts is counted once."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode.edge.v1 import edge_pb2
from onecode_inference.crew import _grown
from onecode_inference.domain.mirror import routes_of, to_document
from onecode_serving.counters import CounterKey, Counters
from onecode_serving.domain.routing import Arm, Route

ROUTE = Route(
    "press", "r", 3, "key", "salt", (Arm(0, 500, "sha256:b", 2, "candidate"), Arm(500, 10_000, "sha256:a", 1, "stable"))
)
KEY = CounterKey("press", "r", 3, "sha256:a", "stable")


def test_a_state_survives_the_wire() -> None:
    state = to_document(
        routes={"press": ROUTE}, installed={"b", "a"}, missing={"x": "why"}, hidden=(), reason=None, interval_s=60
    )
    again = json.loads(json.dumps(state))
    assert again == state
    assert routes_of(again) == {"press": ROUTE}


@given(st.lists(st.lists(st.tuples(st.floats(0, 3), st.booleans(), st.booleans()), max_size=8), max_size=8))
def test_whatever_is_asked_when_the_sum_is_what_was_answered(rounds: list[list[tuple[float, bool, bool]]]) -> None:
    member, first = Counters(60), Counters(60)
    before: dict[tuple[str, int], edge_pb2.Counter] = {}
    taken: list[edge_pb2.Counter] = []
    total = bad = 0
    for number, answers in enumerate(rounds):
        now = 1000.0 + 40 * number
        for seconds, failed, assigned in answers:
            member.record(KEY, now, seconds, bad=failed, assigned=assigned)
            total += assigned
            bad += assigned and failed
        member.settle(taken)
        taken = member.take(now)
        for row in taken:
            key = (row.digest, row.interval_start)
            first.add(_grown(row, before.get(key)))
            before[key] = row
    rows = first.take(0)
    assert sum(row.requests for row in rows) == total == first.totals("sha256:a").requests
    assert sum(row.errors for row in rows) == bad
    assert sum(sum(row.latency.counts) for row in rows) == total


def test_counts_of_another_length_are_no_counts() -> None:
    row = edge_pb2.Counter(latency=edge_pb2.LatencyHistogram(counts=[1]))
    with pytest.raises(ValueError, match="longer"):
        _grown(row, edge_pb2.Counter(latency=edge_pb2.LatencyHistogram(counts=[1, 2])))
