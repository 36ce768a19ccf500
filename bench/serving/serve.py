"""Serve the models that are measured, with every duty on, and take orders on standard input.

Models come as files: building them would load libraries that a server never has in its memory.
"""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from bench.serving.home import Home
from bench.serving.machine import SERVER_CORE, pin
from onecode_common.assignment import BUCKETS
from onecode_common.clock import SystemClock
from onecode_serving.access.access import Access
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.routing import Arm, Route
from onecode_serving.listen.settings import ListenSettings
from onecode_serving.loading import load_version
from onecode_serving.server import ModelServer
from onecode_serving.version import ServedVersion

_ADDRESS = "127.0.0.1:0"


def read(home: Home, model: str, release: int) -> ServedVersion:
    """Return a release of a model, proved as any other."""
    manifest = json.loads(home.manifest(model, release).read_text())
    return load_version(manifest, home.onnx(model, release).read_bytes())


def route(version: ServedVersion) -> Route:
    """Return a route as a rollout makes it: assignment by the unit that the request names."""
    arm = Arm(0, BUCKETS, version.digest, version.release, "stable")
    return Route(version.model, "bench", version.release, "key", "salt", (arm,))


def orders(plane: DataPlane, home: Home) -> None:
    """Do what each line of standard input says, until it ends."""
    for line in sys.stdin:
        order: dict[str, Any] = json.loads(line)
        done: dict[str, Any] = {}
        if order["do"] == "swap":
            swap(plane, read(home, order["model"], int(order["release"])))
        elif order["do"] == "statistics":
            tallies = plane.statistics(order["model"], "")
            done["rows"] = sum(one.inference_count for one in tallies)
            done["runs"] = sum(one.execution_count for one in tallies)
        print(json.dumps(done), flush=True)


def swap(plane: DataPlane, version: ServedVersion) -> None:
    """Send everyone to a version that was just loaded, and let the one before go."""
    before = plane.routes()[version.model].stable.digest
    plane.install(version)
    plane.set_routes({**plane.routes(), version.model: route(version)})
    if before != version.digest:
        plane.retire(before)


def main() -> None:
    """Serve until standard input ends; print the port first."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int, default=SERVER_CORE)
    parser.add_argument("--home", type=Path, required=True, help="folder with models, tokens, certificate")
    parser.add_argument("--models", required=True)
    arguments = parser.parse_args()
    pin(arguments.core)
    home = Home(arguments.home)
    clock = SystemClock()
    plane = DataPlane(Counters(), clock)
    versions = [read(home, name, 1) for name in arguments.models.split(",")]
    for version in versions:
        plane.install(version)
    plane.set_routes({version.model: route(version) for version in versions})
    access = Access(anonymous=False, addresses=[_ADDRESS], tokens_file=home.tokens, clock=clock)
    settings = ListenSettings(_ADDRESS)
    if home.certificate.exists():
        settings = ListenSettings(_ADDRESS, certificate_file=home.certificate, key_file=home.key)
    server = ModelServer(plane, access, settings)
    server.start()
    print(json.dumps({"port": server.ports[0]}), flush=True)
    orders(plane, home)
    server.stop()


if __name__ == "__main__":
    main()
