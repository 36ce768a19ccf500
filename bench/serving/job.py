"""Say what a load process shall do and what it saw, in plain values that travel between processes."""

from dataclasses import dataclass, field

from bench.serving.machine import Spent
from bench.serving.messages import infer_request, rest_request
from bench.serving.models import Model

GRPC, STREAM, REST, JSON = "grpc", "stream", "rest", "json"
UNITS = 8

Answers = dict[str, list[tuple[bytes, ...]]]
"""Raw outputs by version, one entry for each row that is sent in turn."""


@dataclass(frozen=True)
class Job:
    """A closed loop: each connection has one request in flight.

    Attributes:
        face: ``grpc``, ``stream``, ``rest`` or ``json``.
        port: On loopback.
        requests: Whole messages, by unit and then by row; a connection keeps to one unit.
        answers: What may come back.
        token: Bearer token; empty sends none.
        authority_file: Certificate of the server's authority; empty speaks plain text.
        connections: How many.
        seconds: How long, after the warm-up.
        least: Go on until so many answers came, however long it takes.
        last: Go on until this version has answered; empty waits for none.
        trace: Keep each answer's times and version.
        server_pid: Whose CPU time counts as the server's.
        root_pid: Whose descendants are this bench.
    """

    face: str
    port: int
    requests: list[list[bytes]]
    answers: Answers
    token: str = ""
    authority_file: str = ""
    connections: int = 32
    seconds: float = 1.5
    warm_s: float = 0.3
    least: int = 0
    last: str = ""
    trace: bool = False
    server_pid: int = 0
    root_pid: int = 0


@dataclass
class Seen:
    """What a load process saw.

    Attributes:
        answers: Checked and right.
        failures: Refusals, wrong answers and lost connections, with the first reasons.
        seconds: Measured.
        latencies: Seconds, in the order of answers.
        events: Sent, received and version of each answer, if asked for.
        spent: CPU seconds of the server, the bench and the machine meanwhile.
        own_cpu_s: CPU seconds of the load process.
    """

    answers: int = 0
    failures: int = 0
    reasons: list[str] = field(default_factory=list)
    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    events: list[tuple[float, float, str]] = field(default_factory=list)
    spent: Spent = field(default_factory=lambda: Spent(0.0, 0.0, 0.0))
    own_cpu_s: float = 0.0

    def failed(self, reason: str) -> None:
        """Count a failure and keep the first few reasons."""
        self.failures += 1
        if len(self.reasons) < 5:  # noqa: PLR2004 - more say nothing new
            self.reasons.append(reason)

    def quantile(self, share: float) -> float:
        """Return a quantile of the latency in seconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))] if ordered else float("nan")


def requests_for(model: Model, face: str, token: str) -> list[list[bytes]]:
    """Return the messages of a face for all units and rows of a model."""
    rows = [(row.tobytes(), row.shape) for row in model.rows()]
    units = [f"line-{number}" for number in range(UNITS)]
    if face in (GRPC, STREAM):
        return [[infer_request(model, raw, shape, unit) for raw, shape in rows] for unit in units]
    return [
        [rest_request(model, raw, shape, unit, token, binary=face == REST) for raw, shape in rows] for unit in units
    ]
