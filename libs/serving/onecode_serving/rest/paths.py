"""Say what a request's path asks for."""

from dataclasses import dataclass
from urllib.parse import unquote_to_bytes

from onecode_common.errors import NotFoundError, OnecodeError, PreconditionError

GET = ("GET", "HEAD")
POST = ("POST",)
BOTH = ("GET", "HEAD", "POST")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One thing that can be asked for.

    Attributes:
        what: Its name, such as ``infer`` or ``repository.load``.
        verb: The right that it needs: ``health``, ``read``, ``infer`` or ``admin``; of a POST where GET is allowed too.
        methods: That are answered.
        model: Name of the model, or empty.
        version: As the caller names it, or empty.
        name: Of a repository or of a shared memory region, or empty.
    """

    what: str
    verb: str
    methods: tuple[str, ...]
    model: str = ""
    version: str = ""
    name: str = ""


_PLAIN = {
    ("v2",): Endpoint("server", "read", GET),
    ("v2", "health", "live"): Endpoint("live", "health", GET),
    ("v2", "health", "ready"): Endpoint("ready", "health", GET),
    ("v2", "models", "stats"): Endpoint("stats", "read", GET),
    ("v2", "trace", "setting"): Endpoint("trace", "admin", BOTH),
    ("v2", "logging"): Endpoint("logging", "admin", BOTH),
}
_ABOUT = {
    (): Endpoint("model", "read", GET),
    ("ready",): Endpoint("model.ready", "read", GET),
    ("config",): Endpoint("config", "read", GET),
    ("stats",): Endpoint("stats", "read", GET),
    ("infer",): Endpoint("infer", "infer", POST),
}
_MEMORY = {
    "status": ("read", GET),
    "register": ("admin", POST),
    "unregister": ("admin", POST),
}
_MEMORIES = {"systemsharedmemory": "system", "cudasharedmemory": "cuda"}


def endpoint_of(target: bytes) -> Endpoint:
    """Return what a request target asks for; names are percent-decoded after the path was split.

    Raises:
        NotFoundError: Nothing is here.
    """
    path = target.split(b"?", 1)[0]
    if path.endswith(b"/"):
        path = path[:-1]
    parts = tuple(unquote_to_bytes(part).decode("utf-8", "replace") for part in path[1:].split(b"/"))
    found = _PLAIN.get(parts)
    if found is None and parts[0] == "v2" and len(parts) > 1:
        if parts[1] == "models":
            found = _of_model(parts[2:])
        elif parts[1] == "repository":
            found = _of_repository(parts[2:])
        elif parts[1] in _MEMORIES:
            found = _of_memory(_MEMORIES[parts[1]], parts[2:])
    if found is None:
        shown = "/".join(parts).encode("ascii", "replace").decode()[:120]
        message = f"there is no path {shown!r}: see /v2 and /v2/models/<name>"
        raise NotFoundError(message, code="http.404")
    return found


def not_allowed(method: str, endpoint: Endpoint) -> OnecodeError:
    """Return the refusal of a method that this endpoint does not answer; its ``params`` name those that it does."""
    allowed = ", ".join(endpoint.methods)
    message = f"method {method[:20]} is not allowed here: use {allowed}"
    return PreconditionError(message, code="http.405", params={"allow": allowed})


def _of_model(parts: tuple[str, ...]) -> Endpoint | None:
    if not parts or not parts[0] or parts[0] == "stats":
        return None
    model, version, rest = parts[0], "", parts[1:]
    if rest == ("trace", "setting"):
        return Endpoint("trace", "admin", BOTH, model)
    if len(rest) > 1 and rest[0] == "versions":
        version, rest = rest[1], rest[2:]
        if not version:
            return None
    about = _ABOUT.get(rest)
    return None if about is None else Endpoint(about.what, about.verb, about.methods, model, version)


def _of_repository(parts: tuple[str, ...]) -> Endpoint | None:
    """Read ``[{repository}/]index`` and ``[{repository}/]models/{model}/load``, ``…/unload``."""
    repository = ""
    # The shorter form wins where a repository is called "models" or "index".
    if len(parts) in (2, 4):
        repository, parts = parts[0], parts[1:]
    if parts == ("index",):
        return Endpoint("repository.index", "read", POST, name=repository)
    if len(parts) == 3 and parts[0] == "models" and parts[1] and parts[2] in ("load", "unload"):  # noqa: PLR2004
        return Endpoint(f"repository.{parts[2]}", "admin", POST, parts[1], name=repository)
    return None


def _of_memory(kind: str, parts: tuple[str, ...]) -> Endpoint | None:
    """Read ``[region/{name}/]status`` and so on; a registration needs a name."""
    name = ""
    if len(parts) == 3 and parts[0] == "region" and parts[1]:  # noqa: PLR2004 - region, name, what
        name, parts = parts[1], parts[2:]
    if len(parts) != 1 or parts[0] not in _MEMORY or (parts[0] == "register" and not name):
        return None
    verb, methods = _MEMORY[parts[0]]
    return Endpoint(f"{kind}.{parts[0]}", verb, methods, name=name)
