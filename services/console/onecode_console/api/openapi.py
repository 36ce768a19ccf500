"""Describe REST in OpenAPI 3.1, from the same table and contracts that answer it."""

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.openapi.utils import get_openapi
from google.protobuf.descriptor import FieldDescriptor

from onecode_console.api.calls import CALLS, Call
from onecode_console.api.relay import PREFIX, answer
from onecode_console.convert import TIMESTAMP, is_map
from onecode_console.ports import Peers

_SCALARS: dict[int, dict[str, Any]] = {
    FieldDescriptor.CPPTYPE_INT32: {"type": "integer", "format": "int32"},
    FieldDescriptor.CPPTYPE_INT64: {"type": "integer", "format": "int64"},
    FieldDescriptor.CPPTYPE_UINT32: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_UINT64: {"type": "integer", "minimum": 0},
    FieldDescriptor.CPPTYPE_DOUBLE: {"type": "number"},
    FieldDescriptor.CPPTYPE_FLOAT: {"type": "number"},
    FieldDescriptor.CPPTYPE_BOOL: {"type": "boolean"},
    FieldDescriptor.CPPTYPE_STRING: {"type": "string"},
}
_PROBLEM = {
    "type": "object",
    "required": ["type", "status", "code", "detail"],
    "properties": {
        "type": {"type": "string"},
        "status": {"type": "integer"},
        "code": {"type": "string", "description": "Stable, dotted."},
        "detail": {"type": "string"},
        "hint": {"type": "string"},
        "params": {"type": "object", "additionalProperties": {"type": "string"}},
        "field": {"type": "string"},
    },
}


def install_openapi(app: FastAPI, peers: Peers, version: str) -> None:
    """Add the description of everything that is added to the application before."""

    @app.get(f"{PREFIX}/openapi.json", tags=["about"], summary="This description")
    def describe(_request: Request) -> Response:
        return answer(description(app, peers, version))


def description(app: FastAPI, peers: Peers, version: str) -> dict[str, Any]:
    """Return the OpenAPI document of the application's REST."""
    routes = [route for route in app.routes if str(getattr(route, "path", "")).startswith(PREFIX)]
    document = get_openapi(title="OneCode", version=version, openapi_version="3.1.0", routes=routes)
    schemas: dict[str, Any] = {"Problem": _PROBLEM}
    for call in CALLS:
        _describe(document["paths"][f"{PREFIX}{call.path}"][call.method.lower()], call, peers, schemas)
    for path in document["paths"].values():
        for operation in path.values():
            operation["responses"].pop("422", None)
            problem = {"schema": {"$ref": "#/components/schemas/Problem"}}
            operation["responses"]["default"] = {
                "description": "Refused, or not possible now",
                "content": {"application/problem+json": problem},
            }
    document["components"] = {
        "schemas": schemas,
        "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
    }
    document["security"] = [{"bearer": []}]
    return document


def _describe(operation: dict[str, Any], call: Call, peers: Peers, schemas: dict[str, Any]) -> None:
    request = peers.request_class(call.service, call.rpc).DESCRIPTOR
    response = peers.response_class(call.service, call.rpc).DESCRIPTOR
    operation["parameters"] = [
        {
            "name": name,
            "in": place,
            "required": place == "path",
            "schema": _field(request.fields_by_name[name], schemas),
        }
        for place, names in (("path", call.parameters), ("query", call.query))
        for name in names
    ]
    if call.body:
        fields = {name: _field(request.fields_by_name[name], schemas) for name in call.body}
        body = {"type": "object", "properties": fields, "required": list(call.required), "additionalProperties": False}
        operation["requestBody"] = {"content": {"application/json": {"schema": body}}, "required": bool(call.required)}
    schema = _message(response, schemas)
    operation["responses"]["200"] = {"description": "Done", "content": {"application/json": {"schema": schema}}}


def _message(descriptor: Any, schemas: dict[str, Any]) -> dict[str, Any]:
    name = descriptor.full_name
    if name not in schemas:
        schemas[name] = {}
        properties = {field.name: _field(field, schemas) for field in descriptor.fields}
        schemas[name] = {"type": "object", "properties": properties}
    return {"$ref": f"#/components/schemas/{name}"}


def _field(field: FieldDescriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    if is_map(field):
        inner = field.message_type.fields_by_name["value"]
        return {"type": "object", "additionalProperties": _one(inner, schemas)}
    one = _one(field, schemas)
    return {"type": "array", "items": one} if field.is_repeated else one


def _one(field: FieldDescriptor, schemas: dict[str, Any]) -> dict[str, Any]:
    if field.message_type is not None:
        if field.message_type.full_name == TIMESTAMP:
            return {"type": "string", "format": "date-time"}
        return _message(field.message_type, schemas)
    if field.enum_type is not None:
        return {"type": "string", "enum": list(field.enum_type.values_by_name)}
    if field.type == FieldDescriptor.TYPE_BYTES:
        return {"type": "string", "contentEncoding": "base64"}
    return _SCALARS[field.cpp_type]
