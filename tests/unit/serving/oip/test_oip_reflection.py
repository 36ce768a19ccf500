"""Tools can find out what is spoken, if they may."""

from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from oip_face import Face, grant_of

from onecode_common.errors import OnecodeError
from onecode_serving.oip.options import OipOptions

PATHS = [f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha")]


@pytest.fixture(scope="module")
def face() -> Face:
    return Face()


def ask(face: Face, path: str = PATHS[1], **question: Any) -> Any:
    stream, call = face.stream(path)
    stream.message(reflection_pb2.ServerReflectionRequest(host="h", **question).SerializeToString())
    stream.half_close()
    assert call.ended is True
    (one,) = call.sent
    return reflection_pb2.ServerReflectionResponse.FromString(one)


@pytest.mark.parametrize("path", PATHS)
def test_all_services_are_listed(face: Face, path: str) -> None:
    found = ask(face, path, list_services="")
    assert [one.name for one in found.list_services_response.service] == [
        "inference.GRPCInferenceService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
        "grpc.reflection.v1alpha.ServerReflection",
    ]
    assert (found.valid_host, found.original_request.list_services) == ("h", "")


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "inference.GRPCInferenceService"},
        {"file_containing_symbol": "inference.GRPCInferenceService.ModelInfer"},
        {"file_containing_symbol": "inference.ModelInferRequest.InferInputTensor"},
        {"file_by_filename": "onecode/oip/v2/open_inference.proto"},
    ],
)
def test_a_file_comes_with_what_it_needs(face: Face, question: dict[str, str]) -> None:
    pool: Any = DescriptorPool()
    files = [
        FileDescriptorProto.FromString(one)
        for one in ask(face, **question).file_descriptor_response.file_descriptor_proto
    ]
    assert {one.name for one in files} == {"onecode/oip/v2/open_inference.proto", "onecode/oip/v2/model_config.proto"}
    for one in reversed(files):
        pool.Add(one)
    service = pool.FindServiceByName("inference.GRPCInferenceService")
    assert service.methods_by_name["ModelInfer"].input_type.full_name == "inference.ModelInferRequest"


@pytest.mark.parametrize(
    "question",
    [
        {"file_containing_symbol": "inference.Nothing"},
        {"file_containing_symbol": ""},
        {"file_containing_symbol": "inference.GRPCInferenceService.Nothing"},
        {"file_by_filename": "../etc/passwd"},
        {"file_containing_extension": {"containing_type": "inference.ModelConfig", "extension_number": 1}},
        {"all_extension_numbers_of_type": "inference.Nothing"},
    ],
)
def test_what_is_not_here_is_not_found_and_the_stream_goes_on(face: Face, question: dict[str, Any]) -> None:
    assert ask(face, **question).error_response.error_code == 5


def test_a_known_message_has_no_extensions(face: Face) -> None:
    found = ask(face, all_extension_numbers_of_type="inference.ModelConfig").all_extension_numbers_response
    assert (found.base_type_name, list(found.extension_number)) == ("inference.ModelConfig", [])


def test_an_empty_question_is_an_error_in_its_answer(face: Face) -> None:
    assert ask(face).error_response.error_code == 3


def test_bytes_that_are_no_question_end_the_stream(face: Face) -> None:
    stream, call = face.stream(PATHS[0])
    stream.message(b"\xff")
    assert isinstance(call.ended, OnecodeError)
    assert call.ended.code == "rpc.undecodable"


@pytest.mark.parametrize("grant", [None, grant_of("anonymous")])
def test_callers_without_a_credential_may_not_ask_unless_allowed(grant: Any) -> None:
    face = Face()
    face.grant = grant
    with pytest.raises(OnecodeError) as caught:
        ask(face, list_services="")
    assert caught.value.code == "rpc.unimplemented"
    face = Face(OipOptions(open_reflection=True))
    face.grant = grant
    assert len(ask(face, list_services="").list_services_response.service) == 4


def test_callers_without_the_right_to_read_may_not_ask() -> None:
    face = Face()
    face.grant = grant_of(verbs=frozenset({"infer"}))
    with pytest.raises(OnecodeError, match="may not read"):
        ask(face, list_services="")
