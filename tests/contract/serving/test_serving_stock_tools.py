"""Probes, tools and clients of other dialects find what they ask for."""

from pathlib import Path

import grpc
import pytest
import tritonclient.grpc as triton
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2
from oip_stock import Server, Stock, headers
from tritonclient.grpc import service_pb2, service_pb2_grpc

ADMIN = headers("admin")
CALLER = headers()
WAIT_S = 30


@pytest.mark.parametrize(
    ("service", "expected"), [("", 1), ("inference.GRPCInferenceService", 1), ("plus", 1), ("waiting", 2)]
)
def test_the_health_protocol_without_a_credential(channel: grpc.Channel, service: str, expected: int) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=WAIT_S).status == expected


def test_health_of_the_unknown_is_not_found(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    with pytest.raises(grpc.RpcError) as caught:
        stub.Check(health_pb2.HealthCheckRequest(service="nobody"), timeout=WAIT_S)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND


def test_a_watch_is_told_each_change(channel: grpc.Channel, oip_server: Server, stock: Stock) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    watches = {name: stub.Watch(health_pb2.HealthCheckRequest(service=name)) for name in ("", "gaps", "nobody")}
    assert {name: next(watch).status for name, watch in watches.items()} == {"": 1, "gaps": 1, "nobody": 3}
    oip_server.ready("not now")
    assert next(watches[""]).status == 2
    oip_server.ready()
    assert next(watches[""]).status == 1
    stock.client.unload_model("gaps", headers=ADMIN)
    assert next(watches["gaps"]).status == 2
    stock.client.load_model("gaps", headers=ADMIN)
    assert next(watches["gaps"]).status == 1
    for watch in watches.values():
        watch.cancel()


@pytest.mark.parametrize("version", ["v1", "v1alpha"])
def test_reflection_tells_what_is_spoken(channel: grpc.Channel, version: str) -> None:
    call = channel.stream_stream(
        f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
        request_serializer=reflection_pb2.ServerReflectionRequest.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    questions = [
        reflection_pb2.ServerReflectionRequest(list_services=""),
        reflection_pb2.ServerReflectionRequest(file_containing_symbol="inference.GRPCInferenceService"),
        reflection_pb2.ServerReflectionRequest(file_by_filename="nothing.proto"),
    ]
    services, files, nothing = list(call(iter(questions), metadata=list(CALLER.items()), timeout=WAIT_S))
    assert len(services.list_services_response.service) == 4
    names = [FileDescriptorProto.FromString(one).name for one in files.file_descriptor_response.file_descriptor_proto]
    assert Path(names[0]).name == "open_inference.proto"
    assert nothing.error_response.error_code == 5
    with pytest.raises(grpc.RpcError) as caught:
        list(call(iter(questions), timeout=WAIT_S))
    assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED


@pytest.mark.parametrize("path", ["/inference.GRPCInferenceService/Nothing", "/nothing.Here/ModelInfer", "/a"])
def test_an_unknown_method_is_unimplemented(channel: grpc.Channel, path: str) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(path)(b"", metadata=list(CALLER.items()), timeout=WAIT_S)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("body", [b"\xff", b"\x0a\x09short", b"\x0a\x01\xff"])
@pytest.mark.parametrize("method", ["ModelInfer", "ModelReady", "ModelConfig"])
def test_bytes_that_are_no_message_are_an_invalid_argument(channel: grpc.Channel, method: str, body: bytes) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        channel.unary_unary(f"/inference.GRPCInferenceService/{method}")(
            body, metadata=list(CALLER.items()), timeout=WAIT_S
        )
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_every_kind_of_call_may_be_compressed(channel: grpc.Channel, compression: grpc.Compression) -> None:
    stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
    metadata = list(CALLER.items())
    assert stub.ServerLive(service_pb2.ServerLiveRequest(), compression=compression, timeout=WAIT_S).live
    found = stub.ModelStatistics(
        service_pb2.ModelStatisticsRequest(), compression=compression, metadata=metadata, timeout=WAIT_S
    )
    assert len(found.model_stats) >= 10


def test_the_client_that_keeps_alive_while_it_waits(oip_server: Server) -> None:
    options = triton.KeepAliveOptions(keepalive_time_ms=10_000, keepalive_permit_without_calls=True)
    with triton.InferenceServerClient(oip_server.grpc, keepalive_options=options) as client:
        assert client.is_server_live()


def test_the_dialect_with_the_model_in_field_one(channel: grpc.Channel, stock: Stock) -> None:
    path = "/inference.GRPCInferenceService/RepositoryModel"
    for verb, ready in (("Unload", False), ("Load", True)):
        call = channel.unary_unary(path + verb)
        assert call(b"\x0a\x04gaps", metadata=list(ADMIN.items())) == b"\x0a\x04gaps\x10\x01"
        assert stock.client.is_model_ready("gaps", headers=ADMIN) is ready
