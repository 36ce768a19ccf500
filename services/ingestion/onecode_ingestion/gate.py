"""Let nobody but the console into the upload face, whatever is asked for, and know for whom it asks."""

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from onecode_common.errors import DeniedError, OnecodeError
from onecode_common.rpc.context import Caller
from onecode_common.rpc.server import PRINCIPAL_HEADER
from onecode_common.tokens import CALLER, INSIDE_AUDIENCE, PRINCIPAL, TokenVerifier, audience
from onecode_common.web import bearer, error_response

_CONSOLE = "console"


class Gate:
    """Authenticates each request before it is routed; ``request.state.caller`` then says who asks.

    Args:
        app: What lies behind.
        verifier: Checks tokens.
    """

    def __init__(self, app: ASGIApp, verifier: TokenVerifier) -> None:
        self._app = app
        self._verifier = verifier

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an authenticated request on, answer any other."""
        if scope["type"] != "http":
            return
        request = Request(scope)
        try:
            scope.setdefault("state", {})["caller"] = self._caller(request)
        except OnecodeError as error:
            await error_response(error)(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _caller(self, request: Request) -> Caller:
        claims = self._verifier.verify(bearer(request), CALLER, audience("ingestion"))
        if claims.issuer != _CONSOLE or claims.subject != audience(_CONSOLE):
            message = f"{claims.issuer} may not send uploads: only the console does"
            raise DeniedError(message, code="auth.caller", params={"caller": claims.issuer})
        token = request.headers.get(PRINCIPAL_HEADER, "")
        if not token:
            return Caller(_CONSOLE, f"service:{_CONSOLE}")
        person = self._verifier.verify(token, PRINCIPAL, INSIDE_AUDIENCE)
        if person.issuer != _CONSOLE:
            message = f"{person.issuer} may not speak for people"
            raise DeniedError(message, code="auth.principal")
        return Caller(_CONSOLE, person.subject)
