# ruff: noqa: ARG002
"""Real servers of the contracts for the console's tests: they check tokens, hold the seeds, and record calls."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from onecode.ingestion.v1 import ingestion_pb2 as ing
from onecode.ingestion.v1 import ingestion_pb2_grpc
from onecode.registry.v1 import registry_pb2 as reg
from onecode.registry.v1 import registry_pb2_grpc
from onecode.rollout.v1 import rollout_pb2 as ro
from onecode.rollout.v1 import rollout_pb2_grpc
from onecode.training.v1 import training_pb2 as tr
from onecode.training.v1 import training_pb2_grpc
from onecode_common.clock import SystemClock
from onecode_common.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from onecode_common.rpc import GrpcServer, Rule, current_caller
from onecode_common.tokens import TokenVerifier


class Plant:
    """What the other services hold, and who asked for what."""

    def __init__(self, seeds: Any) -> None:
        self.seeds = seeds
        self.calls: list[tuple[str, str, Any]] = []
        self.runs = {one.run_id: one for one in seeds.runs()}
        self.rollouts = {one.rollout_id: one for one in seeds.rollouts()}
        self.gateways = {one.gateway_id: one for one in seeds.gateways()}
        self.segments = [ro.Segment(name=name, project="default", gateways=6) for name in ("line-1", "line-2")]
        self.empty = False
        self.uploads: dict[str, bytearray] = {}
        self.objects: dict[str, bytes] = {}
        self.pieces: list[int] = []
        self.arrived = threading.Semaphore(0)
        self.run_goes_on = threading.Event()

    def note(self, method: str, request: Any) -> None:
        self.calls.append((method, current_caller().principal, request))

    def last(self, method: str) -> Any:
        return next(request for name, _, request in reversed(self.calls) if name == method)


def found(things: dict[str, Any], key: str, what: str) -> Any:
    if key not in things:
        raise NotFoundError(f"no {what} {key!r}", code=f"{what}.unknown")
    return things[key]


class Ingestion(ingestion_pb2_grpc.IngestionServiceServicer):
    def __init__(self, plant: Plant) -> None:
        self.plant = plant

    def GetUpload(self, request: Any, context: Any) -> Any:
        self.plant.note("GetUpload", request)
        content = found(self.plant.uploads, request.upload_id, "upload")
        return ing.GetUploadResponse(upload=ing.Upload(upload_id=request.upload_id, offset=len(content)))

    def PreviewUpload(self, request: Any, context: Any) -> Any:
        self.plant.note("PreviewUpload", request)
        return ing.PreviewUploadResponse(options=request.options, estimated_rows=7)

    def CommitUpload(self, request: Any, context: Any) -> Any:
        self.plant.note("CommitUpload", request)
        return ing.CommitUploadResponse(version=self.plant.seeds.data_version())

    def ListDatasets(self, request: Any, context: Any) -> Any:
        self.plant.note("ListDatasets", request)
        if self.plant.empty:
            return ing.ListDatasetsResponse()
        latest = self.plant.seeds.data_version()
        return ing.ListDatasetsResponse(datasets=[ing.Dataset(name="shuttle", versions=2, latest=latest)])

    def ListVersions(self, request: Any, context: Any) -> Any:
        found({"shuttle": 1}, request.dataset, "dataset")
        return ing.ListVersionsResponse(versions=[self.plant.seeds.data_version(n) for n in (1, 2)])

    def GetVersion(self, request: Any, context: Any) -> Any:
        self.plant.note("ingestion.GetVersion", request)
        if request.version_id not in ("", self.plant.seeds.DATA):
            raise NotFoundError(f"no version {request.version_id!r}", code="version.unknown")
        return ing.GetVersionResponse(version=self.plant.seeds.data_version())

    def GetProfile(self, request: Any, context: Any) -> Any:
        return ing.GetProfileResponse(profile=self.plant.seeds.profile())

    def ListRows(self, request: Any, context: Any) -> Any:
        return self.plant.seeds.rows(request.offset, request.limit or 50)

    def DeleteVersion(self, request: Any, context: Any) -> Any:
        raise PreconditionError("the version is used by run/r_done", code="version.held")


class Training(training_pb2_grpc.TrainingServiceServicer):
    def __init__(self, plant: Plant) -> None:
        self.plant = plant

    def ValidateRecipe(self, request: Any, context: Any) -> Any:
        self.plant.note("ValidateRecipe", request)
        return tr.ValidateRecipeResponse(problems=[tr.Problem(path="budget.max_bytes", message="is negative")])

    def StartRun(self, request: Any, context: Any) -> Any:
        self.plant.note("StartRun", request)
        if request.run_id in self.plant.runs:
            raise ConflictError(f"run {request.run_id} exists with another body", code="run.conflict")
        return tr.StartRunResponse(run=tr.Run(run_id=request.run_id, state=tr.RUN_STATE_QUEUED))

    def GetRun(self, request: Any, context: Any) -> Any:
        return tr.GetRunResponse(run=found(self.plant.runs, request.run_id, "run"))

    def ListRuns(self, request: Any, context: Any) -> Any:
        runs = [] if self.plant.empty else self.plant.runs.values()
        return tr.ListRunsResponse(runs=runs)

    def WatchRun(self, request: Any, context: Any) -> Iterator[Any]:
        self.plant.note("WatchRun", request)
        for sequence in range(request.after_sequence + 1, 4):
            yield tr.WatchRunResponse(progress=tr.Progress(sequence=sequence, stage="search", progress=sequence / 10))
        if request.run_id == "r_now":
            self.plant.run_goes_on.wait(20)
        yield tr.WatchRunResponse(run=self.plant.runs["r_done"])

    def StopRun(self, request: Any, context: Any) -> Any:
        self.plant.note("StopRun", request)
        return tr.StopRunResponse(run=found(self.plant.runs, request.run_id, "run"))

    def ResumeRun(self, request: Any, context: Any) -> Any:
        return tr.ResumeRunResponse(run=found(self.plant.runs, request.run_id, "run"))


class Registry(registry_pb2_grpc.RegistryServiceServicer):
    def __init__(self, plant: Plant) -> None:
        self.plant = plant

    def ListModels(self, request: Any, context: Any) -> Any:
        if self.plant.empty:
            return reg.ListModelsResponse()
        latest = self.plant.seeds.model_version(2)
        aliases = {"champion": self.plant.seeds.V1, "challenger": self.plant.seeds.V2}
        return reg.ListModelsResponse(models=[reg.Model(name="shuttle", versions=2, latest=latest, aliases=aliases)])

    def ListVersions(self, request: Any, context: Any) -> Any:
        found({"shuttle": 1}, request.model, "model")
        return reg.ListVersionsResponse(versions=[self.plant.seeds.model_version(n) for n in (1, 2)])

    def GetVersion(self, request: Any, context: Any) -> Any:
        self.plant.note("registry.GetVersion", request)
        if request.release not in (1, 2):
            raise NotFoundError(f"no release {request.release}", code="version.unknown")
        return reg.GetVersionResponse(version=self.plant.seeds.model_version(request.release))

    def ImportVersion(self, request: Any, context: Any) -> Any:
        self.plant.note("ImportVersion", request)
        raise InvalidError("the model uses the domain ai.foreign", code="import.domain")

    def SetAlias(self, request: Any, context: Any) -> Any:
        self.plant.note("SetAlias", request)
        return reg.SetAliasResponse(version=self.plant.seeds.model_version(1))

    def DeleteVersion(self, request: Any, context: Any) -> Any:
        self.plant.note("DeleteVersion", request)
        return reg.DeleteVersionResponse()


class Rollout(rollout_pb2_grpc.RolloutServiceServicer):
    def __init__(self, plant: Plant) -> None:
        self.plant = plant

    def CreateSegment(self, request: Any, context: Any) -> Any:
        raise ConflictError("segment line-1 exists", code="segment.conflict")

    def ListSegments(self, request: Any, context: Any) -> Any:
        return ro.ListSegmentsResponse(segments=self.plant.segments)

    def CreateGateway(self, request: Any, context: Any) -> Any:
        self.plant.note("CreateGateway", request)
        gateway = ro.Gateway(gateway_id=request.name, name=request.name, segment=request.segment, state="pending")
        return ro.CreateGatewayResponse(gateway=gateway, token="oce_x", root_sha256="f" * 64)

    def ListGateways(self, request: Any, context: Any) -> Any:
        every = [] if self.plant.empty else self.plant.gateways.values()
        return ro.ListGatewaysResponse(gateways=[one for one in every if request.segment in ("", one.segment)])

    def GetGateway(self, request: Any, context: Any) -> Any:
        return ro.GetGatewayResponse(gateway=found(self.plant.gateways, request.gateway_id, "gateway"))

    def RevokeGateway(self, request: Any, context: Any) -> Any:
        return ro.RevokeGatewayResponse(gateway=found(self.plant.gateways, request.gateway_id, "gateway"))

    def PlanRollout(self, request: Any, context: Any) -> Any:
        self.plant.note("PlanRollout", request)
        return ro.PlanRolloutResponse(plan=request.plan, estimate=ro.Estimate(sentence="about 40 min"))

    def CreateRollout(self, request: Any, context: Any) -> Any:
        self.plant.note("CreateRollout", request)
        return ro.CreateRolloutResponse(rollout=ro.Rollout(rollout_id=request.rollout_id, plan=request.plan))

    def GetRollout(self, request: Any, context: Any) -> Any:
        return ro.GetRolloutResponse(rollout=found(self.plant.rollouts, request.rollout_id, "rollout"))

    def ListRollouts(self, request: Any, context: Any) -> Any:
        return ro.ListRolloutsResponse(rollouts=[] if self.plant.empty else self.plant.rollouts.values())

    def ExplainRollout(self, request: Any, context: Any) -> Any:
        found(self.plant.rollouts, request.rollout_id, "rollout")
        return ro.ExplainRolloutResponse(decisions=self.plant.seeds.decisions())

    def _move(self, name: str, request: Any, state: str) -> Any:
        self.plant.note(name, request)
        one = found(self.plant.rollouts, request.rollout_id, "rollout")
        verb = name.removesuffix("Rollout").lower()
        if verb not in one.next_actions:
            raise PreconditionError(f"the rollout is {one.state}", code="rollout.state")
        one.state, one.reason = state, "operator"
        del one.next_actions[:]
        one.next_actions.extend(self.plant.seeds.ACTIONS.get(state, ()))
        return one

    def PauseRollout(self, request: Any, context: Any) -> Any:
        return ro.PauseRolloutResponse(rollout=self._move("PauseRollout", request, "paused"))

    def ResumeRollout(self, request: Any, context: Any) -> Any:
        return ro.ResumeRolloutResponse(rollout=self._move("ResumeRollout", request, "running"))

    def PromoteRollout(self, request: Any, context: Any) -> Any:
        return ro.PromoteRolloutResponse(rollout=self._move("PromoteRollout", request, "promoting"))

    def AbortRollout(self, request: Any, context: Any) -> Any:
        return ro.AbortRolloutResponse(rollout=self._move("AbortRollout", request, "aborted"))

    def RollbackRollout(self, request: Any, context: Any) -> Any:
        return ro.RollbackRolloutResponse(rollout=self._move("RollbackRollout", request, "rolling_back"))

    def CancelRollout(self, request: Any, context: Any) -> Any:
        return ro.CancelRolloutResponse(rollout=self._move("CancelRollout", request, "canceled"))

    def ApproveRollout(self, request: Any, context: Any) -> Any:
        return ro.ApproveRolloutResponse(rollout=self._move("ApproveRollout", request, "scheduled"))


_SERVICES: dict[str, tuple[Any, Any, Any]] = {
    "ingestion": (Ingestion, ingestion_pb2_grpc.add_IngestionServiceServicer_to_server, ing),
    "training": (Training, training_pb2_grpc.add_TrainingServiceServicer_to_server, tr),
    "registry": (Registry, registry_pb2_grpc.add_RegistryServiceServicer_to_server, reg),
    "rollout": (Rollout, rollout_pb2_grpc.add_RolloutServiceServicer_to_server, ro),
}


def grpc_server(service: str, plant: Plant, jwks_file: Path, address: str = "127.0.0.1:0") -> GrpcServer:
    """Return one service's server; only the console may call it, and only for a person or a program."""
    servicer, add, module = _SERVICES[service]
    (name,) = module.DESCRIPTOR.services_by_name
    full = module.DESCRIPTOR.services_by_name[name]
    rules = {f"/{full.full_name}/{method.name}": Rule.of("console", needs_principal=True) for method in full.methods}
    server = GrpcServer(service, address, TokenVerifier(jwks_file, SystemClock()), rules)
    add(servicer(plant), server.server)
    return server
