"""The HTTP faces of the other services for the console's tests: uploads, objects, predictions."""

import hashlib
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from onecode_common.clock import SystemClock
from onecode_common.tokens import CALLER, INSIDE_AUDIENCE, PRINCIPAL, TokenVerifier, audience
from onecode_common.web import HttpServer, bearer


class Face:
    """Uploads, objects and predictions, for the console and nobody else."""

    def __init__(self, plant: Any, jwks_file: Path, api_token: str) -> None:
        self.plant = plant
        self._verifier = TokenVerifier(jwks_file, SystemClock())
        self._api_token = api_token

    def check(self, request: Request, service: str) -> None:
        """Require the console's token for this service and the token of the person behind it."""
        claims = self._verifier.verify(bearer(request), CALLER, audience(service))
        assert claims.issuer == "console"
        person = self._verifier.verify(request.headers["x-onecode-principal"], PRINCIPAL, INSIDE_AUDIENCE)
        assert person.extra == {"role": "admin", "project": "default"}

    async def uploads(self, request: Request) -> Response:
        self.check(request, "ingestion")
        if request.method == "OPTIONS":
            return Response(status_code=204, headers={"Tus-Version": "1.0.0"})
        self.plant.uploads["u_1"] = bytearray()
        return Response(status_code=201, headers={"Location": "/uploads/u_1", "Tus-Resumable": "1.0.0", "X-Own": "no"})

    async def upload(self, request: Request, upload_id: str) -> Response:
        self.check(request, "ingestion")
        held = self.plant.uploads[upload_id]
        if request.method == "HEAD":
            return Response(headers={"Upload-Offset": str(len(held)), "Tus-Resumable": "1.0.0"})
        if int(request.headers["upload-offset"]) != len(held):
            return Response(status_code=409)
        async for piece in request.stream():
            held += piece
            self.plant.pieces.append(len(piece))
            self.plant.arrived.release()
        return Response(status_code=204, headers={"Upload-Offset": str(len(held))})

    async def put(self, request: Request, name: str) -> Response:
        self.check(request, "registry")
        content = await request.body()
        if hashlib.sha256(content).hexdigest() != name:
            body = b'{"type":"about:blank","status":422,"code":"object.digest_mismatch","detail":"other bytes"}'
            return Response(body, 422, media_type="application/problem+json")
        self.plant.objects[name] = content
        return Response(status_code=201)

    async def get(self, request: Request, name: str) -> Response:
        self.check(request, "registry")
        if name not in self.plant.objects:
            return Response(status_code=404)
        return Response(self.plant.objects[name], headers={"ETag": f'"{name}"'})

    async def ready(self) -> Response:
        return Response()

    async def infer(self, request: Request, model: str) -> Response:
        assert bearer(request) == self._api_token
        unit = request.headers.get("x-onecode-unit", "")
        content = b'{"model_name":"%s","echo":%s,"unit":"%s"}' % (model.encode(), await request.body(), unit.encode())
        return Response(content, media_type="application/json", headers={"X-OneCode-Arm": "stable", "X-Secret": "no"})


def http_face(plant: Any, jwks_file: Path, api_token: str) -> HttpServer:
    """Return all of it in one listener."""
    app, face = FastAPI(), Face(plant, jwks_file, api_token)
    app.add_api_route("/uploads", face.uploads, methods=["POST", "OPTIONS"])
    app.add_api_route("/uploads/{upload_id}", face.upload, methods=["HEAD", "PATCH"])
    app.add_api_route("/internal/v1/objects/{name}", face.put, methods=["PUT"])
    app.add_api_route("/internal/v1/objects/{name}", face.get, methods=["GET"])
    app.add_api_route("/v2/models/{model}/infer", face.infer, methods=["POST"])
    app.add_api_route("/v2/health/ready", face.ready, methods=["GET"])
    return HttpServer(app, "127.0.0.1:0")
