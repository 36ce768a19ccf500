"""Show models and their versions."""

from typing import Any

from fastapi import APIRouter, Request, Response

from onecode_console.pages.desk import Desk


def install(router: APIRouter, desk: Desk) -> None:
    """Add the list of models with their versions."""

    @router.get("/models", name="models")
    def models(request: Request) -> Response:
        found = desk.questions.ask("registry.ListModels").models
        return desk.show(request, "models", {"nav": "models", "models": found})

    @router.get("/models/{name}", name="model")
    def model(request: Request, name: str) -> Response:
        found = desk.questions.ask("registry.ListVersions", model=name).versions
        versions = sorted(found, key=lambda one: -one.release)
        data = {"nav": "models", "name": name, "versions": [_version(one) for one in versions]}
        return desk.show(request, "model", data)


def _version(one: Any) -> dict[str, Any]:
    return {
        "one": one,
        "bytes": sum(file.length for file in one.files if file.name == "model.onnx"),
        "p95_us": one.p95_us if one.HasField("p95_us") else None,
        "metrics": sorted(one.metrics.items())[:3],
    }
