"""Ask the other services what a page shows: at once where possible, and go on without who does not answer."""

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from onecode.registry.v1 import registry_pb2 as registry
from onecode_common.errors import OnecodeError, UnavailableError
from onecode_console.ports import Peers

_PATIENCE_S = 4.0
_MODELS = 50


class Questions:
    """What pages ask.

    Args:
        peers: The other services.
        project: In whose name.
    """

    def __init__(self, peers: Peers, project: str) -> None:
        self._peers = peers
        self._project = project

    def ask(self, method: str, **fields: Any) -> Any:
        """Return the answer of ``service.Method`` with these fields.

        Raises:
            OnecodeError: As the service said.
        """
        service, _, rpc = method.partition(".")
        request = self._peers.request_class(service, rpc)(project=self._project, **fields)
        return self._peers.call(service, rpc, request, _PATIENCE_S)

    def together(self, questions: Mapping[str, Callable[[], Any]]) -> dict[str, Any]:
        """Return all answers by name; None for a service that does not answer now.

        Raises:
            OnecodeError: One was refused for another reason.
        """
        with ThreadPoolExecutor(max_workers=max(1, len(questions))) as pool:
            asked = {name: pool.submit(copy_context().run, question) for name, question in questions.items()}
        answers: dict[str, Any] = {}
        for name, future in asked.items():
            error = future.exception()
            if error is not None and not isinstance(error, UnavailableError):
                raise error
            answers[name] = None if error is not None else future.result()
        return answers

    def names(self) -> dict[str, str]:
        """Return ``model v3`` by digest; what cannot be known now is left out."""
        try:
            models = self.ask("registry.ListModels").models[:_MODELS]
            versions = [self._versions(model.name) for model in models]
        except OnecodeError:
            return {}
        return {one.digest: f"{one.model} v{one.release}" for each in versions for one in each}

    def _versions(self, model: str) -> list[registry.Version]:
        return list(self.ask("registry.ListVersions", model=model).versions)


def named(names: Mapping[str, str], digest: str) -> str:
    """Return the name of a version, or the beginning of its digest."""
    return names.get(digest) or digest.removeprefix("sha256:")[:12]
