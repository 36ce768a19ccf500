"""Speak REST in process: bytes in, bytes out, over a real data plane whose turns the test runs."""

import hashlib
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import serving_models as make

from onecode_common.clock import SystemClock
from onecode_serving.access.access import Access
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.http1.engine import Http1Engine
from onecode_serving.loading import load_version
from onecode_serving.oip.options import OipOptions
from onecode_serving.oip.service import OipService
from onecode_serving.rest.face import RestFace
from onecode_serving.rest.offload import Offload
from onecode_serving.rest.route import RestRoute
from onecode_serving.version import ServedVersion

MAX_MESSAGE = 1 << 20


class Answer(NamedTuple):
    """One answer of the server."""

    status: int
    fields: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The JSON of the body, without tensors behind it."""
        size = int(self.fields.get("inference-header-content-length", len(self.body)))
        return json.loads(self.body[:size])

    @property
    def tail(self) -> bytes:
        """What stands behind the JSON."""
        return self.body[int(self.fields["inference-header-content-length"]) :]


def tenants_file(folder: Path, *tenants: dict[str, Any]) -> Path:
    """Write tenants, each with its name as its key."""
    entries = [{**one, "keys": [hashlib.sha256(one["principal"].encode()).hexdigest()]} for one in tenants]
    path = folder / "tenants.json"
    path.write_text(json.dumps({"schema": 1, "tenants": entries}))
    return path


def bearer(principal: str) -> dict[str, str]:
    """Return the field that shows this tenant's key."""
    return {"Authorization": f"Bearer {principal}"}


class Turns:
    """An event loop that turns when it is told."""

    def __init__(self) -> None:
        self._waiting: list[Callable[[], None]] = []

    def soon(self, callback: Callable[[], None]) -> None:
        """Call at the next turn."""
        self._waiting.append(callback)

    from_thread = soon

    def run(self) -> None:
        """Turn until nothing waits."""
        while self._waiting:
            self._waiting.pop(0)()


@lru_cache
def versions() -> tuple[ServedVersion, ...]:
    """Load every model that tests ask for, once."""
    built = [
        make.built("dense", 1, make.dense()),
        make.built("gaps", 1, make.dense(), allow_nan=True),
        make.built("types", 1, make.many_types(), golden=b""),
        make.built("root", 1, make.root_of()),
        make.built("plus", 1, make.plus(1)),
        make.built("plus", 2, make.plus(2)),
    ]
    return tuple(load_version(one.manifest, one.onnx) for one in built)


class House:
    """A server without sockets: everything that its connections share."""

    def __init__(
        self, tokens_file: Path | None = None, options: OipOptions | None = None, *, threads: bool = False
    ) -> None:
        self.headers: dict[str, str] = {}
        clock = SystemClock()
        self.turns = Turns()
        self.pool = ThreadPoolExecutor(1)
        self.plane = DataPlane(Counters(3600), clock)
        for version in versions():
            self.plane.install(version)
        self.plane.set_routes({one.model: full_route(one.model, one.digest, 1) for one in versions()[:5]})
        self.plane.announce({"waiting": "it is on its way"}, None)
        self.plane.attach(self.turns, self.pool, 1)
        self.service = OipService(self.plane, options)
        access = Access(anonymous=tokens_file is None, addresses=("127.0.0.1:0",), tokens_file=tokens_file, clock=clock)
        offload = Offload(self.pool, self.turns.from_thread) if threads else None
        self.face = RestFace(self.service, access, MAX_MESSAGE, offload=offload)

    def wire(self) -> "Wire":
        """Open a connection."""
        return Wire(self)

    def close(self) -> None:
        """End its threads."""
        self.pool.shutdown()
        self.service.close()


class Wire:
    """One connection."""

    def __init__(self, house: House) -> None:
        self.house = house
        self.touched = 0
        self.engine: Http1Engine[RestRoute] = house.face.engine(None, self._touch, 0.0)

    def send(self, data: bytes) -> bytes:
        """Send bytes and return what comes back for them."""
        self.engine.receive(data, 1.0)
        self.house.turns.run()
        return self.engine.take()

    def ask(self, method: str, path: str, body: bytes | dict[str, Any] | None = None, **fields: str) -> Answer:
        """Send one request and return its answer; underscores in names of fields are hyphens."""
        return only(self.send(request(method, path, body, **{**self.house.headers, **fields})))

    def infer(self, body: bytes | dict[str, Any], model: str = "dense", **fields: str) -> Answer:
        """Ask a model."""
        return self.ask("POST", f"/v2/models/{model}/infer", body, **fields)

    def _touch(self) -> None:
        self.touched += 1


def request(method: str, path: str, body: bytes | dict[str, Any] | None = None, **fields: str) -> bytes:
    """Return the bytes of a request."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    lines = [f"{method} {path} HTTP/1.1", "Host: test"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    if content is not None:
        lines.append(f"Content-Length: {len(content)}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + (content or b"")


def binary(head: dict[str, Any], *raws: bytes) -> tuple[bytes, dict[str, str]]:
    """Return the body of JSON with tensors behind it, and the field that goes with it."""
    text = json.dumps(head).encode()
    return text + b"".join(raws), {"Inference_Header_Content_Length": str(len(text))}


def answers(data: bytes, *, bodies: bool = True) -> list[Answer]:
    """Split the server's bytes into answers; all of them must be whole."""
    found = []
    while data:
        head, _, data = data.partition(b"\r\n\r\n")
        line, *lines = head.decode("latin-1").split("\r\n")
        fields = {name.lower(): value for name, _, value in (one.partition(": ") for one in lines)}
        status = int(line.split(" ")[1])
        size = int(fields["content-length"]) if bodies and status != 100 else 0
        assert len(data) >= size
        found.append(Answer(status, fields, data[:size]))
        data = data[size:]
    return found


def only(data: bytes) -> Answer:
    """Return the one answer in the bytes."""
    (answer,) = answers(data)
    return answer
