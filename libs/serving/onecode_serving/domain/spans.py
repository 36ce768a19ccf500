"""Say what is told of one prediction to those who watch traces: names and attributes, and the times of its parts.

Names are those of OpenTelemetry's semantic conventions 1.43 (rpc, http, error) where there are some; the others begin
with ``onecode.``. Nothing of a caller is told: no input, no message of an error, no credential.
"""

from collections.abc import Mapping
from typing import NamedTuple

_NS = 1e9

Attributes = Mapping[str, str | int | bool]


class Face(NamedTuple):
    """How a kind of call came.

    Attributes:
        name: Of its spans.
        attributes: That all of them have.
        status: Name of the attribute that holds the outcome's number or name.
        fine: Its value when all went well.
    """

    name: str
    attributes: Attributes
    status: str
    fine: str | int


GRPC = "/inference.GRPCInferenceService/"


def rpc_face(method: str) -> Face:
    """Return the face of a gRPC method, such as ``ModelInfer``."""
    path = (GRPC + method)[1:]
    return Face(path, {"rpc.system.name": "grpc", "rpc.method": path}, "rpc.response.status_code", "OK")


def http_face(*, versioned: bool) -> Face:
    """Return the face of an inference over REST, whose path may name a version."""
    route = "/v2/models/{model}/versions/{version}/infer" if versioned else "/v2/models/{model}/infer"
    attributes = {"http.request.method": "POST", "http.route": route}
    return Face(f"POST {route}", attributes, "http.response.status_code", 200)


class Version(NamedTuple):
    """Who answered, or would have."""

    model: str
    version: str = ""
    digest: str = ""
    release: int = 0
    role: str = ""


class Times(NamedTuple):
    """Monotonic seconds; a part that was not reached is 0.

    Attributes:
        arrived: The request was whole.
        started: The run that it was in began to join rows.
        infer_from: The model began.
        infer_to: It ended.
        ended: The answer was handed to its connection.
        wall: Unix seconds when the monotonic clock was at 0.
    """

    arrived: float
    started: float
    infer_from: float
    infer_to: float
    ended: float
    wall: float


class Told(NamedTuple):
    """One prediction that was chosen.

    Attributes:
        face: How it came.
        traceparent: As its caller sent it, empty for none.
        version: Who answered.
        times: Of its parts.
        why: It was chosen.
        rows: Of its own.
        batch: Requests of the run that it was in; 0 if it was in none.
        batch_rows: Rows of that run.
        error: Code of the refusal; empty for a good answer.
        status: Of the face, for the refusal.
        fault: The refusal is the server's fault, not its caller's.
    """

    face: Face
    traceparent: str
    version: Version
    times: Times
    why: str
    rows: int = 0
    batch: int = 0
    batch_rows: int = 0
    error: str = ""
    status: str | int = ""
    fault: bool = False


class Span(NamedTuple):
    """One span; times in Unix nanoseconds."""

    name: str
    start_ns: int
    end_ns: int
    attributes: Attributes


def spans_of(told: Told) -> tuple[Span, list[Span]]:
    """Return the span of a prediction, and those of its parts: ``queue``, ``batch``, ``compute``, ``output``.

    A part that was not reached has none, so that where a refused request came to its end can be seen.
    """
    times = told.times
    whole = Span(told.face.name, _ns(times, times.arrived), _ns(times, times.ended), _attributes(told))
    marks = [
        ("queue", times.arrived, times.started),
        ("batch", times.started, times.infer_from),
        ("compute", times.infer_from, times.infer_to),
        ("output", times.infer_to, times.ended),
    ]
    run: Attributes = {"onecode.batch.requests": told.batch, "onecode.batch.rows": told.batch_rows}
    return whole, [
        Span(name, _ns(times, start), _ns(times, end), run if name == "compute" else {})
        for name, start, end in marks
        if told.batch and start and end
    ]


def _attributes(told: Told) -> dict[str, str | int | bool]:
    version = told.version
    known: Attributes = {
        "error.type": told.error,
        "onecode.model.name": version.model,
        "onecode.model.version": version.version,
        "onecode.model.digest": version.digest,
        "onecode.release": version.release,
        "onecode.arm": version.role,
        "onecode.rows": told.rows,
        "onecode.batch.requests": told.batch,
        "onecode.batch.rows": told.batch_rows,
    }
    return {
        **told.face.attributes,
        told.face.status: told.status if told.error else told.face.fine,
        "onecode.sampled_by": told.why,
        **{name: value for name, value in known.items() if value},
    }


def _ns(times: Times, moment: float) -> int:
    return int((times.wall + moment) * _NS)
