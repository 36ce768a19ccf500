"""Start the console: read settings, open the outside, serve."""

import logging
from collections.abc import Sequence
from importlib.metadata import version

from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import InvalidError
from onecode_common.keys import load_key
from onecode_common.migrations import migrate, upgrade
from onecode_common.outbox import OutboxSender
from onecode_common.program import Part, main
from onecode_common.rpc.server import PRINCIPAL_HEADER
from onecode_common.tokens import TokenIssuer
from onecode_console.adapters.facts import Facts, bus_reason
from onecode_console.adapters.peers import GrpcPeers, PrincipalTokens
from onecode_console.adapters.records import RecordedCopies, RecordedSessions
from onecode_console.adapters.secret_files import SecretFiles
from onecode_console.adapters.upstream import HttpUpstream
from onecode_console.domain.origins import origins_of
from onecode_console.http import Faces
from onecode_console.service import Choices, Ports, build
from onecode_console.settings import ConsoleSettings
from onecode_console.visit import current_subject

_log = logging.getLogger(__name__)


def assemble() -> tuple[str, str, str, Sequence[Part]]:
    """Return log format, log level, ops address and parts, from the environment.

    Raises:
        InvalidError: A setting is missing or does not fit.
    """
    settings = ConsoleSettings.load()
    if settings.key_file is None:
        message = "ONECODE_CONSOLE_KEY_FILE is not set: the console signs its calls with this key"
        raise InvalidError(message, code="settings.missing")
    clock = SystemClock()
    origins = origins_of(settings.public_url)
    if origins.exposed:
        _log.warning("%s is plain http: put https in front, sessions can be read on the way", settings.public_url)
    database = Database(settings.database_url)
    upgrade(database, "onecode_console")
    sessions = RecordedSessions(database, clock, settings.project)
    copies = RecordedCopies(database)
    bus = Bus(settings.nats_url, "console", settings.nats_seed_file) if settings.nats_url else None
    issuer = TokenIssuer("console", load_key(settings.key_file), clock)
    principal = PrincipalTokens(issuer, clock, settings.project, current_subject)
    credentials = SecretFiles(settings.api_token_file, settings.login_file)
    ports = Ports(
        clock=clock,
        sessions=sessions,
        copies=copies,
        credentials=credentials,
        peers=_peers(settings, issuer, principal),
        faces=_faces(settings, issuer, principal, credentials),
        bus_away=bus_reason(bus),
    )
    choices = Choices(settings.project, settings.language, version("onecode"), origins, settings.http_address)
    service = build(ports, choices)
    before: list[Part] = []
    if bus is not None:
        before = [bus, OutboxSender(database, sessions.outbox, bus), Facts(bus, service.streams, copies)]
    return settings.log_format, settings.log_level, settings.ops_address, service.parts(before)


def _peers(settings: ConsoleSettings, issuer: TokenIssuer, principal: PrincipalTokens) -> GrpcPeers:
    addresses = {
        "ingestion": settings.ingestion_address,
        "training": settings.training_address,
        "registry": settings.registry_address,
        "rollout": settings.rollout_address,
    }
    return GrpcPeers(addresses, issuer, principal)


def _faces(
    settings: ConsoleSettings, issuer: TokenIssuer, principal: PrincipalTokens, credentials: SecretFiles
) -> Faces:
    def inside(service: str) -> dict[str, str]:
        return {"authorization": f"Bearer {issuer.caller(service)}", PRINCIPAL_HEADER: principal()}

    return Faces(
        ingestion=HttpUpstream("ingestion", settings.ingestion_http_url),
        registry=HttpUpstream("registry", settings.registry_http_url),
        inference=HttpUpstream("inference", settings.inference_url),
        inside=inside,
        token=credentials.api_token,
    )


if __name__ == "__main__":
    main("console", assemble, lambda: migrate(ConsoleSettings.load().database_url, "onecode_console"))
