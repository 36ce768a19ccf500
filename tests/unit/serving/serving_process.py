"""A model server in a process of its own, for tests that speak to it with stock clients.

Run with bearer-token digests as arguments; none means that everybody may ask. It prints its two ports as JSON, then
obeys lines: ``route <model> <release>…`` (the last answers, the first ones 10 % each by request), ``counters``.
"""

import json
import sys
from pathlib import Path

import serving_models as make
from google.protobuf.json_format import MessageToDict

from onecode_common.clock import SystemClock
from onecode_serving.access.access import Access
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.domain.routing import Arm, Route
from onecode_serving.listen.settings import ListenSettings
from onecode_serving.loading import load_version
from onecode_serving.oip.options import OipOptions
from onecode_serving.server import ModelServer
from onecode_serving.version import ServedVersion

SHARE = 1000


def all_versions() -> list[ServedVersion]:
    """Load every model that tests ask for."""
    built = [
        make.built("dense", 1, make.dense()),
        make.built("gaps", 1, make.dense(), allow_nan=True),
        make.built("types", 1, make.many_types(), golden=b""),
        make.built("root", 1, make.root_of()),
        *(make.built("plus", release, make.plus(release)) for release in range(1, 8)),
    ]
    return [load_version(one.manifest, one.onnx) for one in built]


def route_of(versions: dict[tuple[str, int], ServedVersion], model: str, releases: list[int]) -> Route:
    """Divide the buckets: a tenth for each release but the last, which has the rest."""
    chosen = [versions[model, release] for release in releases]
    edges = [SHARE * number for number in range(len(chosen))] + [10_000]
    arms = [
        Arm(
            edges[place],
            edges[place + 1],
            one.digest,
            one.release,
            "candidate" if place < len(chosen) - 1 else "stable",
        )
        for place, one in enumerate(chosen)
    ]
    return Route(model, "r_1", releases[0], "request", "r_1", tuple(arms))


def main() -> None:
    """Serve until standard input ends."""
    clock = SystemClock()
    plane = DataPlane(Counters(3600), clock)
    versions = {(one.model, one.release): one for one in all_versions()}
    for version in versions.values():
        plane.install(version)
    first = {one.model: full_route(one.model, one.digest, 1) for one in versions.values() if one.release == 1}
    plane.set_routes(first)
    plane.announce({"waiting": "it is on its way"}, None)
    tokens = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    addresses = ("127.0.0.1:0", "127.0.0.1:0")
    access = Access(anonymous=tokens is None, addresses=addresses, tokens_file=tokens, clock=clock)
    server = ModelServer(plane, access, ListenSettings(*addresses), OipOptions(shared_memory=True))
    server.start()
    rest, rpc = server.ports
    print(json.dumps({"rest": rest, "grpc": rpc}), flush=True)  # noqa: T201 - the answer to the test
    for line in sys.stdin:
        word, *rest_of = line.split()
        if word == "route":
            model, *releases = rest_of
            route = route_of(versions, model, [int(release) for release in releases])
            plane.set_routes({**plane.routes(), model: route})
            print("{}", flush=True)  # noqa: T201
        else:
            rows = [MessageToDict(row) for row in plane.counters.take(0)]
            print(json.dumps(rows), flush=True)  # noqa: T201
    server.stop()


if __name__ == "__main__":
    main()
