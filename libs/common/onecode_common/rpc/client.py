"""Ask another service: with our token, a deadline, retries while it restarts, and its errors as ours."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import grpc

from onecode_common.rpc.server import PRINCIPAL_HEADER
from onecode_common.rpc.status import unpack
from onecode_common.tokens import TokenIssuer

_DEADLINE_S = 20.0
_SERVICE_CONFIG = json.dumps(
    {
        "methodConfig": [
            {
                "name": [{}],
                "waitForReady": False,
                "retryPolicy": {
                    "maxAttempts": 5,
                    "initialBackoff": "0.2s",
                    "maxBackoff": "2s",
                    "backoffMultiplier": 2,
                    "retryableStatusCodes": ["UNAVAILABLE"],
                },
            }
        ]
    }
)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another service.

    Attributes:
        service: Its name, for the audience of our tokens.
        address: host:port.
    """

    service: str
    address: str


def connect(peer: Peer, issuer: TokenIssuer, principal: Callable[[], str] = lambda: "") -> grpc.Channel:
    """Return a channel for generated stubs; calls raise :class:`onecode_common.errors.OnecodeError`.

    Args:
        peer: Whom to call.
        issuer: Mints our caller tokens.
        principal: Returns the principal token to pass on with the present call, or nothing.
    """
    channel = grpc.insecure_channel(
        peer.address,
        options=[
            ("grpc.service_config", _SERVICE_CONFIG),
            ("grpc.max_receive_message_length", 16 << 20),
            ("grpc.enable_retries", 1),
            ("grpc.initial_reconnect_backoff_ms", 200),
            ("grpc.min_reconnect_backoff_ms", 200),
            ("grpc.max_reconnect_backoff_ms", 1500),
        ],
    )
    return _Closable(grpc.intercept_channel(channel, _Outgoing(peer.service, issuer, principal)))


class _Closable(grpc.Channel):
    """A channel that one thread may close while others call: they get a ValueError.

    Generated stubs ask for registered calls. With grpcio up to 1.85 such a call, begun when the channel has just been
    closed, ends the process (grpc/grpc#43455); calls by name do not. The flag that asks for them is not passed on.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._channel = channel

    def unary_unary(self, method: str, *codecs: Any, _registered_method: bool = False, **named: Any) -> Any:
        return self._channel.unary_unary(method, *codecs, **named)

    def unary_stream(self, method: str, *codecs: Any, _registered_method: bool = False, **named: Any) -> Any:
        return self._channel.unary_stream(method, *codecs, **named)

    def stream_unary(self, method: str, *codecs: Any, _registered_method: bool = False, **named: Any) -> Any:
        return self._channel.stream_unary(method, *codecs, **named)

    def stream_stream(self, method: str, *codecs: Any, _registered_method: bool = False, **named: Any) -> Any:
        return self._channel.stream_stream(method, *codecs, **named)

    def subscribe(self, callback: Callable[[grpc.ChannelConnectivity], None], try_to_connect: bool = False) -> None:
        self._channel.subscribe(callback, try_to_connect)

    def unsubscribe(self, callback: Callable[[grpc.ChannelConnectivity], None]) -> None:
        self._channel.unsubscribe(callback)

    def close(self) -> None:
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Details(NamedTuple):
    method: str
    timeout: float | None
    metadata: Sequence[tuple[str, str | bytes]] | None
    credentials: grpc.CallCredentials | None
    wait_for_ready: bool | None
    compression: grpc.Compression | None


class _Outgoing(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    def __init__(self, callee: str, issuer: TokenIssuer, principal: Callable[[], str]) -> None:
        self._callee = callee
        self._issuer = issuer
        self._principal = principal

    def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        call = continuation(self._signed(client_call_details, _DEADLINE_S), request)
        error = call.exception()
        if isinstance(error, grpc.RpcError):
            raise unpack(error) from error
        return call

    def intercept_unary_stream(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        return _Stream(continuation(self._signed(client_call_details, None), request))

    def _signed(self, details: Any, deadline: float | None) -> _Details:
        metadata = [*(details.metadata or ()), ("authorization", f"Bearer {self._issuer.caller(self._callee)}")]
        principal = self._principal()
        if principal:
            metadata.append((PRINCIPAL_HEADER, principal))
        timeout = details.timeout if details.timeout is not None else deadline
        return _Details(
            details.method, timeout, metadata, details.credentials, details.wait_for_ready, details.compression
        )


class _Stream:
    """An answer stream whose errors are ours; it can be cancelled like the one it wraps."""

    def __init__(self, call: Any) -> None:
        self._call = call

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        try:
            return next(self._call)
        except grpc.RpcError as error:
            raise unpack(error) from error

    def cancel(self) -> bool:
        """End the stream."""
        return bool(self._call.cancel())
