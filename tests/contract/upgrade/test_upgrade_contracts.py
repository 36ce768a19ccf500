"""What a released program may send or expect on the wire is still there: contracts have only grown since."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)

PROTO = Path(__file__).resolve().parents[3] / "proto"
Messages = dict[str, DescriptorProto]


@pytest.fixture(scope="module")
def released() -> FileDescriptorSet:
    return FileDescriptorSet.FromString((PROTO / "released.binpb").read_bytes())


@pytest.fixture(scope="module")
def present(tmp_path_factory: pytest.TempPathFactory) -> FileDescriptorSet:
    """The contracts as their sources say it; nothing of them is loaded into this process."""
    target = tmp_path_factory.mktemp("contracts") / "now.binpb"
    sources = sorted(str(path.relative_to(PROTO)) for path in PROTO.glob("onecode/**/*.proto"))
    paths = [f"--proto_path={PROTO}", f"--proto_path={files('grpc_tools') / '_proto'}"]
    command = [sys.executable, "-m", "grpc_tools.protoc", *paths, f"--descriptor_set_out={target}", *sources]
    subprocess.run(command, check=True)
    return FileDescriptorSet.FromString(target.read_bytes())


def test_contracts_have_only_grown_since_the_release(released: FileDescriptorSet, present: FileDescriptorSet) -> None:
    """If one must change otherwise: write a `v2` beside it."""
    assert list(broken(released, present)) == []


def test_every_contract_was_released(released: FileDescriptorSet) -> None:
    services = {service.name for file in released.file for service in file.service}
    assert {"IngestionService", "TrainingService", "RegistryService", "RolloutService"} <= services


def broken(before: FileDescriptorSet, after: FileDescriptorSet) -> Iterator[str]:
    """Yield what a program that was built with the contracts of before would miss, or take for something else."""
    now, enums_now = _messages(after), _enums(after)
    for name, message in _messages(before).items():
        yield from _fields(name, message, now.get(name, DescriptorProto()))
    for name, enum in _enums(before).items():
        values = {value.name: value.number for value in enums_now.get(name, EnumDescriptorProto()).value}
        yield from (f"{name}.{old.name}" for old in enum.value if values.get(old.name) != old.number)
    methods = _methods(after)
    yield from (name for name, shape in _methods(before).items() if methods.get(name) != shape)


def _fields(name: str, before: DescriptorProto, after: DescriptorProto) -> Iterator[str]:
    numbers = {field.number: field for field in after.field}
    for old in before.field:
        new = numbers.pop(old.number, FieldDescriptorProto())
        if _shape(old, before) != _shape(new, after):
            yield f"{name}.{old.name} = {old.number}"
    for left in before.reserved_range:
        yield from (f"{name}: {one} is reserved" for one in numbers if left.start <= one < left.end)


def _shape(field: FieldDescriptorProto, message: DescriptorProto) -> tuple[object, ...]:
    """Return what both sides must agree on; the name, because REST shows it."""
    choice = message.oneof_decl[field.oneof_index].name if field.HasField("oneof_index") else ""
    return field.name, field.type, field.label, field.type_name, field.proto3_optional, choice


def _messages(contracts: FileDescriptorSet) -> Messages:
    found: Messages = {}

    def add(prefix: str, messages: "list[DescriptorProto]") -> None:
        for message in messages:
            found[f"{prefix}.{message.name}"] = message
            add(f"{prefix}.{message.name}", list(message.nested_type))

    for file in contracts.file:
        add(file.package, list(file.message_type))
    return found


def _enums(contracts: FileDescriptorSet) -> dict[str, EnumDescriptorProto]:
    found = {f"{file.package}.{enum.name}": enum for file in contracts.file for enum in file.enum_type}
    inner = ((f"{name}.{enum.name}", enum) for name, one in _messages(contracts).items() for enum in one.enum_type)
    return {**found, **dict(inner)}


def _methods(contracts: FileDescriptorSet) -> dict[str, tuple[object, ...]]:
    return {
        f"{file.package}.{service.name}/{one.name}": (
            one.input_type,
            one.output_type,
            one.client_streaming,
            one.server_streaming,
        )
        for file in contracts.file
        for service in file.service
        for one in service.method
    }


def _rollout(contracts: FileDescriptorSet) -> FileDescriptorProto:
    return next(file for file in contracts.file if file.package == "onecode.rollout.v1")


def _gateway(file: FileDescriptorProto) -> DescriptorProto:
    return next(message for message in file.message_type if message.name == "Gateway")


def _renumber(file: FileDescriptorProto) -> None:
    _gateway(file).field[0].number = 900


def _retype(file: FileDescriptorProto) -> None:
    _gateway(file).field[0].type = FieldDescriptorProto.TYPE_BYTES


def _repeat(file: FileDescriptorProto) -> None:
    _gateway(file).field[0].label = FieldDescriptorProto.LABEL_REPEATED


def _choose(file: FileDescriptorProto) -> None:
    _gateway(file).oneof_decl.add(name="choice")
    _gateway(file).field[0].oneof_index = 0


def _drop_field(file: FileDescriptorProto) -> None:
    del _gateway(file).field[0]


def _drop_message(file: FileDescriptorProto) -> None:
    file.message_type.remove(_gateway(file))


def _drop_method(file: FileDescriptorProto) -> None:
    del file.service[0].method[0]


def _stream(file: FileDescriptorProto) -> None:
    file.service[0].method[0].server_streaming = True


@pytest.mark.parametrize(
    "change", [_renumber, _retype, _repeat, _choose, _drop_field, _drop_message, _drop_method, _stream]
)
def test_a_change_that_breaks_others_is_noticed(
    released: FileDescriptorSet, change: Callable[[FileDescriptorProto], None]
) -> None:
    changed = FileDescriptorSet.FromString(released.SerializeToString())
    change(_rollout(changed))
    assert list(broken(released, changed))


def test_what_is_added_breaks_nobody(released: FileDescriptorSet) -> None:
    changed = FileDescriptorSet.FromString(released.SerializeToString())
    _gateway(_rollout(changed)).field.add(name="later", number=900, type=FieldDescriptorProto.TYPE_STRING)
    _rollout(changed).service[0].method.add(name="Later")
    assert list(broken(released, changed)) == []
