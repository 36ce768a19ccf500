"""A real model server on loopback for tests of clients: small models whose answers say which version gave them."""

from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

from serving_models import built, dense, many_types, plus

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

TOKEN = "tok-client"


class Running:
    """A server with its plane and its address."""

    def __init__(self, plane: DataPlane, server: ModelServer) -> None:
        self.plane = plane
        self.server = server
        self.address = f"127.0.0.1:{server.ports[0]}"


def version(model: str, release: int, content: bytes) -> ServedVersion:
    """Return loaded bytes."""
    made = built(model, release, content)
    return load_version(made.manifest, made.onnx)


def halves(model: str, one: ServedVersion, other: ServedVersion) -> Route:
    """Return a route that gives half of the units to each of two versions."""
    arms = (
        Arm(0, BUCKETS // 2, one.digest, one.release, "stable"),
        Arm(BUCKETS // 2, BUCKETS, other.digest, other.release, "candidate"),
    )
    return Route(model, "ro_1", 1, "key", "salt", arms)


@contextmanager
def running(home: Path, **settings: Any) -> Iterator[Running]:
    """Serve `dense`, `many` (every datatype) and `halves` (+1 or +2 by unit) to whoever has :data:`TOKEN`.

    Args:
        home: Where the token's digest is written.
        settings: Of the listener, beside its address.
    """
    plane = DataPlane(Counters(), SystemClock())
    single = [version("dense", 1, dense()), version("many", 1, many_types())]
    pair = version("halves", 1, plus(1)), version("halves", 2, plus(2))
    for each in (*single, *pair):
        plane.install(each)
    routes = {
        each.model: Route(each.model, "", 0, "key", "", (Arm(0, BUCKETS, each.digest, 1, "stable"),)) for each in single
    }
    plane.set_routes({**routes, "halves": halves("halves", *pair)})
    plane.announce({}, None)
    tokens = home / "tokens"
    tokens.write_text(sha256(TOKEN.encode()).hexdigest() + "\n")
    address = settings.pop("rest_address", "127.0.0.1:0")
    access = Access(anonymous=False, addresses=[address], tokens_file=tokens, clock=SystemClock())
    server = ModelServer(plane, access, ListenSettings(address, **settings))
    server.start()
    try:
        yield Running(plane, server)
    finally:
        server.stop()
