"""List, load and unload models on request, in both dialects that clients speak."""

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from onecode_common.errors import DeniedError, InvalidError, NotFoundError, OnecodeError
from onecode_serving.table import READY, IndexEntry

REPOSITORY = "onecode"
"""The only repository: an empty name means it too."""

_UNLOAD_DEPENDENTS = "unload_dependents"


class Models(Protocol):
    """What holds the models."""

    def index(self) -> list[IndexEntry]:
        """Return every version that is held and every model that is known."""
        ...

    def load(self, model: str, done: Callable[[OnecodeError | None], None]) -> None:
        """Make a model answer."""
        ...

    def unload(self, model: str) -> None:
        """Make a model answer no more."""
        ...


class Repository:
    """The protocol's model repository.

    Args:
        models: Of this process.
    """

    def __init__(self, models: Models) -> None:
        self._models = models

    def index(self, repository: str = "", *, ready: bool = False) -> list[IndexEntry]:
        """Return one entry for each version, or those that answer.

        Raises:
            NotFoundError: No such repository.
        """
        require_repository(repository)
        return [entry for entry in self._models.index() if not ready or entry.state == READY]

    def load(
        self,
        model: str,
        parameters: Mapping[str, Any],
        done: Callable[[OnecodeError | None], None],
        repository: str = "",
    ) -> None:
        """Make a model answer; ``done`` is told None then, or why it does not.

        Raises:
            InvalidError: No name, or a parameter that is none.
            DeniedError: A configuration or a file is sent along: models come in by import only, signed.
            NotFoundError: No such repository.
        """
        require_repository(repository)
        _require_name(model)
        for name in parameters:
            if name == "config" or name.startswith("file:"):
                message = f"parameter {name[:80]!r}: models are imported, verified and signed, not uploaded here"
                raise DeniedError(message, code="repository.upload", params={"field": name[:80]})
            raise _unknown_parameter(name)
        self._models.load(model, done)

    def unload(self, model: str, parameters: Mapping[str, Any], repository: str = "") -> None:
        """Make a model answer no more; one that is not known is ignored.

        Raises:
            InvalidError: No name, or a parameter that is none.
            NotFoundError: No such repository.
        """
        require_repository(repository)
        _require_name(model)
        for name, value in parameters.items():
            if name != _UNLOAD_DEPENDENTS:
                raise _unknown_parameter(name)
            if not isinstance(value, bool):
                message = f"parameter {name!r}: expected true or false, got {str(value)[:40]!r}"
                raise InvalidError(message, code="parameter.type", params={"field": name, "expected": "bool"})
        self._models.unload(model)


def dialect(repository: str, model: str) -> tuple[str, str]:
    """Return (repository, model) of a load or unload message.

    In one dialect field 1 is the repository and field 2 the model, in the other field 1 is the model: where field 1
    stands alone, it names a model.
    """
    return (repository, model) if model else ("", repository)


def require_repository(name: str) -> None:
    """Refuse a repository that is not here.

    Raises:
        NotFoundError: It is not.
    """
    if name not in ("", REPOSITORY):
        message = f"repository {name[:80]!r} is not known: leave the name out"
        raise NotFoundError(message, code="repository.unknown", params={"field": "repository_name", "got": name[:80]})


def _require_name(model: str) -> None:
    if not model:
        message = "no model is named: set model_name"
        raise InvalidError(message, code="model.unnamed", params={"field": "model_name"})


def _unknown_parameter(name: str) -> InvalidError:
    message = f"parameter {name[:80]!r} is not known here: leave it out"
    return InvalidError(message, code="parameter.unknown", params={"field": name[:80]})
