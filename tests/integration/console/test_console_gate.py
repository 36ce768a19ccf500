"""Nobody gets past the gate without a credential, on any route, with any method."""

import secrets
from collections.abc import Iterator
from contextlib import closing
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import httpx2
import pytest

from onecode_console.http import make_app

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "QUERY")
EXAMPLES = {
    "project": "default",
    "name": "shuttle",
    "run_id": "r_now",
    "rollout_id": "r_live",
    "action": "pause",
    "model": "shuttle",
    "release": "1",
    "alias": "champion",
    "hex_digest": "a" * 64,
    "version_id": "sha256:" + "d" * 64,
    "version": "x",
    "upload_id": "u_1",
    "gateway_id": "gw-1",
}


def walk(app: Any) -> Iterator[str]:
    """Yield every path of the application, and some that are none."""
    for route in _leaves(app.routes):
        path = route.path
        for name, value in EXAMPLES.items():
            path = path.replace(f"{{{name}}}", value)
        assert "{" not in path, path
        yield path
    yield from (
        "/nothing",
        "/api/v1/nothing",
        "/api",
        "/docs",
        "/openapi.json",
        "/p",
        "/healthz",
        "/metrics",
        "//login",
    )
    yield from ("/login/", "/Login", "/static", "/loginx")


def _leaves(routes: Any) -> Iterator[Any]:
    for route in routes:
        if hasattr(route, "path") and hasattr(route, "methods"):
            yield route
        else:
            inner = getattr(route, "original_router", None) or getattr(route, "router", None)
            assert inner is not None, route
            yield from _leaves(inner.routes)


def is_public(path: str) -> bool:
    return path == "/login" or path.startswith("/static/")


@pytest.fixture(scope="module")
def paths(stand: Any) -> list[str]:
    return sorted(set(walk(make_app(stand.service.inside))))


def test_the_walk_sees_all_of_rest_and_pages(paths: Any) -> None:
    assert len([path for path in paths if path.startswith("/api/v1/")]) >= 40
    assert len([path for path in paths if path.startswith("/p/default")]) >= 10


@pytest.mark.parametrize("method", METHODS)
def test_without_a_credential_every_route_is_closed(stand: Any, plant: Any, paths: Any, method: str) -> None:
    calls = len(plant.calls)
    with stand.stranger() as stranger:
        for path in paths:
            answer = stranger.request(method, path)
            if is_public(httpx2.URL(path).path) and method in ("GET", "HEAD", "POST"):
                continue
            closed = answer.status_code == 401 or (
                answer.status_code == 303 and answer.headers["location"].startswith("/login?next=")
            )
            assert closed, (method, path, answer.status_code)
            if path.startswith("/api/"):
                assert answer.status_code == 401
                assert answer.headers["content-type"] == "application/problem+json"
                assert answer.headers["www-authenticate"] == "Bearer"
    assert len(plant.calls) == calls, "a service was asked on behalf of nobody"


@pytest.mark.parametrize(
    "target",
    [
        "/static/../api/v1/runs",
        "/static/x/../../api/v1/runs",
        "/static/%2e%2e/api/v1/runs",
        "/login/../api/v1/runs",
        "/login%2f..%2fapi/v1/runs",
        "/login;/api/v1/runs",
        "//login/api/v1/runs",
        "/api/v1/runs/../../../login",
        "http://127.0.0.1/api/v1/runs",
    ],
)
def test_a_crooked_path_is_no_way_around(stand: Any, target: str) -> None:
    where = urlsplit(stand.url)
    connection = HTTPConnection(where.hostname, where.port, timeout=20)
    with closing(connection):
        connection.putrequest("GET", target)
        connection.endheaders()
        answer = connection.getresponse()
        body = answer.read()
    assert answer.status in (303, 400, 401, 404)
    assert b"r_now" not in body


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": "Bearer wrong-wrong-wrong-wrong-wrong"},
        {"authorization": "Bearer"},
        {"authorization": "Bearer\tx"},
        {"authorization": "Basic YWRtaW46YWRtaW4="},
        {"authorization": "Bearer " + "x" * 9000},
        {"cookie": "onecode=wrong"},
        {"cookie": "onecode="},
        {"cookie": "onecode=" + "a" * 4000},
        {"x-onecode-principal": "admin"},
    ],
)
def test_a_wrong_credential_opens_nothing(stand: Any, headers: dict[str, str]) -> None:
    with stand.stranger(**headers) as stranger:
        assert stranger.get("/api/v1/runs").status_code == 401
        assert stranger.get("/p/default").status_code in (303, 401)


def test_a_token_in_the_query_counts_for_nothing(stand: Any) -> None:
    with stand.program() as program:
        token = program.headers["authorization"].split()[1]
    with stand.stranger() as stranger:
        for name in ("access_token", "token", "authorization"):
            assert stranger.get("/api/v1/runs", params={name: token}).status_code == 401


def test_a_session_does_not_rescue_a_wrong_token(stand: Any) -> None:
    with stand.browser() as browser:
        assert browser.get("/api/v1/runs").status_code == 200
        assert browser.get("/api/v1/runs", headers={"authorization": "Bearer wrong"}).status_code == 401


def test_with_the_token_all_of_rest_answers_without_a_failure(stand: Any, paths: Any) -> None:
    with stand.program() as program:
        for path in paths:
            if path.startswith("/api/v1/") and not path.endswith(("/events", "/progress")):
                answer = program.get(path)
                assert answer.status_code < 500, (path, answer.text)


def csrf_of(browser: Any) -> str:
    text = browser.get("/p/default").text
    return text.split('name="_csrf" value="')[1].split('"')[0]


def test_a_change_by_session_needs_origin_and_csrf_value(stand: Any) -> None:
    with stand.browser() as browser:
        csrf, path = csrf_of(browser), "/api/v1/runs/r_done/stop"
        ours, value = {"origin": stand.url}, {"x-onecode-csrf": csrf}
        assert browser.post(path).json()["code"] == "auth.origin"
        assert browser.post(path, headers=value).json()["code"] == "auth.origin"
        assert browser.post(path, headers=ours).json()["code"] == "auth.csrf"
        assert browser.post(path, headers={**ours, "x-onecode-csrf": "0" * 64}).json()["code"] == "auth.csrf"
        assert browser.post(path, headers={**value, "origin": "http://evil.example"}).status_code == 403
        assert browser.post(path, headers={**value, "origin": "null"}).status_code == 403
        assert browser.post(path, headers={**ours, **value, "sec-fetch-site": "cross-site"}).status_code == 403
        assert browser.post(path, headers={**ours, **value, "host": "evil.example"}).status_code == 403
        assert browser.request("DELETE", "/api/v1/models/shuttle/versions/1", headers=ours).status_code == 403
        assert browser.post(path, headers={**ours, **value}).status_code == 200


def test_the_csrf_value_of_another_session_does_not_count(stand: Any) -> None:
    with stand.browser() as first, stand.browser() as second:
        headers = {"origin": stand.url, "x-onecode-csrf": csrf_of(first)}
        assert second.post("/api/v1/runs/r_done/stop", headers=headers).json()["code"] == "auth.csrf"


def test_a_session_is_not_taken_under_a_foreign_name(stand: Any) -> None:
    with stand.browser() as browser:
        assert browser.get("/p/default", headers={"host": "evil.example:80"}).status_code == 403


def test_a_login_link_works_once_and_a_fresh_one_after_it(stand: Any) -> None:
    code = secrets.token_urlsafe(32)
    stand.fresh_code(code)
    with stand.stranger() as stranger:
        first = stranger.get("/login", params={"code": code, "next": "/p/default/runs"})
        assert (first.status_code, first.headers["location"]) == (303, "/p/default/runs")
        cookie = first.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert "Path=/" in cookie
    with stand.stranger() as stranger:
        again = stranger.get("/login", params={"code": code})
        assert again.status_code == 401
        assert "set-cookie" not in again.headers
        assert "登录码已被使用" in again.text
    with stand.browser() as browser:
        assert browser.get("/p/default").status_code == 200


def test_a_preview_of_the_link_does_not_use_it_up(stand: Any) -> None:
    code = secrets.token_urlsafe(32)
    stand.fresh_code(code)
    with stand.stranger() as stranger:
        assert stranger.head("/login", params={"code": code}).status_code == 200
        ahead = stranger.get("/login", params={"code": code}, headers={"sec-purpose": "prefetch;prerender"})
        assert (ahead.status_code, "set-cookie" in ahead.headers) == (200, False)
        assert stranger.get("/login", params={"code": code}).status_code == 303


def test_the_code_can_be_typed_into_the_form(stand: Any) -> None:
    code = secrets.token_urlsafe(32)
    stand.fresh_code(code)
    with stand.stranger(origin=stand.url) as stranger:
        wrong = stranger.post("/login", data={"code": "not-the-code", "next": "/"})
        assert wrong.status_code == 401
        assert "登录码无效" in wrong.text
        right = stranger.post("/login", data={"code": f" {code}\n", "next": "//evil.example/"})
        assert (right.status_code, right.headers["location"]) == (303, "/")
    with stand.stranger() as elsewhere:
        assert elsewhere.post("/login", data={"code": code}).status_code == 403


def test_a_second_sign_in_gets_another_session_and_sign_out_ends_its_own_only(stand: Any) -> None:
    with stand.browser() as first, stand.browser() as second:
        assert first.cookies["onecode"] != second.cookies["onecode"]
        kept = first.cookies["onecode"]
        out = first.post("/logout", data={"_csrf": csrf_of(first)}, headers={"origin": stand.url})
        assert (out.status_code, out.headers["location"]) == (303, "/login")
        with stand.stranger(cookie=f"onecode={kept}") as thief:
            assert thief.get("/api/v1/runs").status_code == 401
        assert second.get("/api/v1/runs").status_code == 200


def test_no_secret_is_in_the_database(stand: Any) -> None:
    with stand.browser() as browser:
        cookie = browser.cookies["onecode"]
    files = b"".join(path.read_bytes() for path in stand.folder.glob("console.db*"))
    code = (stand.folder / "login").read_text().strip()
    assert cookie.encode() not in files
    assert code.encode() not in files


def test_every_answer_carries_the_policy(stand: Any) -> None:
    with stand.browser() as browser:
        css = browser.get("/p/default").text.split('href="/static/')[2].split('"')[0]
        for path in ("/p/default", "/api/v1/version", "/nothing", "/login", f"/static/{css}", "/static/x/none.css"):
            headers = browser.get(path).headers
            assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src"), (
                path
            )
            assert "unsafe" not in headers["content-security-policy"]
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["referrer-policy"] == "same-origin"
            assert "server" not in headers
            kept = "immutable" in headers["cache-control"]
            assert kept == (path == f"/static/{css}"), path
        assert browser.get("/p/default").headers["cache-control"] == "no-store"


@pytest.mark.parametrize("path", ["/static/x/..%2f__main__.py", "/static/x/%2e%2e/settings.py", "/static/x/base.html"])
def test_only_assets_are_given_out(stand: Any, path: str) -> None:
    with stand.stranger() as stranger:
        assert stranger.get(path).status_code in (303, 404)


@pytest.mark.parametrize(
    "body", [b"_csrf=%ff%fe", b"&".join([b"a=1"] * 60), b"_csrf=" + b"x" * 70_000, b"\x00" * 100, b""]
)
def test_a_form_that_is_none_is_refused(stand: Any, body: bytes) -> None:
    headers = {"origin": stand.url, "content-type": "application/x-www-form-urlencoded"}
    with stand.browser() as browser:
        answer = browser.post("/p/default/rollouts/r_live/pause", content=body, headers=headers)
        assert answer.status_code in (403, 413, 422)
        assert answer.headers["content-type"].startswith("text/html")
