"""Call the other services by their contracts, in the name of the visitor whose request is being answered."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from onecode.ingestion.v1 import ingestion_pb2, ingestion_pb2_grpc
from onecode.registry.v1 import registry_pb2, registry_pb2_grpc
from onecode.rollout.v1 import rollout_pb2, rollout_pb2_grpc
from onecode.training.v1 import training_pb2, training_pb2_grpc
from onecode_common.clock import Clock
from onecode_common.rpc import Peer, connect
from onecode_common.tokens import INSIDE_AUDIENCE, LIFETIMES, PRINCIPAL, TokenIssuer

_SERVICES: Mapping[str, Any] = {
    "ingestion": ingestion_pb2.DESCRIPTOR.services_by_name["IngestionService"],
    "training": training_pb2.DESCRIPTOR.services_by_name["TrainingService"],
    "registry": registry_pb2.DESCRIPTOR.services_by_name["RegistryService"],
    "rollout": rollout_pb2.DESCRIPTOR.services_by_name["RolloutService"],
}
_STUBS: Mapping[str, Callable[[grpc.Channel], Any]] = {
    "ingestion": ingestion_pb2_grpc.IngestionServiceStub,
    "training": training_pb2_grpc.TrainingServiceStub,
    "registry": registry_pb2_grpc.RegistryServiceStub,
    "rollout": rollout_pb2_grpc.RolloutServiceStub,
}


class PrincipalTokens:
    """Mints the tokens that tell other services for whom the console asks."""

    def __init__(self, issuer: TokenIssuer, clock: Clock, project: str, subject: Callable[[], str]) -> None:
        self._issuer = issuer
        self._clock = clock
        self._extra = {"role": "admin", "project": project}
        self._subject = subject
        self._tokens: dict[str, tuple[str, float]] = {}
        self._lock = threading.Lock()

    def __call__(self) -> str:
        """Return a token for the present visitor, or nothing outside of a request."""
        subject = self._subject()
        if not subject:
            return ""
        now = self._clock.monotonic()
        with self._lock:
            token, until = self._tokens.get(subject, ("", 0.0))
            if now >= until:
                token = self._issuer.mint(PRINCIPAL, subject, INSIDE_AUDIENCE, self._extra)
                self._tokens[subject] = (token, now + LIFETIMES[PRINCIPAL] / 2)
            return token


class GrpcPeers:
    """The peers port on generated stubs.

    Args:
        addresses: host:port by service name.
        issuer: Mints the console's caller tokens.
        principal: Returns the token of the present visitor.
    """

    def __init__(self, addresses: Mapping[str, str], issuer: TokenIssuer, principal: Callable[[], str]) -> None:
        self._channels = {
            service: connect(Peer(service, address), issuer, principal) for service, address in addresses.items()
        }
        self._stubs = {service: _STUBS[service](channel) for service, channel in self._channels.items()}

    def call(self, service: str, method: str, request: Message, timeout_s: float = 20.0) -> Any:
        """Return the answer of a method.

        Raises:
            OnecodeError: What the service raised, or that it does not answer.
        """
        return getattr(self._stubs[service], method)(request, timeout=timeout_s)

    def watch(self, service: str, method: str, request: Message) -> Any:
        """Return an answer stream: iterable, with ``cancel()``."""
        return getattr(self._stubs[service], method)(request)

    def request_class(self, service: str, method: str) -> type[Message]:
        """Return the message class that a method takes."""
        return GetMessageClass(_method(service, method).input_type)

    def response_class(self, service: str, method: str) -> type[Message]:
        """Return the message class that a method answers with."""
        return GetMessageClass(_method(service, method).output_type)

    def close(self) -> None:
        """Close all channels."""
        for channel in self._channels.values():
            channel.close()


def _method(service: str, method: str) -> MethodDescriptor:
    found: MethodDescriptor = _SERVICES[service].methods_by_name[method]
    return found
