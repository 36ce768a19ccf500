"""A model server with everything of the protocol switched on, in a process of its own.

Run with a folder that holds ``tenants.json``. It prints its two ports as JSON, then obeys lines: ``ready [reason]``.
"""

import json
import sys
from pathlib import Path

from oip_models import OPTIONS, versions

from onecode_common.clock import SystemClock
from onecode_serving.access.access import Access
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.listen.settings import ListenSettings
from onecode_serving.oip.options import OipOptions
from onecode_serving.server import ModelServer

ADDRESSES = ("127.0.0.1:0", "127.0.0.1:0")


def main() -> None:
    """Serve until standard input ends."""
    folder = Path(sys.argv[1])
    clock = SystemClock()
    plane = DataPlane(Counters(3600), clock)
    plane.set_options(OPTIONS)
    for version in versions():
        plane.install(version)
    plane.set_routes({one.model: full_route(one.model, one.digest, one.release) for one in versions()})
    missing = {"waiting": "it is on its way"}
    plane.announce(missing, None)
    access = Access(anonymous=False, addresses=ADDRESSES, tokens_file=folder / "tenants.json", clock=clock)
    options = OipOptions(shared_memory=True, trace_file=folder / "traces.jsonl")
    server = ModelServer(plane, access, ListenSettings(*ADDRESSES), options)
    server.start()
    rest, rpc = server.ports
    print(json.dumps({"rest": rest, "grpc": rpc}), flush=True)  # noqa: T201 - the answer to the test
    for line in sys.stdin:
        _, _, reason = line.strip().partition(" ")
        plane.announce(missing, reason or None)
        print("{}", flush=True)  # noqa: T201
    server.stop()


if __name__ == "__main__":
    main()
