"""List every remote procedure that is answered, with the right that it needs: what is not here is unimplemented."""

from collections.abc import Mapping
from types import MappingProxyType

from onecode_serving.oip import answers, health
from onecode_serving.oip.calls import ADMIN, HEALTH, INFER, READ, Method
from onecode_serving.oip.reflection import Reflection
from onecode_serving.oip.stream import InferStream

__all__ = ["METHODS", "Method"]

_OIP = "/inference.GRPCInferenceService/"
_LOAD_S = 300.0
_FOREVER = float("inf")


def _all() -> Mapping[bytes, Method]:
    unary = {
        "ServerLive": (HEALTH, answers.server_live),
        "ServerReady": (HEALTH, answers.server_ready),
        "ModelReady": (READ, answers.model_ready),
        "ServerMetadata": (READ, answers.server_metadata),
        "ModelMetadata": (READ, answers.model_metadata),
        "ModelInfer": (INFER, answers.model_infer),
        "ModelConfig": (READ, answers.model_config),
        "ModelStatistics": (READ, answers.model_statistics),
        "RepositoryIndex": (READ, answers.repository_index),
        "SystemSharedMemoryStatus": (READ, answers.memory_status),
        "SystemSharedMemoryRegister": (ADMIN, answers.memory_register),
        "SystemSharedMemoryUnregister": (ADMIN, answers.memory_unregister),
        "CudaSharedMemoryStatus": (READ, answers.cuda_status),
        "CudaSharedMemoryRegister": (ADMIN, answers.cuda_refused),
        "CudaSharedMemoryUnregister": (ADMIN, answers.cuda_refused),
        # Reading them is reading; a call with changes is refused to all but administrators where it is answered.
        "TraceSetting": (READ, answers.trace_setting),
        "LogSettings": (READ, answers.log_settings),
    }
    methods = [Method((_OIP + name).encode(), verb, answer=answer) for name, (verb, answer) in unary.items()]
    methods += [
        Method(f"{_OIP}RepositoryModelLoad".encode(), ADMIN, _LOAD_S, answer=answers.repository_load),
        Method(f"{_OIP}RepositoryModelUnload".encode(), ADMIN, _LOAD_S, answer=answers.repository_unload),
        Method(f"{_OIP}ModelStreamInfer".encode(), INFER, _FOREVER, stream=InferStream),
        Method(b"/grpc.health.v1.Health/Check", HEALTH, answer=health.check),
        Method(b"/grpc.health.v1.Health/Watch", HEALTH, _FOREVER, stream=health.Watch),
    ]
    for version in ("v1", "v1alpha"):
        path = f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo".encode()
        methods.append(Method(path, READ, _FOREVER, stream=Reflection))
    return MappingProxyType({method.path: method for method in methods})


METHODS: Mapping[bytes, Method] = _all()
"""By path."""
