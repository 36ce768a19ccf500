"""Start training: read settings, open the outside, serve."""

import os
import secrets
from collections.abc import Sequence
from pathlib import Path

from onecode.training.v1 import training_pb2_grpc as rpc
from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import InvalidError
from onecode_common.files import write_file
from onecode_common.keys import load_key
from onecode_common.migrations import migrate, upgrade
from onecode_common.outbox import OutboxSender
from onecode_common.program import Part, main
from onecode_common.rpc import GrpcServer, Peer, connect
from onecode_common.tokens import TokenIssuer, TokenVerifier
from onecode_training.adapters.code_version import code_version
from onecode_training.adapters.driver_processes import DriverProcesses
from onecode_training.adapters.hints import BusHints
from onecode_training.adapters.ingestion import IngestionDatasets
from onecode_training.adapters.recipe_text import RecipeText
from onecode_training.adapters.records import SqlRecords
from onecode_training.adapters.registry import RegistryPeer
from onecode_training.ports import Ports
from onecode_training.service import build
from onecode_training.servicer import RULES
from onecode_training.settings import TrainingSettings
from onecode_training.usecases.attempts import Where

_RAY_TOKEN = "RAY_AUTH_TOKEN_PATH"  # noqa: S105 - the name of a variable


def assemble() -> tuple[str, str, str, Sequence[Part]]:
    """Return log format, log level, ops address and parts, from the environment.

    Raises:
        InvalidError: A setting is missing or does not fit.
    """
    settings = TrainingSettings.load()
    if settings.key_file is None or settings.jwks_file is None:
        message = "ONECODE_TRAINING_KEY_FILE and ONECODE_TRAINING_JWKS_FILE must be set: calls are signed and checked"
        raise InvalidError(message, code="settings.missing")
    clock = SystemClock()
    settings.home_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database_url)
    upgrade(database, "onecode_training")
    records = SqlRecords(database, clock, settings.project)
    bus = Bus(settings.nats_url, "training", settings.nats_seed_file) if settings.nats_url else None
    issuer = TokenIssuer("training", load_key(settings.key_file), clock)
    service = build(_ports(settings, issuer, records, bus), _where(settings), settings.project)
    server = GrpcServer("training", settings.grpc_address, TokenVerifier(settings.jwks_file, clock), RULES)
    rpc.add_TrainingServiceServicer_to_server(service.servicer, server.server)
    before: list[Part] = []
    if bus is not None:
        bus.ensure_streams()
        before = [bus, OutboxSender(database, records.outbox, bus)]
    return settings.log_format, settings.log_level, settings.ops_address, [*before, *service.loops, server]


def _ports(settings: TrainingSettings, issuer: TokenIssuer, records: SqlRecords, bus: Bus | None) -> Ports:
    clock, project = SystemClock(), settings.project
    registry = connect(Peer("registry", settings.registry_address), issuer)
    ingestion = connect(Peer("ingestion", settings.ingestion_address), issuer)
    return Ports(
        clock=clock,
        records=records,
        recipes=RecipeText(),
        datasets=IngestionDatasets(ingestion, project),
        registry=RegistryPeer(registry, settings.registry_http_url, lambda: issuer.caller("registry"), project),
        drivers=DriverProcesses(settings.home_dir, _ray_token(settings.home_dir)),
        hints=BusHints(bus, clock, project),
    )


def _where(settings: TrainingSettings) -> Where:
    return Where(
        datasets_url=settings.datasets_url,
        ray_address=settings.ray_address,
        ray_cpus=settings.ray_cpus,
        parallel_runs=settings.parallel_runs,
        code_version=code_version(),
    )


def _ray_token(home: Path) -> Path:
    """Return the file with the token of the runs' Ray, made where nobody gave one."""
    given = os.environ.get(_RAY_TOKEN)
    if given:
        return Path(given)
    path = home.absolute() / "ray-token"
    if not path.exists():
        write_file(path, secrets.token_hex(32).encode(), mode=0o600)
    return path


if __name__ == "__main__":
    main("training", assemble, lambda: migrate(TrainingSettings.load().database_url, "onecode_training"))
