"""Predictions that are slow, failed or asked for reach a collector as spans; the others send nothing."""

import http.client
import json
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status
from tracing_world import CALLER, SAMPLED, SERVICE, TRACE, UNSAMPLED, Collector, World, attributes, collecting, serving

from onecode_serving.oip.wire import pb

ROW = np.ones((1, 4), np.float32).tobytes()
JSON_BODY = json.dumps({"inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "data": [1, 1, 1, 1]}]})
BINARY_HEAD = json.dumps(
    {
        "inputs": [{"name": "features", "shape": [1, 4], "datatype": "FP32", "parameters": {"binary_data_size": 16}}],
        "parameters": {"binary_data_output": True},
    }
)
ENOUGH = 250
"""Answers after which a server knows what is slow."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


def message(model: str = "plus", raw: bytes = ROW, **parameters: int) -> bytes:
    request = pb.ModelInferRequest(model_name=model, raw_input_contents=[raw])
    request.inputs.add(name="features", datatype="FP32", shape=[1, 4])
    for name, number in parameters.items():
        request.parameters[name].int64_param = number
    return request.SerializeToString()


def over_grpc(world: World, traceparent: str = "", body: bytes = b"", **more: Any) -> bytes:
    call = world.channel.unary_unary(SERVICE + "ModelInfer")
    metadata = (("traceparent", traceparent),) if traceparent else ()
    return call(body or message(), timeout=20, metadata=metadata + more.get("metadata", ()))


def over_stream(world: World, traceparent: str) -> None:
    call = world.channel.stream_stream(SERVICE + "ModelStreamInfer")
    (answer,) = call(iter([message()]), timeout=20, metadata=(("traceparent", traceparent),))
    assert not pb.ModelStreamInferResponse.FromString(answer).error_message


def over_rest(world: World, traceparent: str, body: bytes = JSON_BODY.encode(), **fields: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", world.port, timeout=20)
    connection.request("POST", "/v2/models/plus/infer", body, {"traceparent": traceparent, **fields})
    answer = connection.getresponse()
    answer.read()
    connection.close()
    return answer.status


def over_rest_json(world: World, traceparent: str) -> None:
    assert over_rest(world, traceparent) == 200


def over_rest_binary(world: World, traceparent: str) -> None:
    body = BINARY_HEAD.encode() + ROW
    fields = {"Inference-Header-Content-Length": str(len(BINARY_HEAD))}
    assert over_rest(world, traceparent, body, **fields) == 200


def over_typed_grpc(world: World, traceparent: str) -> None:
    request = pb.ModelInferRequest(model_name="plus")
    tensor = request.inputs.add(name="features", datatype="FP32", shape=[1, 4])
    tensor.contents.fp32_contents.extend([1, 1, 1, 1])
    over_grpc(world, traceparent, request.SerializeToString())


def is_callers_child(span: Span) -> bool:
    return (span.trace_id.hex(), span.parent_span_id.hex()) == (TRACE, CALLER)


def test_a_slow_prediction_is_told_as_its_callers_child_and_fast_ones_are_not(collector: Collector) -> None:
    with serving(collector.url) as world:
        for _ in range(ENOUGH):
            over_grpc(world, UNSAMPLED)
        assert world.events()["chosen"] == 0
        world.clock.ahead_s = 2.0
        over_grpc(world, UNSAMPLED)
        (span,) = collector.wait(1)
        parts = collector.parts(span)
    assert is_callers_child(span)
    assert span.name == "inference.GRPCInferenceService/ModelInfer"
    assert attributes(span) == {
        "rpc.system.name": "grpc", "rpc.method": span.name, "rpc.response.status_code": "OK",
        "onecode.sampled_by": "slow", "onecode.model.name": "plus", "onecode.model.version": "7",
        "onecode.model.digest": world.digest, "onecode.release": 7, "onecode.arm": "stable", "onecode.rows": 1,
        "onecode.batch.requests": 1, "onecode.batch.rows": 1,
    }  # fmt: skip
    assert set(parts) == {"queue", "batch", "compute", "output"}
    assert all(part.trace_id == span.trace_id for part in parts.values())
    order = [parts[name] for name in ("queue", "batch", "compute", "output")]
    assert order[0].start_time_unix_nano == span.start_time_unix_nano
    assert order[-1].end_time_unix_nano == span.end_time_unix_nano
    assert all(one.end_time_unix_nano == other.start_time_unix_nano for one, other in pairwise(order))
    assert span.end_time_unix_nano - span.start_time_unix_nano > 2e9
    assert attributes(parts["compute"]) == {"onecode.batch.requests": 1, "onecode.batch.rows": 1}
    (resource, *_) = collector.resources
    assert (resource["service.name"], resource["service.instance.id"]) == ("onecode-traced", "press-3")
    assert len(collector.predictions()) == 1


@pytest.mark.parametrize(
    ("ask", "name"),
    [
        (over_grpc, "inference.GRPCInferenceService/ModelInfer"),
        (over_typed_grpc, "inference.GRPCInferenceService/ModelInfer"),
        (over_stream, "inference.GRPCInferenceService/ModelStreamInfer"),
        (over_rest_json, "POST /v2/models/{model}/infer"),
        (over_rest_binary, "POST /v2/models/{model}/infer"),
    ],
)
def test_every_face_tells_what_its_caller_asks_for(
    collector: Collector, ask: Callable[[World, str], object], name: str
) -> None:
    with serving(collector.url) as world:
        # The later ones go the short way, where nothing of a request is looked at that was seen before.
        for _ in range(4):
            ask(world, SAMPLED)
            ask(world, UNSAMPLED)
        spans = collector.wait(4)
    assert [span.name for span in spans] == [name] * 4
    assert all(is_callers_child(span) for span in spans)
    assert {attributes(span)["onecode.sampled_by"] for span in spans} == {"caller"}
    assert {attributes(span)["onecode.model.digest"] for span in spans} == {world.digest}
    assert all(set(collector.parts(span)) == {"queue", "batch", "compute", "output"} for span in spans)


def test_a_share_is_told_whatever_it_was_like(collector: Collector) -> None:
    with serving(collector.url, trace_random_share=1.0) as world:
        over_grpc(world)
        (span,) = collector.wait(1)
    assert attributes(span)["onecode.sampled_by"] == "random"
    assert not span.parent_span_id


def test_no_more_are_told_in_a_second_than_allowed(collector: Collector) -> None:
    with serving(collector.url, trace_random_share=1.0, trace_per_s=1) as world:
        for _ in range(20):
            over_grpc(world)
        events = world.events()
        collector.wait(1)
    assert events["limited"] > 0
    assert events["chosen"] + events["limited"] == 20


def refused(world: World, **more: Any) -> grpc.StatusCode:
    with pytest.raises(grpc.RpcError) as found:
        over_grpc(world, SAMPLED, **more)
    code: grpc.StatusCode = found.value.code()
    return code


def test_what_a_caller_did_wrong_is_told_if_it_asked(collector: Collector) -> None:
    with serving(collector.url) as world:
        assert refused(world, body=message(raw=ROW[:-1])) is grpc.StatusCode.INVALID_ARGUMENT
        assert refused(world, body=message("nobody")) is grpc.StatusCode.NOT_FOUND
        assert over_rest(world, SAMPLED, b"{}") == 400
        assert over_rest(world, UNSAMPLED, b"{}") == 400
        spans = collector.wait(3)
    told = [attributes(span) for span in spans]
    assert [one.get("rpc.response.status_code") for one in told] == ["INVALID_ARGUMENT", "NOT_FOUND", None]
    assert told[2]["http.response.status_code"] == 400
    assert told[2]["onecode.model.name"] == "plus"
    assert all(is_callers_child(span) for span in spans)
    assert all(one["error.type"] for one in told)
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_UNSET}


def test_a_deadline_that_passed_is_always_told(collector: Collector) -> None:
    with serving(collector.url) as world:
        over_grpc(world)
        over_grpc(world)
        world.clock.ahead_s = 30.0
        assert refused(world) is grpc.StatusCode.DEADLINE_EXCEEDED
        with pytest.raises(grpc.RpcError):
            over_grpc(world)
        spans = collector.wait(2)
    assert {attributes(span)["error.type"] for span in spans} == {"deadline.exceeded"}
    assert {attributes(span)["rpc.response.status_code"] for span in spans} == {"DEADLINE_EXCEEDED"}
    assert {span.status.code for span in spans} == {Status.STATUS_CODE_ERROR}
    assert [bool(span.parent_span_id) for span in spans] == [True, False]
    assert all("compute" in collector.parts(span) for span in spans)


def test_a_body_beyond_the_limit_is_told_if_its_caller_asked(collector: Collector) -> None:
    with serving(collector.url, max_message_bytes=1024) as world:
        assert over_rest(world, SAMPLED, b" " * 2000) == 413
        assert refused(world, body=b" " * 2000) is grpc.StatusCode.RESOURCE_EXHAUSTED
        spans = collector.wait(2)
    assert [attributes(span)["error.type"] for span in spans] == ["message.too_large"] * 2
    assert all(is_callers_child(span) for span in spans)


def test_a_bad_message_of_a_stream_is_told_and_the_next_one_too(collector: Collector) -> None:
    with serving(collector.url) as world:
        call = world.channel.stream_stream(SERVICE + "ModelStreamInfer")
        bodies = iter([message(raw=ROW[:-1]), message(), message("nobody")])
        assert len(list(call(bodies, timeout=20, metadata=(("traceparent", SAMPLED),)))) == 3
        spans = collector.wait(3)
    told = sorted(attributes(span)["rpc.response.status_code"] for span in spans)
    assert told == ["INVALID_ARGUMENT", "NOT_FOUND", "OK"]
    assert all(is_callers_child(span) for span in spans)


def test_what_is_no_prediction_makes_no_span(collector: Collector) -> None:
    with serving(collector.url, trace_random_share=1.0) as world:
        ask = world.channel.unary_unary(SERVICE + "ServerReady")
        assert ask(b"", timeout=20, metadata=(("traceparent", SAMPLED),))
        with pytest.raises(grpc.RpcError):
            world.channel.unary_unary(SERVICE + "Nothing")(b"", timeout=20, metadata=(("traceparent", SAMPLED),))
        over_grpc(world)
    (span,) = collector.predictions()
    assert attributes(span)["onecode.sampled_by"] == "random"


def test_an_answer_that_was_remembered_is_told_without_a_run(collector: Collector, tmp_path: Path) -> None:
    models = tmp_path / "models.json"
    models.write_text(json.dumps({"models": {"plus": {"cache": {}}}}))
    with serving(collector.url, models_file=models) as world:
        for _ in range(2):
            over_grpc(world)
        # From the third on it is planned, and what is planned is remembered.
        for _ in range(3):
            over_grpc(world, SAMPLED)
        spans = collector.wait(3)
        parts = [set(collector.parts(span)) for span in spans]
    assert parts == [set(), set(), set()]
    assert all(is_callers_child(span) for span in spans)


def test_the_oldest_of_a_run_is_looked_at_whatever_its_priority(collector: Collector) -> None:
    with serving(collector.url) as world:
        for _ in range(ENOUGH):
            over_grpc(world, body=message(priority=1))
        world.clock.ahead_s = 2.0
        over_grpc(world, body=message(priority=1))
        (span,) = collector.wait(1)
    assert attributes(span)["onecode.sampled_by"] == "slow"
