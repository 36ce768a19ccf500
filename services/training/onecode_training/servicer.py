"""Expose runs over gRPC: translate, delegate, translate back."""

from collections.abc import Iterator

import grpc

from onecode.training.v1 import training_pb2 as pb
from onecode.training.v1 import training_pb2_grpc as rpc
from onecode_common.rpc import Rule, current_caller
from onecode_training.convert import seen_to_wire, view_to_wire
from onecode_training.usecases.runs import Runs

_SERVICE = "/onecode.training.v1.TrainingService"
_CONSOLE = Rule.of("console", needs_principal=True)

RULES = {
    f"{_SERVICE}/{method}": _CONSOLE
    for method in ("ValidateRecipe", "StartRun", "GetRun", "ListRuns", "WatchRun", "StopRun", "ResumeRun")
}
"""Nobody but the console calls, and always for somebody."""


class TrainingServicer(rpc.TrainingServiceServicer):
    """The wire face of :class:`~onecode_training.usecases.runs.Runs`."""

    def __init__(self, runs: Runs) -> None:
        self._runs = runs

    def ValidateRecipe(
        self, request: pb.ValidateRecipeRequest, context: grpc.ServicerContext
    ) -> pb.ValidateRecipeResponse:
        """Answer with every problem; nothing is started."""
        del context
        problems, recipe = self._runs.validate(request.project, request.recipe, request.dataset_version)
        found = [pb.Problem(path=each.path, message=each.message, value=each.value) for each in problems]
        return pb.ValidateRecipeResponse(problems=found, recipe=recipe)

    def StartRun(self, request: pb.StartRunRequest, context: grpc.ServicerContext) -> pb.StartRunResponse:
        """Answer once the run is stored; it begins when it is its turn."""
        del context
        view = self._runs.start(
            request.project,
            request.run_id,
            request.dataset_version,
            request.recipe,
            request.model,
            current_caller().principal,
        )
        return pb.StartRunResponse(run=view_to_wire(view))

    def GetRun(self, request: pb.GetRunRequest, context: grpc.ServicerContext) -> pb.GetRunResponse:
        """Answer with the run as it is now."""
        del context
        return pb.GetRunResponse(run=view_to_wire(self._runs.get(request.project, request.run_id)))

    def ListRuns(self, request: pb.ListRunsRequest, context: grpc.ServicerContext) -> pb.ListRunsResponse:
        """Answer with runs, newest first."""
        del context
        views, token = self._runs.page(request.project, request.page_size, request.page_token)
        return pb.ListRunsResponse(runs=[view_to_wire(view) for view in views], next_page_token=token)

    def WatchRun(self, request: pb.WatchRunRequest, context: grpc.ServicerContext) -> Iterator[pb.WatchRunResponse]:
        """Answer with every point after the given one until the run has ended."""
        for seen in self._runs.watch(request.project, request.run_id, request.after_sequence, context.is_active):
            yield seen_to_wire(seen)

    def StopRun(self, request: pb.StopRunRequest, context: grpc.ServicerContext) -> pb.StopRunResponse:
        """Answer once the wish is stored; the driver ends within seconds."""
        del context
        view = self._runs.stop(request.project, request.run_id, current_caller().principal)
        return pb.StopRunResponse(run=view_to_wire(view))

    def ResumeRun(self, request: pb.ResumeRunRequest, context: grpc.ServicerContext) -> pb.ResumeRunResponse:
        """Answer once the run is queued again."""
        del context
        view = self._runs.resume(request.project, request.run_id, current_caller().principal)
        return pb.ResumeRunResponse(run=view_to_wire(view))
