"""Measure everything once, one after the other, so that each ratio is of one minute on one machine."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.serving.echo import ANSWER
from bench.serving.job import GRPC, JSON, REST, STREAM, Job, Seen, requests_for
from bench.serving.load import drive
from bench.serving.models import ROWS, build
from bench.serving.server import Echo, Server
from bench.serving.workers import Raw, Workers, root_pid

MODELS = ("mlp", "cnn", "gbt")
CONNECTIONS = (1, 8, 32)


@dataclass(frozen=True)
class Measure:
    """One closed loop.

    Attributes:
        rate: Right answers a second.
        cpu_us: CPU time of the server's process tree for each answer.
        p50_us: Median latency.
        cpu_rate: Right answers in a second of the server's CPU time: its rate with a core of its own.
        p99_us: Of a hundred answers the slowest.
        load_us: CPU time of the load for each answer.
        others: Cores that other work took meanwhile.
        failures: Answers that did not come or were wrong.
        reasons: The first of them.
    """

    rate: float
    cpu_rate: float
    cpu_us: float
    p50_us: float
    p99_us: float
    load_us: float
    others: float
    failures: int
    reasons: list[str]


@dataclass(frozen=True)
class Round:
    """All measures of one round by name, such as ``mlp.32`` or ``echo.8``; ``raw`` is onnxruntime alone, by model."""

    raw: Mapping[str, Raw]
    measures: Mapping[str, Measure]

    def document(self) -> dict[str, Any]:
        """Return it as JSON holds it."""
        return {
            "raw": {name: one._asdict() for name, one in self.raw.items()},
            "measures": {name: asdict(one) for name, one in self.measures.items()},
        }


@dataclass(frozen=True)
class Benches:
    """What a round needs.

    Attributes:
        workers: Load and yardstick.
        server: With the three models.
        encrypted: The same with TLS.
        echo: The ``grpc.aio`` yardstick.
        seconds: Length of each measure.
        chosen: Names of measures to take; empty takes all.
    """

    workers: Workers
    server: Server
    encrypted: Server
    echo: Echo
    seconds: float
    chosen: Sequence[str] = ()

    def job(self, face: str, model: str, connections: int) -> Job:
        """Return a job for the server."""
        return self._job(self.server, face, model, connections)

    def one_round(self) -> Round:
        """Measure everything once."""
        raw = {name: self.workers.raw(name, self.seconds / 2) for name in MODELS}
        plan = {f"mlp.{count}": self.job(GRPC, "mlp", count) for count in CONNECTIONS}
        plan |= {f"echo.{count}": self._echo_job(count) for count in CONNECTIONS}
        plan |= {f"{name}.32": self.job(GRPC, name, 32) for name in MODELS}
        plan |= {f"{face}.32": self.job(face, "mlp", 32) for face in (REST, JSON, STREAM)}
        plan["tls.32"] = self._job(self.encrypted, GRPC, "mlp", 32)
        wanted = {name: job for name, job in plan.items() if not self.chosen or name in self.chosen}
        return Round(raw, {name: measure(self.workers.load(drive, job)) for name, job in wanted.items()})

    def _job(self, server: Server, face: str, model: str, connections: int) -> Job:
        network = build(model)
        return Job(
            face=face,
            port=server.port,
            requests=requests_for(network, face, server.token),
            answers={"1": network.answers()},
            token=server.token,
            authority_file=server.authority_file,
            connections=connections,
            seconds=self.seconds,
            server_pid=server.pid,
            root_pid=root_pid(),
        )

    def _echo_job(self, connections: int) -> Job:
        return Job(
            face=GRPC,
            port=self.echo.port,
            requests=requests_for(build("mlp"), GRPC, ""),
            answers={"1": [(ANSWER,)] * ROWS},
            token=self.server.token,
            connections=connections,
            seconds=self.seconds,
            server_pid=self.echo.pid,
            root_pid=root_pid(),
        )


def measure(seen: Seen) -> Measure:
    """Return what a closed loop showed."""
    count = max(1, seen.answers)
    return Measure(
        rate=round(seen.answers / seen.seconds, 1),
        cpu_rate=round(seen.answers / max(seen.spent.server, 1e-6), 1),
        cpu_us=round(seen.spent.server / count * 1e6, 2),
        p50_us=round(seen.quantile(0.5) * 1e6, 1),
        p99_us=round(seen.quantile(0.99) * 1e6, 1),
        load_us=round(seen.own_cpu_s / count * 1e6, 2),
        others=round(max(0.0, seen.spent.machine - seen.spent.ours) / seen.seconds, 3),
        failures=seen.failures,
        reasons=seen.reasons,
    )


def ratio(rounds: Sequence[Round], over: tuple[str, str], under: tuple[str, str]) -> float:
    """Return the median over rounds of one number divided by another of the same round.

    Args:
        rounds: All.
        over: Name of a measure and of its field; ``raw.mlp`` and ``rate`` for onnxruntime alone.
        under: Alike.
    """
    return statistics.median(_value(one, *over) / _value(one, *under) for one in rounds)


def _value(one: Round, name: str, field: str) -> float:
    kind, _, model = name.partition(".")
    return float(getattr(one.raw[model] if kind == "raw" else one.measures[name], field))
