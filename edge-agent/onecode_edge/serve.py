"""Answer requests with one model set: load it from verified bytes, prove it on itself, then listen.

It has no credential, no database and no way out of the gateway. Whatever it must be told comes over a Unix socket of
its own; it ends with the supervisor. A set that cannot be proven is never listened with.
"""

import argparse
import base64
import json
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any

from prometheus_client.registry import Collector

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_common.files import write_file
from onecode_common.telemetry import configure_logging
from onecode_delivery.store import ModelStore
from onecode_edge.domain.modelset import Entry, ModelSet, from_document
from onecode_edge.layout import Layout
from onecode_edge.lifeline import tie
from onecode_edge.seal import read_seal
from onecode_edge.settings import EdgeSettings
from onecode_edge.unix_http import Answer, UnixHttpServer
from onecode_serving.access.access import Access
from onecode_serving.assembly import new_plane
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.messages import InferenceRequest
from onecode_serving.domain.routing import SHADOW, Arm, Route
from onecode_serving.golden import Golden, check_golden, parse_golden
from onecode_serving.loading import load_version
from onecode_serving.merged import document_of
from onecode_serving.metrics import ServingCollector
from onecode_serving.server import Bounds, ModelServer

_log = logging.getLogger(__name__)
_TAKE_S = 1.5
_FAILED = 10


class ProofError(Exception):
    """A version does not do here what its golden set says."""


class Serving:
    """One loaded set and the questions that sync asks of it.

    Args:
        name: Of the process: two processes may serve the same set one after the other.

    Attributes:
        collector: Of its metrics, once it can have any.
    """

    def __init__(self, layout: Layout, name: str, gateway: str, settings: EdgeSettings) -> None:
        self._store = ModelStore(layout.root)
        self._name = name
        self._counters = Counters()
        self._clock = SystemClock()
        self._goldens: dict[str, Golden] = {}
        self.plane = new_plane(settings, self._counters, self._clock, gateway)
        self.phase = "loading"
        self.set_id = ""
        self.draining = threading.Event()
        self.taken = threading.Event()
        self.alone = False
        self.collector: Collector | None = None

    def load(self, models: ModelSet, interval_s: int) -> None:
        """Load and prove every version of the set.

        Raises:
            OnecodeError: A file is missing or damaged, or a version does not load.
            ProofError: Its golden set is not answered right.
        """
        self.set_id = models.id
        for digest in sorted(models.digests):
            verified = self._store.open_version(digest)
            version = load_version(verified.manifest, verified.onnx)
            self._goldens[digest] = parse_golden(verified.golden)
            result = check_golden(version, self._goldens[digest])
            if not result.passed:
                raise ProofError(result.detail)
            self.plane.install(version, self._source(digest))
        self.route(models, interval_s)

    def _source(self, digest: str) -> Callable[[], bytes]:
        return lambda: self._store.open_version(digest).onnx

    def route(self, models: ModelSet, interval_s: int) -> None:
        """Divide requests as the set says.

        Raises:
            PreconditionError: It names a version that is not loaded.
        """
        self.plane.set_routes({entry.name: _route(entry) for entry in models.entries})
        self._counters.set_interval(interval_s)

    def end_now(self) -> None:
        """Drain because the agent ends: nobody fetches the last counters or accepts on its sockets after us."""
        self.alone = True
        self.taken.set()
        self.draining.set()

    def questions(self) -> Mapping[str, Answer]:
        """Return what may be asked over the private socket."""
        return {
            "GET /v1/status": self._status,
            "GET /v1/metrics": self._metrics,
            "POST /v1/routes": self._routes,
            "POST /v1/prove": self._prove,
            "POST /v1/counters": self._take,
            "POST /v1/settle": self._settle,
            "POST /v1/drain": self._drain,
        }

    def _status(self, _: Mapping[str, Any]) -> dict[str, object]:
        totals = {digest: self._counters.totals(digest) for digest in self._goldens}
        return {
            "instance": self._name,
            "phase": self.phase,
            "set": self.set_id,
            "serving": self.plane.serving() if self.phase == "serving" else {},
            "totals": {name: [one.requests, one.errors, one.non_finite] for name, one in totals.items()},
        }

    def _metrics(self, _: Mapping[str, Any]) -> dict[str, object]:
        return {"families": document_of(self.collector) if self.collector is not None else []}

    def _routes(self, body: Mapping[str, Any]) -> dict[str, object]:
        self.route(from_document(body["models"]), int(body["interval_s"]))
        return {}

    def _prove(self, _: Mapping[str, Any]) -> dict[str, object]:
        """Ask the golden sets again, and say which digest the answers of the data plane carry."""
        found: dict[str, object] = {}
        for digest, golden in self._goldens.items():
            version = self.plane.version(digest)
            if version is None:
                continue
            result = check_golden(version, golden)
            request = InferenceRequest(version.model, golden.rows[0].inputs, digest)
            answered = ""
            if result.passed:
                # A window is asked row by row: its golden set has whole ones, which only the version itself takes.
                windowed = self.plane.contract(version) is not version.contract
                answered = version.digest if windowed else self.plane.infer(request).digest
            found[digest] = {"passed": result.passed, "detail": result.detail, "answered": answered}
        return {"versions": found, "phase": self.phase}

    def _take(self, _: Mapping[str, Any]) -> dict[str, object]:
        batch = pb.CounterBatch(counters=self._counters.take(self._clock.now().timestamp()))
        return {"instance": self._name, "batch": base64.b64encode(batch.SerializeToString()).decode()}

    def _settle(self, body: Mapping[str, Any]) -> dict[str, object]:
        batch = pb.CounterBatch.FromString(base64.b64decode(str(body["batch"])))
        self._counters.settle(batch.counters)
        if self.phase == "drained":
            self.taken.set()
        return {}

    def _drain(self, _: Mapping[str, Any]) -> dict[str, object]:
        self.draining.set()
        return {}


def main() -> int:
    """Serve until told to drain; return the exit status: 10 if the set could not be served."""
    arguments = _arguments()
    tie(arguments.parent, arguments.lifeline)
    settings = EdgeSettings.load()
    configure_logging(arguments.name, settings.log_format, settings.log_level)
    layout = Layout(settings.home_dir)
    serving = Serving(layout, arguments.name, arguments.gateway, settings)
    signal.signal(signal.SIGTERM, lambda *_: serving.draining.set())
    signal.signal(signal.SIGINT, lambda *_: serving.end_now())
    private = UnixHttpServer(layout.serve_socket(arguments.name), serving.questions(), "private")
    private.start()
    try:
        seal = read_seal(layout, arguments.set)
        serving.load(seal.models, seal.interval_s)
        faces, serving.collector = _faces(settings, serving.plane, arguments.sockets)
        faces.start()
    except ProofError as error:
        return _fail(layout, arguments.name, "golden", str(error))
    except OnecodeError as error:
        return _fail(layout, arguments.name, _cause(error.code), f"{error.code}: {error.message}")
    serving.phase = "serving"
    _log.info("serving set %s", arguments.set)
    serving.draining.wait()
    _drain(serving, faces)
    private.stop()
    return 0


def _drain(serving: Serving, faces: ModelServer) -> None:
    """Accept no more, finish what is in hand, and let the last counters be taken."""
    serving.phase = "draining"
    faces.stop(last=serving.alone)
    serving.phase = "drained"
    serving.taken.wait(_TAKE_S)


def _faces(settings: EdgeSettings, plane: DataPlane, sockets: list[int]) -> tuple[ModelServer, ServingCollector]:
    access = Access(
        anonymous=settings.anonymous,
        addresses=[address for address in (settings.rest_address, settings.grpc_address) if address],
        tokens_file=settings.tenants,
        clock=SystemClock(),
    )
    bounds = Bounds(settings.http2(), settings.http1(), settings.max_waiting_bytes)
    faces = ModelServer(plane, access, settings.listening(tuple(sockets)), settings.options(), bounds)
    told = (lambda: faces.guards, access.refused, plane.shadows.view, lambda: faces.traces)
    return faces, ServingCollector(plane, faces.server, *told)


def _route(entry: Entry) -> Route:
    arms = [Arm(arm.start, arm.end, arm.digest, arm.release, arm.role) for arm in entry.arms]
    shadow = next((arm for arm in arms if arm.role == SHADOW), None)
    answering = tuple(arm for arm in arms if arm.role != SHADOW)
    return Route(entry.name, entry.rollout, entry.revision, entry.unit, entry.salt, answering, shadow)


def _cause(code: str) -> str:
    if code.startswith(("state.", "sync.", "disk.")):
        return "corrupt"
    return "port" if code in ("port.taken", "settings.address") else "load"


def _fail(layout: Layout, name: str, cause: str, detail: str) -> int:
    _log.error("the set cannot be served: %s: %s", cause, detail)
    document = json.dumps({"cause": cause, "detail": detail[:500]}).encode()
    write_file(layout.run / f"{name}.failed", document, mode=0o600)
    return _FAILED


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="onecode_edge.serve", description=__doc__)
    for name in ("--name", "--set", "--gateway"):
        parser.add_argument(name, required=True)
    parser.add_argument("--parent", type=int, required=True)
    parser.add_argument("--lifeline", type=int, required=True)
    parser.add_argument(
        "--sockets", type=int, nargs="*", default=[], help="bound sockets, as the supervisor keeps them"
    )
    return parser.parse_args()


if __name__ == "__main__":
    _status = main()
    sys.stderr.flush()
    # Threads of the faces that still wait for a slow caller must not hold the memory of a set that is served no more.
    os._exit(_status)
