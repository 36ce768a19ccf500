"""Speak tus 1.0: create an upload, ask for its offset, append, give it up. What was acknowledged is durable.

Extensions: creation, termination, checksum (SHA-256 of one PATCH), expiration.
"""

import hashlib
from base64 import b64decode
from binascii import Error as Base64Error
from contextlib import AsyncExitStack
from email.utils import format_datetime
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from onecode_common.errors import InvalidError, OnecodeError, PreconditionError
from onecode_common.rpc.context import Caller
from onecode_common.tokens import TokenVerifier
from onecode_common.web import error_response, install_errors, problem
from onecode_ingestion.bodies import Turns, pieces
from onecode_ingestion.domain.upload import Upload, parse_number
from onecode_ingestion.gate import Gate
from onecode_ingestion.uploads import Append, Uploads

_VERSION = "1.0.0"
_EXTENSIONS = "creation,termination,checksum,expiration"
_APPENDED = "application/offset+octet-stream"
_STATUS = {
    "upload.malformed": 400,
    "upload.version": 412,
    "upload.content_type": 415,
    "upload.encoded": 415,
    "upload.stalled": 408,
    "upload.override": 405,
    "upload.checksum_mismatch": 460,
}
"""Statuses that tus names, by code; other errors have that of their type."""


def build_app(uploads: Uploads, project: str, verifier: TokenVerifier) -> ASGIApp:
    """Return the upload face, behind its gate."""
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    install_errors(app)
    app.add_exception_handler(OnecodeError, _refused)
    app.add_exception_handler(ClientDisconnect, _cut)
    _install_begin(app, uploads, project)
    _install_one(app, uploads, project)
    _install_append(app, uploads, project)
    return Gate(app, verifier)


def _install_begin(app: FastAPI, uploads: Uploads, project: str) -> None:
    @app.options("/uploads")
    @app.options("/uploads/{upload_id}")
    def options() -> Response:
        headers = {
            "Tus-Version": _VERSION,
            "Tus-Extension": _EXTENSIONS,
            "Tus-Max-Size": str(uploads.most_bytes),
            "Tus-Checksum-Algorithm": "sha256",
        }
        return _answer(204, headers)

    @app.post("/uploads")
    def begin(request: Request) -> Response:
        _check_version(request)
        if "upload-defer-length" in request.headers:
            message = "an upload whose length is not known yet is not taken: send Upload-Length"
            raise InvalidError(message, code="upload.malformed", params={"header": "Upload-Defer-Length"})
        length = parse_number(request.headers.get("upload-length"), "Upload-Length")
        if request.headers.get("content-length", "0") != "0" or "transfer-encoding" in request.headers:
            message = "the request that creates an upload has no body: send bytes with PATCH"
            raise InvalidError(message, code="upload.malformed", params={"header": "Content-Length"})
        metadata = request.headers.get("upload-metadata", "")
        upload = uploads.begin(project, length, metadata, _caller(request).principal)
        return _answer(201, {"Location": f"/uploads/{upload.upload_id}", **_expiry(uploads, upload)})


def _install_one(app: FastAPI, uploads: Uploads, project: str) -> None:
    @app.head("/uploads/{upload_id}")
    def offset(request: Request, upload_id: str) -> Response:
        _check_version(request)
        upload, durable = uploads.find(project, upload_id)
        headers = {
            "Upload-Offset": str(durable),
            "Upload-Length": str(upload.length),
            "Cache-Control": "no-store",
            **_expiry(uploads, upload),
        }
        return _answer(200, headers)

    @app.delete("/uploads/{upload_id}")
    def remove(request: Request, upload_id: str) -> Response:
        _check_version(request)
        uploads.remove(project, upload_id, _caller(request).principal)
        return _answer(204)


def _install_append(app: FastAPI, uploads: Uploads, project: str) -> None:
    turns = Turns()

    @app.patch("/uploads/{upload_id}")
    async def append(request: Request, upload_id: str) -> Response:
        _check_version(request)
        _check_body(request)
        offset = parse_number(request.headers.get("upload-offset"), "Upload-Offset")
        count = request.headers.get("content-length")
        announced = None if count is None else parse_number(count, "Content-Length")
        checksum = _Checksum(request.headers.get("upload-checksum"))
        async with turns.turn(upload_id) as turn:
            target = await run_in_threadpool(uploads.open, project, upload_id, offset, announced)
            durable = await _take(pieces(request, turn), target, checksum)
        return _answer(204, {"Upload-Offset": str(durable)})


async def _take(body: Any, target: Append, checksum: "_Checksum") -> int:
    async with AsyncExitStack() as undoing:
        undoing.push_async_callback(run_in_threadpool, target.undo)
        try:
            async for piece in body:
                checksum.update(piece)
                await run_in_threadpool(target.write, piece)
            checksum.check()
        except (ClientDisconnect, OnecodeError) as error:
            # A cut line or a full disk keeps what came before; what breaks a promise is taken back.
            keeps = isinstance(error, ClientDisconnect) or error.code in ("disk.full", "upload.stalled")
            if keeps and not checksum.wanted:
                undoing.pop_all()
                await run_in_threadpool(target.end)
            raise
        undoing.pop_all()
    return await run_in_threadpool(target.end)


class _Checksum:
    """The SHA-256 that a client announces for the body of one PATCH, if it does."""

    def __init__(self, header: str | None) -> None:
        self.wanted = b""
        self._digest = hashlib.sha256()
        if header is None:
            return
        algorithm, _, value = header.partition(" ")
        try:
            self.wanted = b64decode(value, validate=True)
        except Base64Error:
            algorithm = ""
        if algorithm != "sha256" or len(self.wanted) != self._digest.digest_size:
            message = f"Upload-Checksum must be 'sha256' and a Base64 digest, got {header[:60]!r}"
            raise InvalidError(message, code="upload.malformed", params={"value": header[:60]})

    def update(self, piece: bytes) -> None:
        """Count a piece in."""
        if self.wanted:
            self._digest.update(piece)

    def check(self) -> None:
        """Return if the whole body is what was announced. Raises InvalidError."""
        if self.wanted and self._digest.digest() != self.wanted:
            message = "the bytes of this request do not match their Upload-Checksum: they were not kept"
            raise InvalidError(message, code="upload.checksum_mismatch", hint="send them again")


def _check_version(request: Request) -> None:
    if "x-http-method-override" in request.headers:
        message = "X-HTTP-Method-Override is not obeyed: use the method itself"
        raise InvalidError(message, code="upload.override")
    version = request.headers.get("tus-resumable", "")
    if version != _VERSION:
        message = f"Tus-Resumable must be {_VERSION}, got {version[:20]!r}"
        raise PreconditionError(message, code="upload.version", params={"value": version[:20]})


def _check_body(request: Request) -> None:
    found = request.headers.get("content-type", "")
    if found != _APPENDED:
        message = f"the content type of PATCH must be {_APPENDED}, got {found[:60]!r}"
        raise InvalidError(message, code="upload.content_type", params={"value": found[:60]})
    if "content-encoding" in request.headers:
        message = "Content-Encoding is not taken: send the bytes of the file as they are"
        value = request.headers["content-encoding"][:40]
        raise InvalidError(message, code="upload.encoded", params={"value": value})


def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


def _expiry(uploads: Uploads, upload: Upload) -> dict[str, str]:
    return {"Upload-Expires": format_datetime(uploads.expires(upload), usegmt=True)}


def _answer(status: int, headers: dict[str, str] | None = None) -> Response:
    return Response(status_code=status, headers={"Tus-Resumable": _VERSION, **(headers or {})})


async def _cut(_request: Request, _error: Exception) -> Response:
    return problem(408, "upload.cut", "the line was cut: what had arrived is kept")


async def _refused(_request: Request, error: Exception) -> Response:
    if not isinstance(error, OnecodeError):
        raise error
    answer = error_response(error)
    answer.status_code = _STATUS.get(error.code, answer.status_code)
    answer.headers["Tus-Resumable"] = _VERSION
    if error.code == "upload.version":
        answer.headers["Tus-Version"] = _VERSION
    return answer
