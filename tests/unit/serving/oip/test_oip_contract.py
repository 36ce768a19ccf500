"""The contract is the stock client's: every message, field and method of it, and nothing of its pool."""

from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from tritonclient.grpc import model_config_pb2, service_pb2

from onecode_serving.oip.methods import METHODS
from onecode_serving.oip.wire import POOL, config, pb

OURS: Any = POOL
EXTRA = {
    "ModelMetadataResponse": {"properties"},
    "RepositoryModelLoadResponse": {"model_name", "isLoaded"},
    "RepositoryModelUnloadResponse": {"model_name", "isUnloaded"},
}
"""What other dialects have and this client does not."""


def shape_of(field: FieldDescriptor) -> tuple[Any, ...]:
    below = field.message_type or field.enum_type
    oneof = field.containing_oneof.name if field.containing_oneof else ""
    return field.name, field.number, field.type, field.is_repeated, below.full_name if below else "", oneof


MESSAGES = sorted(service_pb2.DESCRIPTOR.message_types_by_name)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_has_the_stock_fields(name: str) -> None:
    stock, ours = service_pb2.DESCRIPTOR.message_types_by_name[name], OURS.FindMessageTypeByName(f"inference.{name}")
    pairs = [(stock, ours), *((one, ours.nested_types_by_name[key]) for key, one in stock.nested_types_by_name.items())]
    for theirs, mine in pairs:
        assert {shape_of(one) for one in theirs.fields} == {
            shape_of(one) for one in mine.fields if one.name not in EXTRA.get(mine.name, ())
        }


@pytest.mark.parametrize("name", sorted(config.DESCRIPTOR.message_types_by_name))
def test_what_is_said_of_a_configuration_has_the_stock_numbers(name: str) -> None:
    stock, ours = (
        model_config_pb2.DESCRIPTOR.message_types_by_name[name],
        OURS.FindMessageTypeByName(f"inference.{name}"),
    )
    assert {shape_of(one) for one in ours.fields} <= {shape_of(one) for one in stock.fields}


def test_datatypes_have_the_stock_numbers() -> None:
    stock = model_config_pb2.DESCRIPTOR.enum_types_by_name["DataType"].values_by_name
    ours = OURS.FindEnumTypeByName("inference.DataType").values_by_name
    assert {name: one.number for name, one in stock.items()} == {name: one.number for name, one in ours.items()}


def test_every_method_of_the_stock_client_is_answered() -> None:
    service = service_pb2.DESCRIPTOR.services_by_name["GRPCInferenceService"]
    assert len(service.methods) == 20
    for method in service.methods:
        assert METHODS[f"/inference.GRPCInferenceService/{method.name}".encode()].streaming is method.client_streaming


def test_what_lives_in_our_pool_is_not_in_the_common_one() -> None:
    assert pb.ModelInferRequest.DESCRIPTOR is not service_pb2.ModelInferRequest.DESCRIPTOR
    body = service_pb2.ModelInferRequest(model_name="m", id="1").SerializeToString()
    assert pb.ModelInferRequest.FromString(body).model_name == "m"
