"""Answer the REST calls that need more than one question, or a field in another shape."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

from fastapi import FastAPI, Request, Response

from onecode.ingestion.v1 import ingestion_pb2 as ingestion
from onecode.registry.v1 import registry_pb2 as registry
from onecode.training.v1 import training_pb2 as training
from onecode_common.errors import InvalidError, NotFoundError
from onecode_console.api.relay import PREFIX, Document, answer, take_fields
from onecode_console.convert import from_json, to_json
from onecode_console.health import Health
from onecode_console.ports import AuditCopies, Peers

_AUDIT_PAGE = 100


def install_composed(app: FastAPI, peers: Peers, project: str, version: str, health: Health) -> None:
    """Add version, status, data sets, models and runs."""
    install_about(app, version, health)
    install_found(app, peers, project)
    install_recipes(app, peers, project)


def install_about(app: FastAPI, version: str, health: Health) -> None:
    """Add what is running, and how it is."""

    @app.get(f"{PREFIX}/version", tags=["about"], summary="Which release answers")
    def about() -> Response:
        return answer({"version": version, "api": "v1"})

    @app.get(f"{PREFIX}/status", tags=["about"], summary="How each service is, as the console sees it")
    def status() -> Response:
        seen = health.look()
        return answer({"ready": all(one["ready"] for one in seen), "services": seen})


def install_found(app: FastAPI, peers: Peers, project: str) -> None:
    """Add data sets and models with all their versions, and the deletion of a model version by its number."""

    @app.get(f"{PREFIX}/datasets/{{name}}", tags=["ingestion"], summary="A data set: newest version and all versions")
    def dataset(name: str) -> Response:
        newest = ingestion.GetVersionRequest(project=project, dataset=name)
        version = peers.call("ingestion", "GetVersion", newest).version
        every = ingestion.ListVersionsRequest(project=project, dataset=name)
        versions = peers.call("ingestion", "ListVersions", every).versions
        document = {"name": name, "version": to_json(version), "versions": [to_json(each) for each in versions]}
        return answer(document)

    @app.get(f"{PREFIX}/models/{{model}}", tags=["registry"], summary="A model: newest version and all versions")
    def model_(model: str) -> Response:
        every = registry.ListVersionsRequest(project=project, model=model)
        versions = sorted(peers.call("registry", "ListVersions", every).versions, key=lambda each: -each.release)
        aliases = {alias: each.digest for each in versions for alias in each.aliases}
        if not versions:
            message = f"there is no model {ascii(model)[:80]}"
            raise NotFoundError(message, code="model.unknown", params={"model": ascii(model)[:80]})
        document = {
            "name": model,
            "version": to_json(versions[0]),
            "versions": [to_json(each) for each in versions],
            "aliases": aliases,
        }
        return answer(document)

    @app.delete(f"{PREFIX}/models/{{model}}/versions/{{release}}", tags=["registry"], summary="Delete a model version")
    def delete_version(model: str, release: int) -> Response:
        one = registry.GetVersionRequest(project=project, model=model, release=release)
        digest = peers.call("registry", "GetVersion", one).version.digest
        gone = registry.DeleteVersionRequest(project=project, digest=digest)
        return answer(to_json(peers.call("registry", "DeleteVersion", gone)))


def install_recipes(app: FastAPI, peers: Peers, project: str) -> None:
    """Add the two calls that take a recipe, as text (YAML or JSON) or as an object."""

    @app.post(f"{PREFIX}/recipes/validate", tags=["training"], summary="Say what is wrong with a recipe")
    def validate(document: Document) -> Response:
        take_fields(document, ("recipe", "dataset_version"), ("recipe",))
        message = training.ValidateRecipeRequest()
        from_json(_with_text_recipe(document), message)
        message.project = project
        return answer(to_json(peers.call("training", "ValidateRecipe", message)))

    @app.post(f"{PREFIX}/runs", tags=["training"], summary="Start a training run; its id is the caller's")
    def start(document: Document) -> Response:
        allowed = ("run_id", "dataset_version", "recipe", "model")
        take_fields(document, allowed, ("run_id", "dataset_version", "recipe"))
        message = training.StartRunRequest()
        from_json(_with_text_recipe(document), message)
        message.project = project
        return answer(to_json(peers.call("training", "StartRun", message)))


def install_audit(app: FastAPI, copies: AuditCopies) -> None:
    """Add the copies of all services' audit trails, newest first."""

    @app.get(f"{PREFIX}/audit", tags=["about"], summary="Who changed what, newest first")
    def audit(request: Request) -> Response:
        limit = _bounded(request, "limit", _AUDIT_PAGE, 1000)
        rows = copies.newest(limit, _bounded(request, "before", 0, 1 << 62))
        fields = ("source", "sequence", "at", "principal", "action", "object", "decision")
        listed = [{"number": number, **{name: getattr(copy, name) for name in fields}} for number, copy in rows]
        return answer({"audit": listed, "next_before": rows[-1][0] if len(rows) == limit else 0})


def in_parallel(questions: dict[str, Any]) -> dict[str, Any]:
    """Ask independent questions at once, each in the visitor's name; return answers or the errors raised."""
    with ThreadPoolExecutor(max_workers=max(1, len(questions))) as pool:
        futures = {name: pool.submit(copy_context().run, ask) for name, ask in questions.items()}
    return {name: future.exception() or future.result() for name, future in futures.items()}


def _bounded(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(most)) or int(text) > most:
        message = f"query parameter {name} is {ascii(text)[:80]}, expected a whole number up to {most}"
        raise InvalidError(message, code="request.invalid", params={"field": name, "value": ascii(text)[:80]})
    return int(text)


def _with_text_recipe(document: dict[str, Any]) -> dict[str, Any]:
    recipe = document["recipe"]
    return {**document, "recipe": json.dumps(recipe)} if isinstance(recipe, dict) else document
