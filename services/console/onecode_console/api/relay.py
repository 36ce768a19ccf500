"""Answer the REST calls of the table: strict fields in, one call of another service, its message out."""

import json
from collections.abc import Callable, Mapping
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Request, Response
from google.protobuf.message import Message

from onecode_common.errors import InvalidError
from onecode_common.web import strict_json
from onecode_console.api.calls import CALLS, Call
from onecode_console.convert import from_json, from_query, to_json
from onecode_console.ports import Peers

PREFIX = "/api/v1"


def install_calls(app: FastAPI, peers: Peers, project: str) -> None:
    """Add a route for each call of the table."""
    for call in CALLS:
        app.add_api_route(
            f"{PREFIX}{call.path}",
            _endpoint(call, peers, project),
            methods=[call.method],
            name=f"{call.service}.{call.rpc}",
            operation_id=call.rpc if call.rpc != "GetVersion" else f"{call.service}{call.rpc}",
            tags=[call.service],
            summary=f"{call.rpc} of {call.service}",
            response_model=None,
        )


def answer(document: Any, status: int = 200) -> Response:
    """Return a JSON answer."""
    body = json.dumps(document, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Response(body.encode("utf-8", "backslashreplace"), status, media_type="application/json")


async def read_document(request: Request) -> dict[str, Any]:
    """Return the JSON object of the body; an empty body is an empty object.

    Raises:
        InvalidError: Not strict JSON, not an object, or sent as something else than JSON.
    """
    if request.headers.get("content-length", "") == "0" or (
        "content-length" not in request.headers and "transfer-encoding" not in request.headers
    ):
        return {}
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        message = f"the body is sent as {kind[:80]!r}, expected application/json"
        raise InvalidError(message, code="request.content_type", params={"value": kind[:80]})
    document = await strict_json(request)
    if not isinstance(document, dict):
        message = f"the body is {ascii(document)[:80]}, expected an object"
        raise InvalidError(message, code="request.invalid", params={"value": ascii(document)[:80]})
    return document


Document = Annotated[dict[str, Any], Depends(read_document)]


def take_fields(document: Mapping[str, Any], allowed: tuple[str, ...], required: tuple[str, ...]) -> None:
    """Refuse a body with other fields, or without the required ones.

    Raises:
        InvalidError: It names the field.
    """
    for name in document:
        if name not in allowed:
            known = ", ".join(allowed) or "none"
            message = f"{ascii(name)[:80]} is unknown here: known are {known}"
            raise InvalidError(message, code="request.unknown_field", params={"field": ascii(name)[1:80]})
    for name in required:
        if document.get(name) in (None, ""):
            message = f"{name} is missing"
            raise InvalidError(message, code="request.missing_field", params={"field": name})


def request_of(call: Call, peers: Peers, project: str, request: Request, document: Mapping[str, Any]) -> Message:
    """Return the message that a REST request stands for.

    Raises:
        InvalidError: A field is unknown, missing, or of the wrong type.
    """
    take_fields(document, call.body, call.required)
    message = peers.request_class(call.service, call.rpc)()
    fields = message.DESCRIPTOR.fields_by_name
    from_json(document, message)
    for name, text in request.query_params.multi_items():
        if name not in call.query:
            known = ", ".join(call.query) or "none"
            shown = ascii(name)[:80]
            text_ = f"query parameter {shown} is unknown here: known are {known}"
            raise InvalidError(text_, code="request.unknown_parameter", params={"field": shown})
        setattr(message, name, from_query(fields[name], text))
    for name in call.parameters:
        setattr(message, name, from_query(fields[name], request.path_params[name]))
    setattr(message, "project", project)  # noqa: B010 - every request of the contracts has it
    return message


def _endpoint(call: Call, peers: Peers, project: str) -> Callable[..., Response]:
    if call.body:

        def with_body(request: Request, document: Document) -> Response:
            message = request_of(call, peers, project, request, document)
            return answer(to_json(peers.call(call.service, call.rpc, message, call.timeout_s)))

        return with_body

    def without_body(request: Request) -> Response:
        message = request_of(call, peers, project, request, {})
        return answer(to_json(peers.call(call.service, call.rpc, message, call.timeout_s)))

    return without_body
