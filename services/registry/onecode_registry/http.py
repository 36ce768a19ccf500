"""Move bytes: objects come in from our own services, signed metadata and files go out to who serves them."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request, Response
from fastapi.responses import StreamingResponse

from onecode_common.canonical import sha256_hex
from onecode_common.web import bearer, install_errors
from onecode_registry.access import Access
from onecode_registry.domain.ranges import Range, requested_range
from onecode_registry.usecases.distribution import Distribution, Reader
from onecode_registry.usecases.intake import Intake

_READ = ["GET", "HEAD"]
_BYTES = "application/octet-stream"
_FOREVER = "private, max-age=31536000, immutable"
_NEVER = "no-cache"


def build_app(intake: Intake, distribution: Distribution, access: Access) -> FastAPI:
    """Return the application; every route asks for a token first."""
    app = FastAPI(title="OneCode registry", docs_url=None, redoc_url=None, openapi_url=None)
    install_errors(app)

    def reader(request: Request) -> Reader:
        return access.reader(bearer(request))

    def writer(request: Request) -> str:
        return access.writer(bearer(request))

    @app.put("/internal/v1/objects/{hex_digest}")
    async def put_object(hex_digest: str, request: Request, _writer: Annotated[str, Depends(writer)]) -> Response:
        announced = request.headers.get("content-length", "")
        new = await intake.receive(hex_digest, int(announced) if announced.isdigit() else 0, request.stream())
        return Response(status_code=201 if new else 200)

    @app.api_route("/internal/v1/objects/{hex_digest}", methods=_READ)
    def get_own_object(hex_digest: str, request: Request, _writer: Annotated[str, Depends(writer)]) -> Response:
        return _object(request, distribution, hex_digest, Reader(segment=None))

    @app.api_route("/distribution/v1/metadata/{name}", methods=_READ)
    def get_metadata(name: str, request: Request, _reader: Annotated[Reader, Depends(reader)]) -> Response:
        cache = _NEVER if name == "timestamp.json" else _FOREVER
        return _document(request, distribution.metadata(name), cache)

    @app.api_route("/distribution/v1/targets/{path:path}", methods=_READ)
    def get_target(path: str, request: Request, who: Annotated[Reader, Depends(reader)]) -> Response:
        return _document(request, distribution.target(path, who), _FOREVER)

    @app.api_route("/distribution/v1/objects/{hex_digest}", methods=_READ)
    def get_object(hex_digest: str, request: Request, who: Annotated[Reader, Depends(reader)]) -> Response:
        return _object(request, distribution, hex_digest, who)

    return app


def _object(request: Request, distribution: Distribution, hex_digest: str, who: Reader) -> Response:
    size = distribution.size(hex_digest, who)
    etag = f'"{hex_digest.removeprefix("sha256:")}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Cache-Control": _FOREVER}
    if _is_known(request, etag):
        return Response(status_code=304, headers=headers)
    part = _part(request, size, etag)
    if part is not None and part.length == 0:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{size}"})
    status, span = (200, Range(0, size)) if part is None else (206, part)
    headers["Content-Length"] = str(span.length)
    if part is not None:
        headers["Content-Range"] = f"bytes {part.start}-{part.end - 1}/{size}"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=_BYTES)
    pieces = distribution.read(hex_digest, span.start, span.length)
    return StreamingResponse(pieces, status, headers, media_type=_BYTES)


def _document(request: Request, content: bytes, cache: str) -> Response:
    etag = f'"{sha256_hex(content)}"'
    headers = {"ETag": etag, "Cache-Control": cache}
    if _is_known(request, etag):
        return Response(status_code=304, headers=headers)
    headers["Content-Length"] = str(len(content))
    body = b"" if request.method == "HEAD" else content
    return Response(body, 200, headers, media_type="application/json")


def _is_known(request: Request, etag: str) -> bool:
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    return etag in known or "*" in known


def _part(request: Request, size: int, etag: str) -> Range | None:
    # A resumed download states what it has begun with; of something else it gets everything.
    if request.headers.get("if-range", etag) != etag:
        return None
    return requested_range(request.headers.get("range", ""), size)
