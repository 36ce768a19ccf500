"""Answer the registry's gRPC calls: wire in, use case, wire out."""

from onecode.registry.v1 import registry_pb2 as pb
from onecode.registry.v1 import registry_pb2_grpc as rpc
from onecode_common.rpc import Rule, current_caller
from onecode_common.rpc.context import Caller
from onecode_registry.convert import (
    candidate_from_wire,
    foreign_from_wire,
    log_from_wire,
    model_to_wire,
    publication_from_wire,
    version_to_wire,
)
from onecode_registry.domain.version import Alias
from onecode_registry.usecases.admission import Admission
from onecode_registry.usecases.aliases import Aliases
from onecode_registry.usecases.policies import Policies
from onecode_registry.usecases.runs import Runs
from onecode_registry.usecases.versions import Versions

_PREFIX = "/onecode.registry.v1.RegistryService/"
_EVERYBODY = Rule.of("console", "training", "rollout", "inference")

RULES = {
    f"{_PREFIX}RegisterVersion": Rule.of("training"),
    f"{_PREFIX}ImportVersion": Rule.of("console", needs_principal=True),
    f"{_PREFIX}GetVersion": _EVERYBODY,
    f"{_PREFIX}ListModels": _EVERYBODY,
    f"{_PREFIX}ListVersions": _EVERYBODY,
    f"{_PREFIX}SetAlias": Rule.of("console", "training", "rollout"),
    f"{_PREFIX}DeleteVersion": Rule.of("console", needs_principal=True),
    f"{_PREFIX}LogRun": Rule.of("training"),
    f"{_PREFIX}PublishPolicy": Rule.of("rollout"),
    f"{_PREFIX}GetDistribution": Rule.of("rollout"),
}
"""Who may call what."""


class RegistryServicer(rpc.RegistryServiceServicer):
    """The wire face of the use cases."""

    def __init__(
        self, admission: Admission, versions: Versions, aliases: Aliases, policies: Policies, runs: Runs
    ) -> None:
        self._admission = admission
        self._versions = versions
        self._aliases = aliases
        self._policies = policies
        self._runs = runs

    def RegisterVersion(self, request: pb.RegisterVersionRequest, _context: object) -> pb.RegisterVersionResponse:
        """Answer once the version is signed; repeating the call with the same id is harmless."""
        found = self._admission.register(candidate_from_wire(request), _who().principal)
        return pb.RegisterVersionResponse(version=version_to_wire(found))

    def ImportVersion(self, request: pb.ImportVersionRequest, _context: object) -> pb.ImportVersionResponse:
        """Answer once the file was tried and signed; repeating the call with the same id is harmless."""
        found = self._admission.import_file(foreign_from_wire(request), _who().principal)
        return pb.ImportVersionResponse(version=version_to_wire(found))

    def GetVersion(self, request: pb.GetVersionRequest, _context: object) -> pb.GetVersionResponse:
        """Answer with the version that digest, release or alias names; the latest if only a model is named."""
        found = self._versions.get(request.project, request.digest, request.model, request.release, request.alias)
        return pb.GetVersionResponse(version=version_to_wire(found))

    def ListModels(self, request: pb.ListModelsRequest, _context: object) -> pb.ListModelsResponse:
        """Answer with all models by name."""
        return pb.ListModelsResponse(models=[model_to_wire(one) for one in self._versions.models(request.project)])

    def ListVersions(self, request: pb.ListVersionsRequest, _context: object) -> pb.ListVersionsResponse:
        """Answer with a model's versions, newest first."""
        found = self._versions.of_model(request.project, request.model)
        return pb.ListVersionsResponse(versions=[version_to_wire(one) for one in found])

    def SetAlias(self, request: pb.SetAliasRequest, _context: object) -> pb.SetAliasResponse:
        """Answer with the version that the alias names now; with none if it was removed."""
        wanted = Alias(request.project, request.model, request.alias, request.digest)
        found = self._aliases.set(wanted, request.expected_digest, _who().principal)
        return pb.SetAliasResponse(version=version_to_wire(found) if found is not None else None)

    def DeleteVersion(self, request: pb.DeleteVersionRequest, _context: object) -> pb.DeleteVersionResponse:
        """Answer once the version is out of the signed list."""
        self._versions.delete(request.project, request.digest, _who().principal)
        return pb.DeleteVersionResponse()

    def LogRun(self, request: pb.LogRunRequest, _context: object) -> pb.LogRunResponse:
        """Answer once the content is stored; MLflow hears of it later."""
        self._runs.log(log_from_wire(request))
        return pb.LogRunResponse()

    def PublishPolicy(self, request: pb.PublishPolicyRequest, _context: object) -> pb.PublishPolicyResponse:
        """Answer once gateways can fetch it."""
        generation = self._policies.publish(publication_from_wire(request), _who().principal)
        return pb.PublishPolicyResponse(generation=generation)

    def GetDistribution(self, request: pb.GetDistributionRequest, _context: object) -> pb.GetDistributionResponse:
        """Answer with what is published now."""
        published = self._policies.published(request.project)
        return pb.GetDistributionResponse(fleet_metadata=published.fleet, root_metadata=published.root)


def _who() -> Caller:
    return current_caller()
