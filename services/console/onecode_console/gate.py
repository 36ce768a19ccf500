"""Stand before every route: who has no credential gets no further than the login page.

Closed by default: the three public places are listed here, everything else needs a bearer token or a session,
and a change by a session also needs our own Origin and its CSRF value. It works on ASGI messages and streams
bodies through untouched, but for small forms of pages, whose CSRF value stands in the body.
"""

import hmac
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qsl, quote

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from onecode_common.errors import DeniedError, ExhaustedError, InvalidError, OnecodeError, UnauthenticatedError
from onecode_common.web import bearer, error_response
from onecode_console.domain.origins import Origins
from onecode_console.usecases import Identity, Visitor
from onecode_console.visit import set_visitor

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]
ErrorPage = Callable[[Request, OnecodeError], Response]

API = "/api/"
STATIC = "/static/"
LOGIN = "/login"
CSRF_HEADER = "x-onecode-csrf"
CSRF_FIELD = "_csrf"
BACKGROUND_HEADER = "x-onecode-background"
_SAFE = ("GET", "HEAD", "OPTIONS")
_MAX_FORM = 64 << 10
_MAX_FIELDS = 50

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    b"content-security-policy": _POLICY.encode(),
    b"x-content-type-options": b"nosniff",
    b"referrer-policy": b"same-origin",
    b"cross-origin-opener-policy": b"same-origin",
    b"cross-origin-resource-policy": b"same-origin",
    b"cache-control": b"no-store",
}


class Gate:
    """The outermost layer of the console's face.

    Args:
        app: What stands behind it.
        identity: Knows people and programs.
        origins: From where changes by sessions are taken.
        error_page: Draws a refusal for people.
    """

    def __init__(self, app: App, identity: Identity, origins: Origins, error_page: ErrorPage) -> None:
        self._app = app
        self._identity = identity
        self._origins = origins
        self._error_page = error_page

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Answer one connection's message scope."""
        if scope["type"] != "http":
            return
        send = self._with_headers(send)
        request = Request(scope, receive)
        try:
            receive = await self._admit(request, receive)
        except OnecodeError as error:
            await self._refusal(request, error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    async def _admit(self, request: Request, receive: Receive) -> Receive:
        set_visitor(None)
        path, method = request.url.path, request.method
        if path.startswith(STATIC) and method in ("GET", "HEAD"):
            return receive
        if path == LOGIN and method in ("GET", "HEAD"):
            return receive
        if path == LOGIN and method == "POST":
            self._require_origin(request)
            return await _read_form(request)
        visitor = await self._identify(request)
        set_visitor(visitor)
        if visitor.session is None or method in _SAFE:
            return receive
        self._require_origin(request)
        given = request.headers.get(CSRF_HEADER, "")
        if not given and not path.startswith(API):
            receive = await _read_form(request)
            given = request.state.form.get(CSRF_FIELD, "")
        if not hmac.compare_digest(given.encode(), visitor.csrf.encode()):
            message = "the CSRF value is missing or not of this session: load the page again"
            raise DeniedError(message, code="auth.csrf")
        return receive

    async def _identify(self, request: Request) -> Visitor:
        if "authorization" in request.headers:
            return self._identity.by_token(bearer(request))
        cookie = request.cookies.get(self._origins.cookie, "")
        if cookie:
            if not self._origins.host_is_ours(request.headers.get("host", "")):
                message = "the Host header does not name this console"
                raise DeniedError(message, code="auth.host")
            active = BACKGROUND_HEADER not in request.headers
            visitor = await run_sync(lambda: self._identity.by_cookie(cookie, active=active))
            if visitor is not None:
                return visitor
        message = "nobody is signed in: send Authorization: Bearer <token>, or sign in"
        raise UnauthenticatedError(message, code="auth.missing")

    def _require_origin(self, request: Request) -> None:
        reason = self._origins.refuses(request.headers)
        if reason is not None:
            raise DeniedError(reason, code="auth.origin")

    def _refusal(self, request: Request, error: OnecodeError) -> Response:
        if request.url.path.startswith(API):
            return error_response(error)
        if isinstance(error, UnauthenticatedError) and request.method in ("GET", "HEAD"):
            query = f"?{request.url.query}" if request.url.query else ""
            return RedirectResponse(f"{LOGIN}?next={quote(request.url.path + query)}", 303)
        return self._error_page(request, error)

    def _with_headers(self, send: Send) -> Send:
        headers = dict(_HEADERS)
        if self._origins.secure:
            headers[b"strict-transport-security"] = b"max-age=31536000"

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message.get("headers", ())}
                added = [(name, value) for name, value in headers.items() if name not in present]
                message["headers"] = [*message.get("headers", ()), *added]
            await send(message)

        return sending


async def _read_form(request: Request) -> Receive:
    """Read a small form into ``request.state.form`` and return a channel that gives its bytes again."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > _MAX_FORM:
            message = f"the form is larger than {_MAX_FORM} bytes"
            raise ExhaustedError(message, code="body.too_large", params={"limit": _MAX_FORM})
    content = bytes(body)
    try:
        pairs = parse_qsl(content.decode(), keep_blank_values=True, max_num_fields=_MAX_FIELDS, errors="strict")
    except ValueError as error:
        message = "the form cannot be read: send UTF-8 fields, at most 50"
        raise InvalidError(message, code="form.invalid") from error
    request.state.form = dict(pairs)

    unread = [content]

    async def again() -> Message:
        if unread:
            return {"type": "http.request", "body": unread.pop(), "more_body": False}
        return await request.receive()

    return again
