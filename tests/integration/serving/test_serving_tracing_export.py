"""A collector that is slow, away or strict costs spans and never a prediction, and nothing tells its key."""

import hashlib
import logging
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import grpc
import numpy as np
import pytest
from tracing_world import SAMPLED, SERVICE, Collector, World, attributes, collecting, serving

from onecode_common.clock import SystemClock
from onecode_common.errors import InvalidError
from onecode_serving.assembly import new_plane
from onecode_serving.counters import Counters
from onecode_serving.domain.spans import Times, Told, Version, rpc_face
from onecode_serving.oip.wire import pb
from onecode_serving.tracing import otlp
from onecode_serving.tracing.otlp import OtlpExport, OtlpOptions

KEY = "a-key-that-nobody-may-read"


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def headers_file(tmp_path: Path) -> Path:
    path = tmp_path / "headers"
    path.write_text(f"# of the collector\n\nauthorization=Bearer {KEY}\nX-Tenant=line-3\n")
    return path


@pytest.fixture(autouse=True)
def _patient_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that is busy elsewhere may take its time."""
    monkeypatch.setattr(otlp, "_FLUSH_S", 20.0)


def predict(world: World, traceparent: str = SAMPLED, **fields: str) -> float:
    request = pb.ModelInferRequest(model_name="plus", raw_input_contents=[np.ones((1, 4), np.float32).tobytes()])
    request.inputs.add(name="features", datatype="FP32", shape=[1, 4])
    call = world.channel.unary_unary(SERVICE + "ModelInfer")
    metadata = (("traceparent", traceparent), *fields.items())
    answer = pb.ModelInferResponse.FromString(call(request.SerializeToString(), timeout=20, metadata=metadata))
    return float(np.frombuffer(answer.raw_output_contents[0], np.float32)[0])


def options(endpoint: str, headers_file: Path | None = None) -> OtlpOptions:
    return OtlpOptions(endpoint, headers_file, None, "onecode-tested", "here")


def told(moment: float = 1.0) -> Told:
    times = Times(moment, moment, moment, moment, moment, 1e9)
    return Told(rpc_face("ModelInfer"), "", Version("plus"), times, "random")


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is ours and where nobody listens."""
    with socket.socket() as kept:
        kept.bind(("127.0.0.1", 0))
        yield kept.getsockname()[1]


def test_a_collector_that_is_away_costs_spans_and_no_prediction(
    closed_port: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "_TIMEOUT_S", 0.2)
    with caplog.at_level(logging.INFO), serving(f"http://127.0.0.1:{closed_port}") as world:
        for _ in range(5):
            assert predict(world) == 2.0
    events = world.events()
    assert (events["chosen"], events["sent"], events["failed"]) == (5, 0, 5)
    lines = [record for record in caplog.records if "spans" in record.getMessage()]
    assert [(line.name, line.levelname) for line in lines] == [("onecode_serving.tracing.otlp", "WARNING")]
    assert f"127.0.0.1:{closed_port}/v1/traces" in lines[0].getMessage()


def test_a_collector_that_refuses_is_asked_again_with_the_next_spans(collector: Collector) -> None:
    collector.refusing = True
    with serving(collector.url) as world:
        predict(world)
        collector.wait_for_requests(1)
        collector.refusing = False
        predict(world)
        collector.wait(1)
        assert predict(world) == 2.0
    events = world.events()
    assert (events["failed"], events["sent"]) == (1, 2)


def test_what_waits_is_sent_when_the_server_drains(collector: Collector) -> None:
    with serving(collector.url) as world:
        for _ in range(10):
            predict(world)
    assert len(collector.predictions()) == 10


def test_all_that_waits_is_sent_at_the_end_in_batches(collector: Collector) -> None:
    export = OtlpExport(options(collector.url), SystemClock(), gather_s=3600.0)
    export.start()
    for number in range(300):
        assert export.offer(told(float(number)))
    export.stop()
    assert len(collector.predictions()) == 300
    assert export.counts.sent == 300
    assert {path for path, _ in collector.requests} == {"/v1/traces"}
    assert len(collector.requests) < 300


def test_a_collector_that_never_answers_holds_up_the_end_for_a_bounded_time_only(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "_FLUSH_S", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        export = OtlpExport(options(f"http://127.0.0.1:{silent.getsockname()[1]}"), SystemClock(), gather_s=0.0)
        export.start()
        export.offer(told())
        with silent.accept()[0]:
            export.stop()
            assert export.counts.sent == 0
        # Now that the connection has ended, its thread ends too.
        export._thread.join(20)
        assert not export._thread.is_alive()


def test_no_more_than_a_bound_waits_for_a_collector(collector: Collector) -> None:
    export = OtlpExport(options(collector.url), SystemClock())
    taken = [export.offer(told()) for _ in range(otlp._WAITING + 5)]
    assert taken.count(True) == otlp._WAITING
    assert not taken[-1]


def test_the_collectors_key_is_shown_to_it_and_to_nobody_else(
    collector: Collector, headers_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG), serving(collector.url, otlp_headers_file=headers_file) as world:
        predict(world)
        collector.wait(1)
        headers_file.write_text("authorization=Bearer another\n")
        predict(world)
        collector.wait(2)
        collector.refusing = True
        predict(world)
        collector.wait_for_requests(3)
    shown = [headers["authorization"] for _, headers in collector.requests]
    assert shown == [f"Bearer {KEY}", "Bearer another", "Bearer another"]
    assert collector.requests[0][1]["x-tenant"] == "line-3"
    assert KEY not in caplog.text
    assert "another" not in caplog.text


@pytest.mark.parametrize("content", [f"{KEY}\n", f"bad name={KEY}\n", f"a=b\x00{KEY}\n"])
def test_a_line_that_is_no_header_is_refused_without_showing_it(tmp_path: Path, content: str) -> None:
    path = tmp_path / "headers"
    path.write_text(content)
    with pytest.raises(InvalidError, match=r"line 1 of .* is no header: write name=value") as found:
        OtlpExport(options("http://127.0.0.1:1", path), SystemClock())
    assert KEY not in str(found.value)


def test_a_missing_file_of_headers_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidError, match=r"cannot read the collector's headers in .*/nowhere"):
        OtlpExport(options("http://127.0.0.1:1", tmp_path / "nowhere"), SystemClock())


def test_strangers_are_told_of_only_where_their_request_asks_for_it(collector: Collector, tmp_path: Path) -> None:
    tokens = tmp_path / "tokens"
    tokens.write_text(hashlib.sha256(b"a-token").hexdigest() + "\n")
    with serving(collector.url, tokens=tokens) as world:
        with pytest.raises(grpc.RpcError) as refused:
            predict(world)
        assert refused.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError):
            predict(world, SAMPLED.removesuffix("1") + "0")
        for _ in range(3):
            assert predict(world, authorization="Bearer a-token") == 2.0
        spans = collector.wait(4)
    assert [attributes(span)["rpc.response.status_code"] for span in spans] == ["UNAUTHENTICATED", "OK", "OK", "OK"]


def test_a_server_without_the_packages_says_which_extra_brings_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onecode_serving.tracing.otlp", None)
    with (
        pytest.raises(InvalidError, match=r"pip install 'onecode\[tracing\]'"),
        serving("http://127.0.0.1:1"),
    ):
        pass


OFF = """
import sys
from typing import ClassVar
from pydantic_settings import SettingsConfigDict
from onecode_common.clock import SystemClock
from onecode_serving.access.access import Access
from onecode_serving.assembly import new_plane
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.rest.app import RestApp
from onecode_serving.rpc.server import RpcApp
from onecode_serving.server import ModelServer
from onecode_serving.settings import ServingSettings

class Settings(ServingSettings):
    model_config = SettingsConfigDict(env_prefix="ONECODE_OFF_", frozen=True, extra="forbid")
    service: ClassVar[str] = "off"

settings = Settings(rest_address="127.0.0.1:0", grpc_address="", anonymous=True)
plane = new_plane(settings, Counters(), SystemClock(), "cloud")
access = Access(anonymous=True, addresses=["127.0.0.1:0"], tokens_file=None, clock=SystemClock())
server = ModelServer(plane, access, settings.listening(), settings.options())
server.start()
server.stop()
assert type(plane) is DataPlane and plane.tracing is None
assert server._faces._rpc_app is RpcApp and server._faces._rest_app is RestApp
print(sorted(name for name in sys.modules if "opentelemetry" in name or "onecode_serving.tracing" in name))
"""


def test_a_server_that_names_no_collector_imports_nothing_of_it() -> None:
    done = subprocess.run([sys.executable, "-W", "error", "-c", OFF], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


def test_new_plane_of_a_server_that_names_no_collector_follows_nobody(collector: Collector) -> None:
    with serving("") as world:
        assert predict(world) == 2.0
        assert world.events() == {}
        assert new_plane(world.settings, Counters(), SystemClock(), "here").tracing is None
    assert not collector.requests
