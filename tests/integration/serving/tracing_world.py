"""A collector that reads what it is sent by the official schema, and a model server that sends there."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import grpc
import serving_models as make
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from pydantic_settings import SettingsConfigDict

from onecode_common.clock import SystemClock
from onecode_serving.access.access import Access
from onecode_serving.assembly import new_plane
from onecode_serving.counters import Counters
from onecode_serving.data_plane import full_route
from onecode_serving.loading import load_version
from onecode_serving.server import Bounds, ModelServer
from onecode_serving.settings import ServingSettings

TRACE, CALLER = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
SAMPLED = f"00-{TRACE}-{CALLER}-01"
UNSAMPLED = f"00-{TRACE}-{CALLER}-00"
SERVICE = "/inference.GRPCInferenceService/"


class Settings(ServingSettings):
    """Of the server of these tests."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_TRACED_", frozen=True, extra="forbid")
    service: ClassVar[str] = "traced"


class Collector:
    """Takes spans over HTTP; ``refusing`` answers 500 instead."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self.refusing = False
        self._came = threading.Condition()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(500 if collector.refusing else 200)
                self.send_header("Content-Length", "0")
                self.end_headers()
                collector.take(self.path, {name.lower(): value for name, value in self.headers.items()}, body)

            def log_message(self, *_: Any) -> None:
                return

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def take(self, path: str, headers: dict[str, str], body: bytes) -> None:
        request = trace_service_pb2.ExportTraceServiceRequest.FromString(body)
        with self._came:
            self.requests.append((path, headers))
            if not self.refusing:
                for group in request.resource_spans:
                    self.resources.append({one.key: one.value.string_value for one in group.resource.attributes})
                    self.spans += [span for scope in group.scope_spans for span in scope.spans]
            self._came.notify_all()

    def wait(self, number: int) -> list[Span]:
        """Return the spans of predictions, without their parts, once there are so many."""
        with self._came:
            assert self._came.wait_for(lambda: len(self.predictions()) >= number, 20), self.predictions()
        return self.predictions()

    def wait_for_requests(self, number: int) -> None:
        with self._came:
            assert self._came.wait_for(lambda: len(self.requests) >= number, 20)

    def predictions(self) -> list[Span]:
        return [span for span in self.spans if span.kind == Span.SPAN_KIND_SERVER]

    def parts(self, parent: Span) -> dict[str, Span]:
        return {span.name: span for span in self.spans if span.parent_span_id == parent.span_id}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def collecting() -> Iterator[Collector]:
    """Run a collector until the block ends."""
    collector = Collector()
    try:
        yield collector
    finally:
        collector.close()


def attributes(span: Span) -> dict[str, Any]:
    """Return a span's attributes as plain values."""
    return {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}


class SteeredClock:
    """The system's clock, which the test can put forward as if a run had taken so long."""

    def __init__(self) -> None:
        self._system = SystemClock()
        self.ahead_s = 0.0

    def now(self) -> datetime:
        return self._system.now()

    def monotonic(self) -> float:
        return self._system.monotonic() + self.ahead_s


class World:
    """A running server of the model ``plus`` and, with labels, of a slow one."""

    def __init__(self, endpoint: str, *, tokens: Path | None = None, **more: Any) -> None:
        self.settings = Settings(otlp_endpoint=endpoint, **{"trace_random_share": 0.0, **more})
        self.clock = SteeredClock()
        self.plane = new_plane(self.settings, Counters(), self.clock, "press-3")
        built = make.built("plus", 7, make.plus(1.0))
        version = load_version(built.manifest, built.onnx)
        self.plane.install(version)
        self.plane.set_routes({"plus": full_route("plus", version.digest, 7)})
        self.digest = version.digest
        listening = replace(
            self.settings.listening(), rest_address="127.0.0.1:0", grpc_address="", freeze=False, grace_s=5.0
        )
        access = Access(anonymous=tokens is None, addresses=["127.0.0.1:0"], tokens_file=tokens, clock=SystemClock())
        bounds = Bounds(self.settings.http2(), self.settings.http1())
        self.server = ModelServer(self.plane, access, listening, self.settings.options(), bounds)
        self.server.start()
        self.port = self.server.ports[0]
        self.channel = grpc.insecure_channel(f"127.0.0.1:{self.port}")

    def events(self) -> dict[str, int]:
        return dict(self.server.traces)

    def close(self) -> None:
        self.channel.close()
        self.server.stop()


@contextmanager
def serving(endpoint: str, **more: Any) -> Iterator[World]:
    """Run a server until the block ends, and then drain it."""
    world = World(endpoint, **more)
    try:
        yield world
    finally:
        world.close()
