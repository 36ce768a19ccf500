"""A prediction becomes one span and those of its parts, each within it, and says nothing of its caller."""

from hypothesis import given
from hypothesis import strategies as st

from onecode_serving.domain.spans import Times, Told, Version, http_face, rpc_face, spans_of

VERSION = Version("press", "3", "sha256:00", 3, "candidate")
WALL = 1_700_000_000.0


@given(st.lists(st.floats(0, 10), min_size=4, max_size=4), st.floats(1, 1e6))
def test_parts_follow_each_other_from_the_arrival_to_the_end(steps: list[float], arrived: float) -> None:
    moments = [arrived]
    for step in steps:
        moments.append(moments[-1] + step)
    told = Told(rpc_face("ModelInfer"), "", VERSION, Times(*moments, WALL), "slow", 2, 3, 5)
    whole, parts = spans_of(told)
    assert [part.name for part in parts] == ["queue", "batch", "compute", "output"]
    edges = [whole.start_ns, *(part.end_ns for part in parts)]
    assert [part.start_ns for part in parts] == edges[:-1]
    assert edges == sorted(edges)
    assert edges[-1] == whole.end_ns


def test_a_request_that_never_ran_has_no_parts() -> None:
    times = Times(5.0, 0.0, 0.0, 0.0, 6.0, WALL)
    face = http_face(versioned=True)
    whole, parts = spans_of(Told(face, "", VERSION, times, "error", 1, error="queue.full", status=429))
    assert parts == []
    assert whole.name == "POST /v2/models/{model}/versions/{version}/infer"
    assert dict(whole.attributes) == {
        "http.request.method": "POST", "http.route": "/v2/models/{model}/versions/{version}/infer",
        "http.response.status_code": 429, "error.type": "queue.full", "onecode.sampled_by": "error",
        "onecode.model.name": "press", "onecode.model.version": "3", "onecode.model.digest": "sha256:00",
        "onecode.release": 3, "onecode.arm": "candidate", "onecode.rows": 1,
    }  # fmt: skip
    assert (whole.end_ns - whole.start_ns) == 1_000_000_000


def test_names_are_those_of_the_conventions() -> None:
    from opentelemetry.semconv._incubating.attributes import rpc_attributes
    from opentelemetry.semconv.attributes import error_attributes, http_attributes

    theirs = {
        value
        for module in (rpc_attributes, error_attributes, http_attributes)
        for name, value in vars(module).items()
        if name.isupper() and isinstance(value, str)
    }
    for face in (rpc_face("ModelInfer"), http_face(versioned=False)):
        told = Told(face, "", Version(""), Times(1.0, 0.0, 0.0, 0.0, 2.0, WALL), "error", error="a", status="b")
        names = {name for name in spans_of(told)[0].attributes if not name.startswith("onecode.")}
        assert names <= theirs
        assert "error.type" in names
