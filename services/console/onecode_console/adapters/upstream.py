"""Pass a request on to another service's HTTP face and its answer back, without holding either body."""

import ssl
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack

import httpx2
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse

from onecode_common.errors import UnavailableError

_TIMEOUT = httpx2.Timeout(connect=5, read=120, write=120, pool=5)
_PIECE = 64 << 10
_GONE = 499


class HttpUpstream:
    """One other service's HTTP face.

    Args:
        name: The service, for errors.
        base_url: ``http://host:port``.
    """

    def __init__(self, name: str, base_url: str) -> None:
        self._name = name
        self._base_url = base_url.rstrip("/")
        self._tls = ssl.create_default_context() if base_url.startswith("https:") else False

    async def forward(
        self, request: Request, path: str, headers: Mapping[str, str], keep: Iterable[str], *, body: bool
    ) -> Response:
        """Return the answer of the other service, streamed.

        Args:
            request: What came in; its method, and its body if there is one.
            path: Where to, below the base URL.
            headers: What to send; nothing of the request is sent but these.
            keep: Lower-case names of the answer's headers that may pass.
            body: Whether the request has a body to pass on.

        Raises:
            UnavailableError: The service does not answer.
        """
        async with AsyncExitStack() as opened:
            client = await opened.enter_async_context(
                httpx2.AsyncClient(verify=self._tls, timeout=_TIMEOUT, trust_env=False)
            )
            content = request.stream() if body else None
            url = f"{self._base_url}{path}"
            outgoing = client.build_request(request.method, url, headers=dict(headers), content=content)
            try:
                answer = await client.send(outgoing, stream=True)
            except ClientDisconnect:
                # What arrived was passed on; nobody is left to be answered.
                return Response(status_code=_GONE)
            except httpx2.TransportError as error:
                message = f"{self._name} does not answer: {type(error).__name__}; try again"
                raise UnavailableError(message, code="service.unavailable", params={"service": self._name}) from error
            stack = opened.pop_all()
        stack.push_async_callback(answer.aclose)
        allowed = frozenset(keep)
        passed = {name: value for name, value in answer.headers.items() if name.lower() in allowed}
        return StreamingResponse(_pieces(answer, stack), answer.status_code, passed)

    def refuses(self, path: str, timeout_s: float) -> str | None:
        """Ask a path and return why it is not answered with 200, or None."""
        try:
            with httpx2.Client(verify=self._tls, timeout=timeout_s, trust_env=False) as client:
                status = client.get(f"{self._base_url}{path}").status_code
        except httpx2.TransportError as error:
            return f"{self._name} does not answer: {type(error).__name__}"
        return None if status == httpx2.codes.OK else f"{self._name} answers {status}"


async def _pieces(answer: httpx2.Response, stack: AsyncExitStack) -> AsyncIterator[bytes]:
    async with stack:
        async for piece in answer.aiter_raw(_PIECE):
            yield piece
