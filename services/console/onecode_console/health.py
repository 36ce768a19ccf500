"""Look at every service the way the console uses it: a small question, answered or not."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from onecode.ingestion.v1 import ingestion_pb2 as ingestion
from onecode.registry.v1 import registry_pb2 as registry
from onecode.rollout.v1 import rollout_pb2 as rollout
from onecode.training.v1 import training_pb2 as training
from onecode_common.errors import OnecodeError
from onecode_console.ports import Peers

_TIMEOUT_S = 2.0


class Health:
    """What the console sees of the other services.

    Args:
        peers: The services with a gRPC contract.
        project: In whose name to ask.
        inference: Returns why the cloud's inference server does not answer, or None.
        bus: Returns why the message bus is away, or None.
    """

    def __init__(
        self, peers: Peers, project: str, inference: Callable[[], str | None], bus: Callable[[], str | None]
    ) -> None:
        self._questions: dict[str, Callable[[], str | None]] = {
            "ingestion": self._ask(peers, "ListDatasets", ingestion.ListDatasetsRequest(project=project, page_size=1)),
            "training": self._ask(peers, "ListRuns", training.ListRunsRequest(project=project, page_size=1)),
            "registry": self._ask(peers, "ListModels", registry.ListModelsRequest(project=project)),
            "rollout": self._ask(peers, "ListSegments", rollout.ListSegmentsRequest(project=project)),
            "inference": inference,
            "bus": bus,
        }

    def look(self) -> list[dict[str, Any]]:
        """Return name, readiness and reason of each service; takes two seconds at most."""
        with ThreadPoolExecutor(max_workers=len(self._questions)) as pool:
            asked = {name: pool.submit(copy_context().run, ask) for name, ask in self._questions.items()}
        reasons = {name: future.result() for name, future in asked.items()}
        return [{"name": name, "ready": reason is None, "reason": reason or ""} for name, reason in reasons.items()]

    @staticmethod
    def _ask(peers: Peers, method: str, request: Any) -> Callable[[], str | None]:
        service = request.DESCRIPTOR.file.package.split(".")[1]

        def ask() -> str | None:
            try:
                peers.call(service, method, request, _TIMEOUT_S)
            except OnecodeError as error:
                return error.message[:200]
            return None

        return ask
