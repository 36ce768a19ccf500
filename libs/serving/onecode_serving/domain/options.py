"""Say what an operator may switch on for one model beyond answering: remembering answers, rows, and calls."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onecode_common.errors import InvalidError

_MOST_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class CacheOptions:
    """Answers that are given again to equal raw inputs.

    Attributes:
        ttl_s: For how long.
        max_bytes: Of inputs and answers together.
    """

    ttl_s: float = 60.0
    max_bytes: int = 16 << 20


@dataclass(frozen=True, slots=True)
class WindowOptions:
    """Rows that the server keeps, so that a caller sends each reading once.

    Attributes:
        input: The model's input of shape [-1, rows, ...]; callers send [n, ...].
        rows: Of one window.
        sequences: Kept at once; the one that was silent longest is forgotten first.
        idle_s: After which a silent sequence is forgotten.
    """

    input: str
    rows: int
    sequences: int = 10_000
    idle_s: float = 600.0


@dataclass(frozen=True, slots=True)
class LogOptions:
    """Calls that are written down.

    Attributes:
        fraction: Of calls, by chance.
        capture: Write inputs and outputs too: only where who owns the data allowed it.
    """

    fraction: float = 0.01
    capture: bool = False


@dataclass(frozen=True, slots=True)
class ModelOptions:
    """Options of one model; each is off unless it is given."""

    cache: CacheOptions | None = None
    window: WindowOptions | None = None
    log: LogOptions | None = None


def parse_options(document: Any) -> dict[str, ModelOptions]:
    """Return the options by model of a parsed file ``{"models": {"<name>": {"cache": {...}, ...}}}``.

    Raises:
        InvalidError: Something is misspelt, missing or out of range; the message says where.
    """
    models = _members(document, "the file", {"models"}).get("models", {})
    return {name: _options(name, entry) for name, entry in _members(models, "models", None).items()}


def _options(name: str, entry: Any) -> ModelOptions:
    parts = _members(entry, f"models.{name}", {"cache", "window", "log"})
    return ModelOptions(
        cache=_built(CacheOptions, parts.get("cache"), f"models.{name}.cache"),
        window=_built(WindowOptions, parts.get("window"), f"models.{name}.window"),
        log=_built(LogOptions, parts.get("log"), f"models.{name}.log"),
    )


def _built(kind: Any, entry: Any, where: str) -> Any:
    if entry is None:
        return None
    fields = kind.__dataclass_fields__
    given = _members(entry, where, set(fields))
    for name, value in given.items():
        _check(where, name, value, fields[name].type)
    try:
        return kind(**given)
    except TypeError as error:
        message = f"{where} lacks a member: it needs {', '.join(fields)}"
        raise InvalidError(message, code="options.missing") from error


def _check(where: str, name: str, value: Any, kind: Any) -> None:
    good: Mapping[Any, Any] = {str: str, int: int, float: (int, float), bool: bool}
    wanted = good[kind]
    number = kind in (int, float)
    fits = isinstance(value, wanted) and not (number and isinstance(value, bool))
    if fits and number:
        most = 1.0 if name == "fraction" else float(_MOST_ROWS if name == "rows" else 1 << 40)
        fits = 0 < value <= most
    if not fits:
        message = f"{where}.{name}: expected a {kind.__name__} above 0 in range, got {value!r}"
        if not number:
            message = f"{where}.{name}: expected a {kind.__name__}, got {value!r}"
        raise InvalidError(message, code="options.value", params={"field": f"{where}.{name}"})


def _members(document: Any, where: str, allowed: set[str] | None) -> Mapping[str, Any]:
    if not isinstance(document, dict):
        message = f"{where}: expected an object, got {type(document).__name__}"
        raise InvalidError(message, code="options.shape")
    strange = sorted(set(document) - allowed) if allowed is not None else []
    if strange:
        message = f"{where} has {strange[0]!r}: known are {', '.join(sorted(allowed or ()))}"
        raise InvalidError(message, code="options.unknown", params={"field": strange[0]})
    return document
