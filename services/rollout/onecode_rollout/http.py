"""The face that gateways see: enrol, get a token, report. Everything else is answered with 404."""

import base64
import binascii
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from google.protobuf.message import DecodeError

from onecode.edge.v1 import edge_pb2 as edge
from onecode_common.errors import ExhaustedError, InvalidError
from onecode_common.web import bearer, install_errors, strict_json
from onecode_rollout.convert import report_from_wire
from onecode_rollout.usecases.enrolment import Enrolment
from onecode_rollout.usecases.telemetry import Telemetry

MAX_BATCH = 1 << 20
"""Bytes of one batch of reports."""

MAX_REPORTS = 1000
_SPREAD_MS = 2000
_PROTOBUF = "application/x-protobuf"


def edge_app(enrolment: Enrolment, telemetry: Telemetry, tenant: str, distribution_url: str) -> FastAPI:
    """Return the application of ``/edge/v1``."""
    app = FastAPI(title="OneCode edge", openapi_url=None, docs_url=None, redoc_url=None)
    install_errors(app)
    _install_admission(app, enrolment, tenant, distribution_url)
    _install_reports(app, enrolment, telemetry)
    return app


def _install_admission(app: FastAPI, enrolment: Enrolment, tenant: str, distribution_url: str) -> None:
    @app.post("/edge/v1/enrol")
    async def enrol(request: Request) -> dict[str, object]:
        body = _object(await strict_json(request))
        token, key, signature = _text(body, "token"), _bytes(body, "public_key"), _bytes(body, "signature")
        admitted = await run_in_threadpool(enrolment.enrol, token, key, signature, _pairs(body.get("facts")))
        return {
            "gateway_id": admitted.gateway.gateway_id,
            "segment": admitted.gateway.segment,
            "tenant": tenant,
            "state": admitted.gateway.state,
            "root": base64.b64encode(admitted.root).decode(),
            "distribution_url": distribution_url,
            "server_time": admitted.server_time,
        }

    @app.post("/edge/v1/token")
    async def token(request: Request) -> dict[str, object]:
        body = _object(await strict_json(request))
        access = await run_in_threadpool(enrolment.access, _text(body, "assertion"))
        return {
            "access_token": access.token,
            "expires_in": access.expires_in,
            "server_time": access.server_time,
            "segment": access.gateway.segment,
            "tenant": tenant,
            "distribution_url": distribution_url,
            "spread_ms": _SPREAD_MS,
        }


def _install_reports(app: FastAPI, enrolment: Enrolment, telemetry: Telemetry) -> None:
    @app.post("/edge/v1/reports")
    async def reports(request: Request) -> Response:
        gateway_id = await run_in_threadpool(enrolment.authenticated, bearer(request))
        batch = parse_batch(await _body(request))
        told = {gateway_id: [report_from_wire(one) for one in batch.reports]}
        accepted = await run_in_threadpool(telemetry.take, told)
        answer = edge.Acknowledged(sequences=accepted.get(gateway_id, []))
        return Response(answer.SerializeToString(), media_type=_PROTOBUF)


def parse_batch(body: bytes) -> edge.ReportBatch:
    """Return the reports.

    Raises:
        InvalidError: Not a batch, or one of too many reports.
    """
    try:
        batch = edge.ReportBatch.FromString(body)
    except DecodeError as error:
        raise InvalidError("the body is not a ReportBatch", code="reports.undecodable") from error
    if len(batch.reports) > MAX_REPORTS:
        message = f"{len(batch.reports)} reports in one batch: send at most {MAX_REPORTS}"
        raise InvalidError(message, code="reports.too_many")
    return batch


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_BATCH:
            message = f"the batch is larger than {MAX_BATCH} bytes: send it in parts"
            raise ExhaustedError(message, code="body.too_large", params={"limit": MAX_BATCH})
    return bytes(body)


def _object(document: Any) -> dict[str, Any]:
    if not isinstance(document, dict):
        raise InvalidError("the body is not a JSON object", code="json.invalid")
    return document


def _text(body: dict[str, Any], name: str) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidError(f"field {name} is missing or not text", code="request.invalid", params={"field": name})
    return value


def _bytes(body: dict[str, Any], name: str) -> bytes:
    text = _text(body, name)
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError) as error:
        raise InvalidError(f"field {name} is not base64url", code="request.invalid", params={"field": name}) from error


def _pairs(value: Any) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidError("field facts is not an object", code="request.invalid", params={"field": "facts"})
    return {str(name): str(one) for name, one in value.items()}
