"""Answer the protocol's calls that have one message each way: bytes in, bytes out."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict

from onecode_common.errors import OnecodeError, PreconditionError
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.log_settings import Value
from onecode_serving.domain.messages import InferenceReply
from onecode_serving.oip.calls import ADMIN, READ, Call
from onecode_serving.oip.config import PLATFORM
from onecode_serving.oip.convert import reply_of, request_of
from onecode_serving.oip.repository import dialect
from onecode_serving.oip.service import OipService
from onecode_serving.oip.wire import parsed, pb


def server_live(_service: OipService, body: bytes, _call: Call) -> bytes:
    """Say that the process turns."""
    parsed(pb.ServerLiveRequest, body)
    return pb.ServerLiveResponse(live=True).SerializeToString()


def server_ready(service: OipService, body: bytes, _call: Call) -> bytes:
    """Say whether every model that must answer does."""
    parsed(pb.ServerReadyRequest, body)
    return pb.ServerReadyResponse(ready=service.plane.ready() is None).SerializeToString()


def model_ready(service: OipService, body: bytes, call: Call) -> bytes:
    """Say whether a request to this model and version would be answered; not knowing them is no error."""
    message = parsed(pb.ModelReadyRequest, body)
    known = _knows(call, message.name)
    _check(call, READ, message.name if known else "")
    ready = known and service.plane.model_ready(message.name, message.version)
    return pb.ModelReadyResponse(ready=ready).SerializeToString()


def server_metadata(service: OipService, body: bytes, call: Call) -> bytes:
    """Give name, version and extensions."""
    parsed(pb.ServerMetadataRequest, body)
    _check(call, READ)
    return pb.ServerMetadataResponse(**service.server_metadata()).SerializeToString()


def model_metadata(service: OipService, body: bytes, call: Call) -> bytes:
    """Give the tensors of a model, with -1 for each axis that is free, the batch axis included."""
    message = parsed(pb.ModelMetadataRequest, body)
    _check(call, READ, message.name)
    version, held = service.plane.metadata(message.name, message.version)
    contract = service.plane.contract(version)
    return pb.ModelMetadataResponse(
        name=version.model,
        versions=held,
        platform=PLATFORM,
        inputs=[_described(spec) for spec in contract.inputs],
        outputs=[_described(spec) for spec in contract.outputs],
        properties={"onecode_model_digest": version.digest, "onecode_release": str(version.release)},
    ).SerializeToString()


def model_infer(service: OipService, body: bytes, call: Call) -> None:
    """Answer a prediction, later."""
    request = request_of(body, call.unit, call.deadline)

    def told(outcome: InferenceReply | OnecodeError) -> None:
        if isinstance(outcome, OnecodeError):
            call.fail(outcome)
        else:
            call.reply(reply_of(outcome))

    call.on_cancel(service.submit(request, call.grant, told).cancel)


def model_config(service: OipService, body: bytes, call: Call) -> bytes:
    """Give the configuration of a model."""
    message = parsed(pb.ModelConfigRequest, body)
    _check(call, READ, message.name)
    document = {"config": service.model_config(message.name, message.version)}
    return ParseDict(document, pb.ModelConfigResponse()).SerializeToString()


def model_statistics(service: OipService, body: bytes, call: Call) -> bytes:
    """Give what versions did: one, all of a model, or all."""
    message = parsed(pb.ModelStatisticsRequest, body)
    _check(call, READ, message.name)
    document = service.statistics(message.name, message.version, call.grant)
    return ParseDict(document, pb.ModelStatisticsResponse()).SerializeToString()


def repository_index(service: OipService, body: bytes, call: Call) -> bytes:
    """List the versions that the caller may know of."""
    message = parsed(pb.RepositoryIndexRequest, body)
    _check(call, READ)
    entry = pb.RepositoryIndexResponse.ModelIndex
    models = [
        entry(name=one.name, version=one.version, state=one.state, reason=one.reason)
        for one in service.repository.index(message.repository_name, ready=message.ready)
        if _knows(call, one.name)
    ]
    return pb.RepositoryIndexResponse(models=models).SerializeToString()


def repository_load(service: OipService, body: bytes, call: Call) -> None:
    """Make a model answer; replies when it does, or with the reason why it does not."""
    message = parsed(pb.RepositoryModelLoadRequest, body)
    repository, model = dialect(message.repository_name, message.model_name)
    _check(call, ADMIN, model)

    def done(error: OnecodeError | None) -> None:
        if error is None:
            call.reply(pb.RepositoryModelLoadResponse(model_name=model, isLoaded=True).SerializeToString())
        else:
            call.fail(error)

    service.repository.load(model, _repository_parameters(message.parameters), done, repository)


def repository_unload(service: OipService, body: bytes, call: Call) -> bytes:
    """Make a model answer no more."""
    message = parsed(pb.RepositoryModelUnloadRequest, body)
    repository, model = dialect(message.repository_name, message.model_name)
    known = _knows(call, model)
    _check(call, ADMIN, model if known else "")
    if known:
        service.repository.unload(model, _repository_parameters(message.parameters), repository)
    return pb.RepositoryModelUnloadResponse(model_name=model, isUnloaded=True).SerializeToString()


def memory_status(service: OipService, body: bytes, call: Call) -> bytes:
    """List registered regions."""
    message = parsed(pb.SystemSharedMemoryStatusRequest, body)
    _check(call, READ)
    reply = pb.SystemSharedMemoryStatusResponse()
    for region in service.memory.status(message.name):
        entry = reply.regions[region.name]
        entry.name, entry.key, entry.offset, entry.byte_size = region.name, region.key, region.offset, region.byte_size
    return reply.SerializeToString()


def memory_register(service: OipService, body: bytes, call: Call) -> bytes:
    """Make a part of a POSIX object known."""
    message = parsed(pb.SystemSharedMemoryRegisterRequest, body)
    _check(call, ADMIN)
    service.memory.register(message.name, message.key, message.offset, message.byte_size)
    return pb.SystemSharedMemoryRegisterResponse().SerializeToString()


def memory_unregister(service: OipService, body: bytes, call: Call) -> bytes:
    """Forget a region, or all."""
    message = parsed(pb.SystemSharedMemoryUnregisterRequest, body)
    _check(call, ADMIN)
    service.memory.unregister(message.name)
    return pb.SystemSharedMemoryUnregisterResponse().SerializeToString()


def cuda_status(_service: OipService, body: bytes, call: Call) -> bytes:
    """List nothing: models run on the CPU."""
    parsed(pb.CudaSharedMemoryStatusRequest, body)
    _check(call, READ)
    return pb.CudaSharedMemoryStatusResponse().SerializeToString()


def cuda_refused(_service: OipService, _body: bytes, call: Call) -> bytes:
    """Refuse memory of a GPU.

    Raises:
        PreconditionError: Always (code ``rpc.unimplemented``).
    """
    _check(call, READ)
    message = "models run on the CPU here: CUDA shared memory is not served"
    raise PreconditionError(message, code="rpc.unimplemented")


def trace_setting(service: OipService, body: bytes, call: Call) -> bytes:
    """Give the trace settings, after the changes if there are any."""
    message = parsed(pb.TraceSettingRequest, body)
    changes = {name: tuple(item.value) for name, item in message.settings.items()}
    _check(call, ADMIN if changes else READ, message.model_name)
    reply = pb.TraceSettingResponse()
    for name, value in service.trace_settings(message.model_name, changes).items():
        reply.settings[name].value.extend([value] if isinstance(value, str) else value)
    return reply.SerializeToString()


def log_settings(service: OipService, body: bytes, call: Call) -> bytes:
    """Give the log settings, after the changes if there are any."""
    message = parsed(pb.LogSettingsRequest, body)
    changes: dict[str, Value] = {
        name: getattr(item, item.WhichOneof("parameter_choice") or "string_param")
        for name, item in message.settings.items()
    }
    _check(call, ADMIN if changes else READ)
    reply = pb.LogSettingsResponse()
    for name, value in service.log_settings(changes).items():
        field = (
            "bool_param" if isinstance(value, bool) else "string_param" if isinstance(value, str) else "uint32_param"
        )
        setattr(reply.settings[name], field, value)
    return reply.SerializeToString()


def _check(call: Call, verb: str, model: str = "") -> None:
    if call.grant is not None:
        call.grant.check(verb, model)


def _knows(call: Call, model: str) -> bool:
    """Return whether the caller may learn of such a model; if not, it is told what is said of unknown ones."""
    return call.grant is None or call.grant.knows(model)


def _repository_parameters(parameters: Mapping[str, pb.ModelRepositoryParameter]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, item in parameters.items():
        choice = item.WhichOneof("parameter_choice")
        found[name] = getattr(item, choice) if choice else None
    return found


def _described(spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=spec.name, datatype=spec.datatype, shape=spec.shape)
