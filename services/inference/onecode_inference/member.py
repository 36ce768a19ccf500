"""Be a further process of the server: serve what the first one says, and tell it what was counted.

It trusts the same verified files on the disk, hashed again as they are read. It ends when it is told, or when the
first process is gone: then its line runs dry.
"""

import argparse
import base64
import json
import logging
import signal
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

from onecode.edge.v1 import edge_pb2
from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_common.telemetry import configure_logging
from onecode_delivery.store import ModelStore
from onecode_inference.__main__ import open_access
from onecode_inference.domain.mirror import routes_of
from onecode_inference.pooled import by_version, heard, told
from onecode_inference.service import SOURCE, new_faces
from onecode_inference.settings import InferenceSettings
from onecode_serving.assembly import new_plane
from onecode_serving.counters import Counters
from onecode_serving.loading import load_version
from onecode_serving.merged import document_of

_log = logging.getLogger(__name__)


class Member:
    """What this process serves.

    Args:
        settings: The server's.
        doors: Its sockets.
    """

    def __init__(self, settings: InferenceSettings, doors: tuple[int, ...]) -> None:
        self._clock = SystemClock()
        self._counters = Counters()
        self._plane = new_plane(settings, self._counters, self._clock, SOURCE)
        self._store = ModelStore(settings.home_dir / "delivery")
        self._faces, self._metrics = new_faces(settings, self._plane, open_access(settings, self._clock), doors)
        self._told: frozenset[str] = frozenset()
        self._taken: list[edge_pb2.Counter] = []
        self._serving = False

    def obey(self, question: Mapping[str, Any]) -> dict[str, Any]:
        """Return the answer to one line of the first process."""
        if "serve" in question:
            try:
                self._serve(question["serve"])
            except OnecodeError as error:
                return {"error": f"{error.code}: {error.message}"}
            return {}
        if question.get("settled"):
            self._counters.settle(self._taken)
        if "others" in question:
            self._faces.service.others = by_version(heard(question["others"]))
        if "stop" in question:
            self.stop()
        return self._counted()

    def stop(self) -> None:
        """Finish what was accepted; what waits in the sockets is ours too, for all processes end."""
        if self._serving:
            self._serving = False
            self._faces.stop(last=True)

    def _serve(self, wanted: Mapping[str, Any]) -> None:
        """Serve this from now on, and listen if this is the first time."""
        plane = self._plane
        for digest in wanted["installed"]:
            if digest not in plane.installed():
                verified = self._store.open_version(digest)
                plane.install(load_version(verified.manifest, verified.onnx), self._source(digest))
        plane.set_routes(routes_of(wanted))
        for digest in plane.installed() - set(wanted["installed"]):
            plane.retire(digest)
        self._counters.set_interval(wanted["interval_s"])
        self._told = frozenset(wanted["hidden"])
        for model in self._told:
            plane.unload(model)
        for model in plane.state.table.hidden - self._told:
            plane.show(model)
        plane.announce(wanted["missing"], wanted["reason"])
        if not self._serving:
            self._serving = True
            self._faces.start()

    def _source(self, digest: str) -> Callable[[], bytes]:
        return lambda: self._store.open_version(digest).onnx

    def _counted(self) -> dict[str, Any]:
        self._taken = self._counters.take(self._clock.now().timestamp())
        batch = edge_pb2.CounterBatch(counters=self._taken)
        hidden = self._plane.state.table.hidden
        return {
            "counters": base64.b64encode(batch.SerializeToString()).decode(),
            "metrics": document_of(self._metrics),
            "statistics": told(by_version(self._plane.statistics("", ""))),
            "hidden": sorted(hidden - self._told),
            "shown": sorted(self._told - hidden),
        }


def main() -> None:
    """Serve until the line says otherwise."""
    parser = argparse.ArgumentParser(prog="onecode_inference.member", description=__doc__)
    for name in ("--line", "--number"):
        parser.add_argument(name, type=int, required=True)
    parser.add_argument("--doors", type=int, nargs="+", required=True)
    arguments = parser.parse_args()
    # The first process decides when this one ends, also where a signal goes to all of them.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    settings = InferenceSettings.load()
    configure_logging(f"inference-{arguments.number}", settings.log_format, settings.log_level)
    member = Member(settings, tuple(arguments.doors))
    line = Connection(arguments.line)
    try:
        while True:
            question = json.loads(line.recv_bytes())
            line.send_bytes(json.dumps(member.obey(question)).encode())
            if "stop" in question:
                return
    except (EOFError, OSError):
        _log.warning("the first process of the server is gone")
        member.stop()


if __name__ == "__main__":
    main()
