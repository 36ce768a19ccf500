"""An HTTP face answers every refusal with a problem document and shows nothing of its inside."""

from collections.abc import Iterator
from typing import Any

import pytest
import urllib3
from fastapi import FastAPI, Request
from pydantic import BaseModel

from onecode_common.errors import KINDS, ConflictError, ExhaustedError
from onecode_common.web import HttpServer, bearer, install_errors, strict_json

STATUS = {
    "internal": 500,
    "invalid": 422,
    "unauthenticated": 401,
    "denied": 403,
    "not_found": 404,
    "conflict": 409,
    "precondition": 409,
    "exhausted": 413,
    "unavailable": 503,
}


class Body(BaseModel):
    count: int


def make_app() -> FastAPI:
    app = FastAPI(openapi_url=None)
    install_errors(app)

    @app.get("/errors/{kind}")
    def fail(kind: str) -> None:
        raise KINDS[kind]("\ud800 a 'bad' value", code="x.y", hint="do z", params={"value": "\udfff"})

    @app.get("/full")
    def full() -> None:
        raise ExhaustedError("full", code="disk.full")

    @app.get("/broken")
    def broken() -> None:
        raise ZeroDivisionError("/secret/path")

    @app.post("/body")
    def body(content: Body) -> None:
        del content

    @app.post("/json")
    async def strict(request: Request) -> Any:
        return {"got": await strict_json(request)}

    @app.get("/who")
    def who(request: Request) -> str:
        return bearer(request)

    return app


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    one = HttpServer(make_app(), "127.0.0.1:0")
    one.start()
    yield one
    one.stop()


@pytest.fixture(scope="module")
def pool() -> Iterator[urllib3.PoolManager]:
    with urllib3.PoolManager(retries=False, timeout=20) as one:
        yield one


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_error_is_a_problem_document_with_its_status(
    server: HttpServer, pool: urllib3.PoolManager, kind: str
) -> None:
    answer = pool.request("GET", f"http://127.0.0.1:{server.port}/errors/{kind}")
    assert (answer.status, answer.headers["content-type"]) == (STATUS[kind], "application/problem+json")
    document = answer.json()
    assert (document["code"], document["hint"], document["status"]) == ("x.y", "do z", STATUS[kind])
    assert ("WWW-Authenticate" in answer.headers) == (kind == "unauthenticated")
    assert ("Retry-After" in answer.headers) == (kind == "unavailable")


def test_a_full_disk_and_a_failure_have_statuses_of_their_own(server: HttpServer, pool: urllib3.PoolManager) -> None:
    assert pool.request("GET", f"http://127.0.0.1:{server.port}/full").status == 507
    # The server closes the connection of a request that failed.
    answer = pool.request("GET", f"http://127.0.0.1:{server.port}/broken", headers={"Connection": "close"})
    assert (answer.status, answer.json()["code"]) == (500, "internal")
    assert b"secret" not in answer.data


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"a": 1}', 200),
        (b'{"a": NaN}', 422),
        (b'{"a": 1, "a": 2}', 422),
        (b'["\\ud800"]', 422),
        (b"[" + b" " * (1 << 20) + b"]", 413),
    ],
)
def test_bodies_are_read_strictly(server: HttpServer, pool: urllib3.PoolManager, body: bytes, status: int) -> None:
    assert pool.request("POST", f"http://127.0.0.1:{server.port}/json", body=body).status == status


def test_a_refused_body_is_quoted_short_and_in_ascii(server: HttpServer, pool: urllib3.PoolManager) -> None:
    body = b'{"count": "\\ud800' + b"x" * 500 + b'"}'
    headers = {"Content-Type": "application/json"}
    answer = pool.request("POST", f"http://127.0.0.1:{server.port}/body", body=body, headers=headers)
    assert answer.status == 422
    assert answer.data.isascii()
    assert answer.json()["field"] == "body.count"
    assert len(answer.json()["value"]) <= 80


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "abc"])
def test_a_token_stands_in_its_header(server: HttpServer, pool: urllib3.PoolManager, header: str) -> None:
    url = f"http://127.0.0.1:{server.port}/who?access_token=abc"
    assert pool.request("GET", url, headers={"Authorization": header}).status == 401
    assert pool.request("GET", url, headers={"Authorization": "bearer abc"}).json() == "abc"


def test_unknown_paths_and_methods_are_problems_too(server: HttpServer, pool: urllib3.PoolManager) -> None:
    answer = pool.request("DELETE", f"http://127.0.0.1:{server.port}/who")
    assert (answer.status, answer.json()["code"], answer.headers["Allow"]) == (405, "http.405", "GET")
    assert pool.request("GET", f"http://127.0.0.1:{server.port}/nothing").json()["code"] == "http.404"


def test_a_taken_port_is_an_error_that_names_it(server: HttpServer) -> None:
    with pytest.raises(ConflictError) as refusal:
        HttpServer(make_app(), f"127.0.0.1:{server.port}").start()
    assert refusal.value.params == {"address": f"127.0.0.1:{server.port}"}
