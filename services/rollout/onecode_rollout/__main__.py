"""Start rollout: open the outside, choose adapters, serve."""

import os
import secrets
import socket
from collections.abc import Sequence
from typing import NamedTuple

from onecode.rollout.v1 import rollout_pb2_grpc as rpc
from onecode_common import program
from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import InvalidError
from onecode_common.keys import load_key, load_or_create_key
from onecode_common.migrations import migrate, upgrade
from onecode_common.outbox import OutboxSender
from onecode_common.program import Part
from onecode_common.rpc import GrpcServer, Peer, connect
from onecode_common.tokens import TokenIssuer, TokenVerifier
from onecode_common.web import HttpServer
from onecode_rollout.adapters.gateway_tokens import JwtGatewayTokens
from onecode_rollout.adapters.hints import NatsHints
from onecode_rollout.adapters.records import SqlRecords
from onecode_rollout.adapters.registry import GrpcRegistry
from onecode_rollout.adapters.signatures import TufFleetSigner, record_signer
from onecode_rollout.consumer import ReportConsumer
from onecode_rollout.following import Follower
from onecode_rollout.http import edge_app
from onecode_rollout.ports import Ports
from onecode_rollout.service import Service, build
from onecode_rollout.servicer import RULES, RolloutServicer
from onecode_rollout.settings import RolloutSettings


class _Closing:
    """Ends streams before the listeners wait for them, and the database after everything."""

    name = "closing"

    def __init__(self, service: Service) -> None:
        self._service = service

    def start(self) -> None:
        """Make what must exist from the first start."""
        self._service.fleet.ensure_cloud()
        self._service.policies.overtake_lost()
        self._service.policies.resign_for_key()

    def stop(self) -> None:
        """End all streams."""
        self._service.watch.close()

    def ready(self) -> str | None:
        """Return None."""
        return None


class _Leading:
    """Gives the lease back after the loop has ended, so that another replica goes on at once."""

    name = "lease"

    def __init__(self, follower: Follower) -> None:
        self._follower = follower

    def start(self) -> None:
        """Do nothing: the loop takes the lease."""

    def stop(self) -> None:
        """Give it back."""
        self._follower.resign()

    def ready(self) -> str | None:
        """Return None."""
        return None


def assemble(settings: RolloutSettings) -> Sequence[Part]:
    """Return the parts of the program.

    Raises:
        InvalidError: A key or setting is missing.
        PreconditionError: The database was written by a later release.
    """
    if settings.key_file is None or settings.jwks_file is None:
        message = "set ONECODE_ROLLOUT_KEY_FILE and ONECODE_ROLLOUT_JWKS_FILE"
        raise InvalidError(message, code="settings.missing")
    clock, project = SystemClock(), settings.project
    database = Database(settings.database_url)
    upgrade(database, "onecode_rollout")
    verifier = TokenVerifier(settings.jwks_file, clock)
    bus = Bus(settings.nats_url, "rollout", settings.nats_seed_file)
    records = SqlRecords(database, clock, project)
    key = load_key(settings.key_file)
    issuer = TokenIssuer("rollout", key, clock)
    registry = GrpcRegistry(connect(Peer("registry", settings.registry_address), issuer), project)
    ports = Ports(
        records=records,
        registry=registry,
        fleet_signer=TufFleetSigner(load_or_create_key(settings.fleet_key_file)),
        sign_record=record_signer(key),
        hints=NatsHints(bus, project),
        tokens=JwtGatewayTokens(issuer, verifier, project),
        clock=clock,
        random_bytes=os.urandom,
    )
    service = build(ports, project, settings.poll_seconds)
    return _parts(settings, service, verifier, _Outside(database, records, bus, registry))


class _Outside(NamedTuple):
    """What has a life of its own outside of the use cases."""

    database: Database
    records: SqlRecords
    bus: Bus
    registry: GrpcRegistry


def _parts(settings: RolloutSettings, service: Service, verifier: TokenVerifier, outside: _Outside) -> Sequence[Part]:
    project, bus = settings.project, outside.bus
    grpc_server = GrpcServer("rollout", settings.grpc_address, verifier, RULES)
    servicer = RolloutServicer(service.fleet, service.rollouts, service.commands, service.watch, project)
    rpc.add_RolloutServiceServicer_to_server(servicer, grpc_server.server)
    app = edge_app(service.enrolment, service.telemetry, project, settings.distribution_url)
    parts: list[Part] = [grpc_server, HttpServer(app, settings.http_address), _Closing(service)]
    # Parts stop in reverse: the line to the registry is cut before its user is waited for.
    parts += [service.publisher.loop, service.controller.loop, outside.registry]
    if settings.nats_url:
        ReportConsumer(bus, service.telemetry, project).subscribe()
        parts = [bus, *parts, OutboxSender(outside.database, outside.records.outbox, bus)]
    return [*parts, *_custom_resources(settings, service)]


def _custom_resources(settings: RolloutSettings, service: Service) -> Sequence[Part]:
    """Return what follows ModelRollout objects, where that is switched on."""
    if not settings.custom_resources:
        return []
    # The client is large and slow to import; only who follows objects pays for it.
    from onecode_rollout.adapters.kubernetes_resources import KubernetesResources  # noqa: PLC0415

    resources = KubernetesResources(settings.custom_resources_namespace, settings.kubeconfig_file)
    follower = Follower(service.resources, resources, SystemClock(), f"{socket.gethostname()}:{secrets.token_hex(4)}")
    resources.changed = follower.loop.wake
    return [_Leading(follower), follower.loop, resources]


def main() -> None:
    """Run ``python -m onecode_rollout``."""

    def start() -> tuple[str, str, str, Sequence[Part]]:
        settings = RolloutSettings.load()
        return settings.log_format, settings.log_level, settings.ops_address, assemble(settings)

    program.main("rollout", start, lambda: migrate(RolloutSettings.load().database_url, "onecode_rollout"))


if __name__ == "__main__":
    main()
