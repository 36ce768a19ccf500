"""Ask the registry, and hand signed policies to it."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import grpc
from google.protobuf.message import Message

from onecode.registry.v1 import registry_pb2 as pb
from onecode.registry.v1 import registry_pb2_grpc as rpc
from onecode_common.errors import NotFoundError, UnavailableError
from onecode_rollout.domain.compatibility import Tensor, Version

_ROOT_LIFE_S = 60.0
_CHAMPION = "champion"


class GrpcRegistry:
    """The registry over gRPC; see :class:`onecode_rollout.ports.Registry`."""

    name = "registry"

    def __init__(self, channel: grpc.Channel, project: str) -> None:
        self._channel = channel
        self._stub = rpc.RegistryServiceStub(channel)
        self._project = project
        self._root = (b"", 0.0)

    def start(self) -> None:
        """Do nothing: the channel connects by itself."""

    def stop(self) -> None:
        """End the call in hand, which may be waiting for a registry that is down."""
        self._channel.close()

    def ready(self) -> str | None:
        """Return None: this service answers without the registry."""
        return None

    def version(self, digest: str) -> Version:
        """Return a model version. Raises NotFoundError."""
        return self._version(pb.GetVersionRequest(project=self._project, digest=digest))

    def release(self, model: str, number: int) -> Version:
        """Return a model version by its release number. Raises NotFoundError."""
        return self._version(pb.GetVersionRequest(project=self._project, model=model, release=number))

    def _version(self, request: pb.GetVersionRequest) -> Version:
        answer = _ask(self._stub.GetVersion, request).version
        inputs = tuple(Tensor(one.name, one.datatype, tuple(one.shape)) for one in answer.contract.inputs)
        return Version(answer.model, answer.release, answer.digest, inputs)

    def publish(self, version: int, metadata: bytes, policies: Mapping[str, bytes]) -> None:
        """Hand over signed policies; the same version again is nothing new."""
        _ask(
            self._stub.PublishPolicy,
            pb.PublishPolicyRequest(
                project=self._project, generation=version, fleet_metadata=metadata, policies=dict(policies)
            ),
        )

    def published(self) -> bytes:
        """Return the fleet metadata that it serves; empty when none."""
        answer = _ask(self._stub.GetDistribution, pb.GetDistributionRequest(project=self._project))
        return bytes(answer.fleet_metadata)

    def root(self) -> bytes:
        """Return the trusted root metadata, asked for at most once a minute.

        Raises:
            UnavailableError: The registry has none yet, or does not answer.
        """
        content, until = self._root
        if not content or time.monotonic() >= until:
            answer = _ask(self._stub.GetDistribution, pb.GetDistributionRequest(project=self._project))
            content = bytes(answer.root_metadata)
            if not content:
                message = "the registry has no root metadata yet: try again in a moment"
                raise UnavailableError(message, code="registry.no_root")
            self._root = (content, time.monotonic() + _ROOT_LIFE_S)
        return content

    def move_champion(self, model: str, digest: str) -> None:
        """Make a version the champion by compare-and-set against what it is now."""
        try:
            request = pb.GetVersionRequest(project=self._project, model=model, alias=_CHAMPION)
            now = str(_ask(self._stub.GetVersion, request).version.digest)
        except NotFoundError:
            now = ""
        if now == digest:
            return
        _ask(
            self._stub.SetAlias,
            pb.SetAliasRequest(project=self._project, model=model, alias=_CHAMPION, digest=digest, expected_digest=now),
        )


def _ask(call: Callable[[Any], Any], request: Message) -> Any:
    try:
        return call(request)
    except ValueError as error:
        # A closed channel says so in this way.
        raise UnavailableError("this service is stopping", code="service.stopping") from error
