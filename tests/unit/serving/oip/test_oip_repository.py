"""Models are listed, loaded and unloaded in both dialects; nothing is uploaded."""

from typing import Any

import pytest
from oip_face import Face, features, request, tensor
from tritonclient.grpc import service_pb2

from onecode_common.errors import OnecodeError


@pytest.fixture
def own() -> Face:
    return Face()


def code_of(face: Face, method: str, /, **fields: Any) -> tuple[str, str]:
    with pytest.raises(OnecodeError) as caught:
        face.ask(method, **fields)
    return caught.value.kind, caught.value.code


def test_the_index_lists_versions_and_what_is_missing(own: Face) -> None:
    found = {(one.name, one.version): (one.state, one.reason) for one in own.ask("RepositoryIndex").models}
    assert found["plus", "1"] == found["plus", "2"] == ("READY", "")
    assert found["waiting", ""] == ("UNAVAILABLE", "it is on its way")
    ready = own.ask("RepositoryIndex", ready=True, repository_name="onecode").models
    assert {one.state for one in ready} == {"READY"}
    assert code_of(own, "RepositoryIndex", repository_name="other")[0] == "not_found"


def test_unload_and_load_change_what_is_answered(own: Face) -> None:
    asked = request("plus", tensor("features", features(), "FP32"))
    own.ask("RepositoryModelUnload", model_name="plus")
    assert not own.ask("ModelReady", name="plus").ready
    with pytest.raises(OnecodeError) as caught:
        own.infer(asked)
    assert caught.value.kind == "unavailable"
    states = {one.name: one.state for one in own.ask("RepositoryIndex").models}
    assert (states["plus"], states["dense"]) == ("UNAVAILABLE", "READY")
    own.ask("RepositoryModelLoad", model_name="plus")
    own.infer(asked)
    own.ask("RepositoryModelLoad", model_name="plus")
    own.ask("RepositoryModelUnload", model_name="nobody")


def test_the_other_dialect_names_the_model_in_field_one_and_reads_two_fields(own: Face) -> None:
    from onecode_serving.oip.wire import pb

    service = "/inference.GRPCInferenceService/"
    body = own.bytes_of(service + "RepositoryModelUnload", b"\x0a\x04plus")
    assert body == b"\x0a\x04plus\x10\x01"
    assert not own.ask("ModelReady", name="plus").ready
    reply = pb.RepositoryModelLoadResponse.FromString(own.bytes_of(service + "RepositoryModelLoad", b"\x0a\x04plus"))
    assert (reply.model_name, reply.isLoaded) == ("plus", True)
    assert own.ask("ModelReady", name="plus").ready


def with_parameter(kind: str, name: str, field: str, value: Any) -> Any:
    message = getattr(service_pb2, f"RepositoryModel{kind}Request")(model_name="plus")
    setattr(message.parameters[name], field, value)
    return message


@pytest.mark.parametrize(
    ("kind", "name", "field", "value", "refusal"),
    [
        ("Load", "config", "string_param", "{}", "denied"),
        ("Load", "file:1/model.onnx", "bytes_param", b"onnx", "denied"),
        ("Load", "strange", "bool_param", True, "invalid"),
        ("Unload", "strange", "bool_param", True, "invalid"),
        ("Unload", "unload_dependents", "string_param", "yes", "invalid"),
    ],
)
def test_parameters_of_load_and_unload_are_checked(
    own: Face, kind: str, name: str, field: str, value: Any, refusal: str
) -> None:
    with pytest.raises(OnecodeError) as caught:
        own.ask(f"RepositoryModel{kind}", with_parameter(kind, name, field, value))
    assert caught.value.kind == refusal
    assert own.ask("ModelReady", name="plus").ready


def test_unload_with_dependents_is_unload(own: Face) -> None:
    own.ask("RepositoryModelUnload", with_parameter("Unload", "unload_dependents", "bool_param", value=True))
    assert not own.ask("ModelReady", name="plus").ready


@pytest.mark.parametrize(
    ("fields", "kind"),
    [
        ({}, "invalid"),
        ({"model_name": "nobody"}, "not_found"),
        ({"model_name": "waiting"}, "precondition"),
        ({"repository_name": "other", "model_name": "plus"}, "not_found"),
    ],
)
def test_what_cannot_be_loaded_says_why(own: Face, fields: dict[str, str], kind: str) -> None:
    assert code_of(own, "RepositoryModelLoad", **fields)[0] == kind
