"""Answer what is asked beside inferences: the service knows, this file only translates to JSON."""

from collections.abc import Callable, Mapping
from typing import Any

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, PreconditionError
from onecode_serving.access.grant import Grant
from onecode_serving.domain.contract import TensorSpec
from onecode_serving.domain.messages import Parameter
from onecode_serving.oip.config import PLATFORM
from onecode_serving.oip.service import OipService
from onecode_serving.rest.document import number_of, optional_object, text_of
from onecode_serving.rest.paths import Endpoint
from onecode_serving.rest.reply import Reply, json_reply
from onecode_serving.rest.route import RestRoute

Later = Callable[[Reply | OnecodeError], None]
Handler = Callable[[Endpoint, RestRoute, bytes, Grant | None], Reply]


class Control:
    """The endpoints of the protocol but inference; on the loop's thread only.

    Args:
        service: Answers.
    """

    def __init__(self, service: OipService) -> None:
        self._service = service
        self._plane = service.plane
        self._handlers: Mapping[str, Handler] = {
            "live": lambda *_: json_reply(200, {"live": True}),
            "ready": self._ready,
            "server": lambda *_: json_reply(200, service.server_metadata()),
            "model": self._model,
            "model.ready": self._model_ready,
            "config": self._config,
            "stats": self._stats,
            "repository.index": self._index,
            "repository.unload": self._unload,
            "trace": self._trace,
            "logging": self._logging,
            "system.status": self._regions,
            "system.register": self._register,
            "system.unregister": self._unregister,
            "cuda.status": self._no_regions,
            "cuda.register": _no_cuda,
            "cuda.unregister": _no_cuda,
        }

    def answer(self, route: RestRoute, body: bytes, grant: Grant | None, later: Later) -> Reply | None:
        """Return the answer to a request, or None if ``later`` is told it.

        Raises:
            OnecodeError: The request is refused.
        """
        endpoint = route.endpoint
        if endpoint is None:
            message = "there is no such path"
            raise NotFoundError(message, code="http.404")
        if grant is not None:
            grant.check(route.verb, endpoint.model)
        if endpoint.what == "repository.load":
            self._load(endpoint, body, later)
            return None
        return self._handlers[endpoint.what](endpoint, route, body, grant)

    def _ready(self, *_: object) -> Reply:
        good = self._plane.ready() is None
        return json_reply(200 if good else 400, {"ready": good})

    def _model_ready(self, endpoint: Endpoint, *_: object) -> Reply:
        good = self._plane.model_ready(endpoint.model, endpoint.version)
        return json_reply(200 if good else 400, {"name": endpoint.model, "ready": good})

    def _model(self, endpoint: Endpoint, *_: object) -> Reply:
        version, held = self._plane.metadata(endpoint.model, endpoint.version)
        document = {
            "name": version.model,
            "versions": held,
            "platform": PLATFORM,
            "inputs": [_described(spec) for spec in self._service.plane.contract(version).inputs],
            "outputs": [_described(spec) for spec in version.contract.outputs],
            "properties": {"onecode_model_digest": version.digest, "onecode_release": str(version.release)},
        }
        return json_reply(200, document)

    def _config(self, endpoint: Endpoint, *_: object) -> Reply:
        return json_reply(200, self._service.model_config(endpoint.model, endpoint.version))

    def _stats(self, endpoint: Endpoint, _route: RestRoute, _body: bytes, grant: Grant | None) -> Reply:
        return json_reply(200, self._service.statistics(endpoint.model, endpoint.version, grant))

    def _index(self, endpoint: Endpoint, _route: RestRoute, body: bytes, grant: Grant | None) -> Reply:
        ready = optional_object(body).get("ready", False)
        if not isinstance(ready, bool):
            raise _wrong("ready", "true or false", ready)
        found = [
            {"name": entry.name, "version": entry.version, "state": entry.state, "reason": entry.reason}
            for entry in self._service.repository.index(endpoint.name, ready=ready)
            if grant is None or grant.knows(entry.name)
        ]
        return json_reply(200, found)

    def _load(self, endpoint: Endpoint, body: bytes, later: Later) -> None:
        def done(error: OnecodeError | None) -> None:
            later(json_reply(200, {"name": endpoint.model, "load": True}) if error is None else error)

        self._service.repository.load(endpoint.model, _parameters(body), done, endpoint.name)

    def _unload(self, endpoint: Endpoint, _route: RestRoute, body: bytes, _grant: Grant | None) -> Reply:
        self._service.repository.unload(endpoint.model, _parameters(body), endpoint.name)
        return json_reply(200, {"name": endpoint.model, "unload": True})

    def _trace(self, endpoint: Endpoint, route: RestRoute, body: bytes, _grant: Grant | None) -> Reply:
        changes: dict[str, str | list[str] | None] = {}
        for name, value in ({} if route.reads else optional_object(body)).items():
            single = value is None or isinstance(value, str)
            if not single and not (isinstance(value, list) and all(isinstance(one, str) for one in value)):
                raise _wrong(name, "text, a list of texts, or null for what is set for all", value)
            changes[name] = value
        return json_reply(200, self._service.trace_settings(endpoint.model, changes))

    def _logging(self, _endpoint: Endpoint, route: RestRoute, body: bytes, _grant: Grant | None) -> Reply:
        changes: dict[str, bool | int | str] = {}
        for name, value in ({} if route.reads else optional_object(body)).items():
            if not isinstance(value, (bool, int, str)):
                raise _wrong(name, "true, false, a whole number or text", value)
            changes[name] = value
        return json_reply(200, self._service.log_settings(changes))

    def _regions(self, endpoint: Endpoint, *_: object) -> Reply:
        found = self._service.memory.status(endpoint.name)
        regions = [
            {"name": one.name, "key": one.key, "offset": one.offset, "byte_size": one.byte_size} for one in found
        ]
        return json_reply(200, regions)

    def _register(self, endpoint: Endpoint, _route: RestRoute, body: bytes, _grant: Grant | None) -> Reply:
        document = optional_object(body)
        key, offset, size = text_of(document, "key"), number_of(document, "offset"), number_of(document, "byte_size")
        self._service.memory.register(endpoint.name, key, offset, size)
        return json_reply(200, {})

    def _unregister(self, endpoint: Endpoint, *_: object) -> Reply:
        self._service.memory.unregister(endpoint.name)
        return json_reply(200, {})

    def _no_regions(self, *_: object) -> Reply:
        return json_reply(200, [])


def _no_cuda(*_: object) -> Reply:
    message = "this server uses no GPU: register system shared memory, or send the tensors"
    raise PreconditionError(message, code="rpc.unimplemented")


def _parameters(body: bytes) -> dict[str, Parameter]:
    parameters = optional_object(body).get("parameters") or {}
    if not isinstance(parameters, dict):
        raise _wrong("parameters", "an object", parameters)
    return parameters


def _described(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": list(spec.shape)}


def _wrong(name: str, expected: str, got: object) -> InvalidError:
    message = f"{name[:80]}: expected {expected}, got {str(got)[:80]}"
    return InvalidError(message, code="json.field", params={"field": name[:80], "got": str(got)[:80]})
