"""Stream uploads to ingestion, objects to the registry and predictions to inference; hold no body."""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from urllib.parse import quote

from fastapi import FastAPI, Request, Response

from onecode_common.ids import check_id, check_name, hex_of
from onecode_console.api.relay import PREFIX
from onecode_console.ports import Upstream

_TUS_REQUEST = (
    "tus-resumable",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "upload-defer-length",
    "upload-checksum",
    "content-type",
    "content-length",
)
_TUS_ANSWER = (
    "tus-resumable",
    "tus-version",
    "tus-extension",
    "tus-max-size",
    "tus-checksum-algorithm",
    "upload-length",
    "upload-metadata",
    "upload-offset",
    "upload-expires",
    "content-type",
    "content-length",
    "location",
    "retry-after",
)
_OBJECT_REQUEST = ("content-type", "content-length", "range", "if-range")
_OBJECT_ANSWER = ("content-type", "content-length", "content-range", "accept-ranges", "etag", "retry-after")
_PREDICT_REQUEST = (
    "content-type",
    "content-length",
    "x-onecode-unit",
    "x-request-id",
    "inference-header-content-length",
)
_PREDICT_ANSWER = (
    "content-type",
    "content-length",
    "retry-after",
    "inference-header-content-length",
    "x-onecode-model-digest",
    "x-onecode-release",
    "x-onecode-arm",
    "x-request-id",
)
_UPLOADS = f"{PREFIX}/uploads"


def install_uploads(app: FastAPI, ingestion: Upstream, credentials: Callable[[], dict[str, str]]) -> None:
    """Add the tus protocol; ``GET`` of an upload is an ordinary call."""

    async def uploads(request: Request) -> Response:
        return await pass_on(request, "/uploads")

    async def upload(request: Request, upload_id: str) -> Response:
        return await pass_on(request, f"/uploads/{quote(check_id(upload_id, 'upload'))}")

    async def pass_on(request: Request, path: str) -> Response:
        headers = {**_chosen(request, _TUS_REQUEST), **credentials()}
        answer = await ingestion.forward(request, path, headers, _TUS_ANSWER, body=_has_body(request))
        location = answer.headers.get("location")
        if location is not None:
            answer.headers["location"] = f"{_UPLOADS}/{location.rstrip('/').rsplit('/', 1)[-1]}"
        return answer

    _add(app, _UPLOADS, uploads, "ingestion", {"POST": "BeginUpload", "OPTIONS": "DescribeUploads"})
    one = {"HEAD": "GetOffset", "PATCH": "AppendUpload", "DELETE": "DropUpload", "OPTIONS": "DescribeUpload"}
    _add(app, f"{_UPLOADS}/{{upload_id}}", upload, "ingestion", one)


def install_objects(app: FastAPI, registry: Upstream, credentials: Callable[[], dict[str, str]]) -> None:
    """Add storing and fetching of model files by digest."""

    async def object_(request: Request, hex_digest: str) -> Response:
        headers = {**_chosen(request, _OBJECT_REQUEST), **credentials()}
        path = f"/internal/v1/objects/{hex_of(hex_digest)}"
        return await registry.forward(request, path, headers, _OBJECT_ANSWER, body=_has_body(request))

    operations = {"PUT": "StoreObject", "GET": "FetchObject", "HEAD": "DescribeObject"}
    _add(app, f"{PREFIX}/objects/{{hex_digest}}", object_, "registry", operations)


def install_predict(app: FastAPI, inference: Upstream, token: Callable[[], str]) -> None:
    """Add prediction by the cloud's inference server, in the Open Inference Protocol's JSON."""

    @app.post(f"{PREFIX}/predict/{{model}}", tags=["inference"], summary="Predict in the cloud (OIP v2 JSON)")
    async def predict(request: Request, model: str) -> Response:
        path = f"/v2/models/{quote(check_name(model, 'model'))}/infer"
        headers = {**_chosen(request, _PREDICT_REQUEST), "authorization": f"Bearer {token()}"}
        return await inference.forward(request, path, headers, _PREDICT_ANSWER, body=_has_body(request))


def _add(
    app: FastAPI, path: str, endpoint: Callable[..., Awaitable[Response]], tag: str, operations: Mapping[str, str]
) -> None:
    for method, operation in operations.items():
        app.add_api_route(path, endpoint, methods=[method], tags=[tag], operation_id=operation, response_model=None)


def _chosen(request: Request, names: Iterable[str]) -> dict[str, str]:
    return {name: request.headers[name] for name in names if name in request.headers}


def _has_body(request: Request) -> bool:
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0") != "0"
