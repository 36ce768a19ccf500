"""Put the inference server together from its parts."""

import importlib.metadata
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from prometheus_client.registry import Collector

from onecode.edge.v1 import edge_pb2
from onecode_common.clock import Clock
from onecode_common.errors import InvalidError
from onecode_common.loops import Loop
from onecode_common.program import Part
from onecode_delivery.policy import Policy
from onecode_inference.actions import Actions
from onecode_inference.crew import Crew, Ours, Start
from onecode_inference.ports import Distribution, Publisher, Sequences, Trial
from onecode_inference.reconcile import Reconciler
from onecode_inference.reporter import Reporter, Voice
from onecode_inference.settings import InferenceSettings
from onecode_inference.staging import Staging
from onecode_inference.state import StateFile
from onecode_serving.access.access import Access
from onecode_serving.assembly import new_plane, read_options
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.merged import MergedCollector
from onecode_serving.metrics import ServingCollector
from onecode_serving.server import Bounds, ModelServer

SOURCE = "cloud"
"""Under this name the server reports, as a gateway does under its own."""

_TURN_S = 0.25


class Ports(NamedTuple):
    """The outside, opened."""

    distribution: Distribution
    publisher: Publisher | None
    sequences: Sequences
    trial: Trial
    access: Access
    clock: Clock
    doors: tuple[int, ...] = ()
    start_member: Start | None = None


class Service(NamedTuple):
    """The server's parts in order of start, and those that the outside calls."""

    parts: Sequence[Part]
    reconciler: Reconciler
    reporter: Reporter
    plane: DataPlane
    collector: Collector


def new_faces(
    settings: InferenceSettings, plane: DataPlane, access: Access, doors: tuple[int, ...] = ()
) -> tuple[ModelServer, ServingCollector]:
    """Return what listens and its metrics.

    Args:
        settings: Of every process alike.
        plane: Answers.
        access: Lets in.
        doors: Descriptors of bound sockets; none: the addresses are opened.
    """
    bounds = Bounds(settings.http2(), settings.http1(), settings.max_waiting_bytes)
    faces = ModelServer(plane, access, settings.listening(doors), settings.options(), bounds)
    told = (lambda: faces.guards, access.refused, plane.shadows.view, lambda: faces.traces)
    return faces, ServingCollector(plane, faces.server, *told)


def build(settings: InferenceSettings, ports: Ports) -> Service:
    """Return the service; nothing runs before its parts are started.

    Raises:
        InvalidError: The settings do not fit each other.
    """
    _require_one_process_for_windows(settings)
    counters = Counters()
    plane = new_plane(settings, counters, ports.clock, SOURCE)
    voice = Voice(SOURCE, secrets.token_hex(8), ports.publisher, ports.sequences)
    reporter = Reporter(voice, counters, lambda: _status(settings, plane, reconciler, reporter), ports.clock)
    actions = Actions(reporter.tell)
    staging = Staging(ports.distribution, plane, ports.trial, actions)

    def on_policy(policy: Policy) -> None:
        counters.set_interval(policy.interval_s)
        reporter.set_period(policy.report_s)

    state = StateFile(settings.home_dir / "state.json")
    reconciler = Reconciler(ports.distribution, plane, staging, actions, state, ports.clock, on_policy)
    faces, own = new_faces(settings, plane, ports.access, ports.doors)
    crew, merged = None, None
    if ports.start_member is not None:
        merged = MergedCollector(own)
        ours = Ours(plane, counters, merged, faces.service)
        crew = Crew(ours, ports.start_member, settings.processes - 1, ports.clock)
    parts: list[Part] = [
        Loop("reconcile", reconciler.turn, idle_s=_TURN_S),
        Loop("reports", reporter.turn, idle_s=_TURN_S),
        *([crew] if crew is not None else []),
        faces,
        _Serving(plane),
    ]
    return Service(parts, reconciler, reporter, plane, merged or own)


def _require_one_process_for_windows(settings: InferenceSettings) -> None:
    """Refuse windows of rows where a sequence's next row may come to another process than its last one."""
    if settings.processes == 1 or settings.models_file is None:
        return
    windowed = [name for name, one in read_options(settings.models_file).items() if one.window is not None]
    if windowed:
        message = (
            f"model {windowed[0]!r} has a window, and a sequence's rows must all come to one process: "
            f"set PROCESSES to 1, not {settings.processes}"
        )
        raise InvalidError(message, code="settings.window", params={"model": windowed[0]})


class _Serving:
    """Makes the process ready only when its models answer."""

    name = "models"

    def __init__(self, plane: DataPlane) -> None:
        self._plane = plane

    def start(self) -> None:
        """Do nothing: the reconcile loop loads models."""

    def stop(self) -> None:
        """Say so before the faces stop."""
        self._plane.announce({}, "stopping")

    def ready(self) -> str | None:
        """Return why models do not answer yet, or None."""
        return self._plane.ready()


def _status(
    settings: InferenceSettings, plane: DataPlane, reconciler: Reconciler, reporter: Reporter
) -> edge_pb2.Status:
    return edge_pb2.Status(
        generation=reconciler.generation,
        serving=plane.serving(),
        health=plane.ready() or "ok",
        outbox=reporter.waiting(),
        rss_bytes=_rss_bytes(),
        agent_version=importlib.metadata.version("onecode"),
        facts={"onnxruntime": importlib.metadata.version("onnxruntime"), "sync": reconciler.trouble or "ok"},
        http_url=f"{settings.scheme}://{settings.rest_address}",
        grpc_address=settings.grpc_address,
    )


def _rss_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text().split()[1]) * 4096
    except (OSError, ValueError, IndexError):
        return 0
