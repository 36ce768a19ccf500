"""Start the registry: open the outside, choose adapters, serve."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path

from onecode.registry.v1 import registry_pb2_grpc as rpc
from onecode_common.audit import Audit
from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import InvalidError
from onecode_common.migrations import migrate, upgrade
from onecode_common.objects import open_objects
from onecode_common.outbox import Outbox, OutboxSender
from onecode_common.program import Part, main
from onecode_common.rpc import GrpcServer
from onecode_common.tokens import TokenVerifier
from onecode_common.web import HttpServer
from onecode_registry.access import Access
from onecode_registry.adapters.inspector import ChildInspector
from onecode_registry.adapters.mlflow_client import MlflowClient
from onecode_registry.adapters.mlflow_server import MlflowServer
from onecode_registry.adapters.records import SqlRecords
from onecode_registry.adapters.signing import FileSigning
from onecode_registry.adapters.tables import audit, outbox
from onecode_registry.adapters.trial import ChildTrial
from onecode_registry.http import build_app
from onecode_registry.ports import Ports
from onecode_registry.service import Closing, build
from onecode_registry.servicer import RULES
from onecode_registry.settings import RegistrySettings
from onecode_registry.usecases.intake import Intake


def parts_of(settings: RegistrySettings) -> list[Part]:
    """Return the parts of the program in the order in which they start.

    Raises:
        OnecodeError: Something it needs cannot be opened; the message says which setting to look at.
    """
    clock = SystemClock()
    settings.home_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    database = Database(settings.database_url)
    upgrade(database, "onecode_registry")
    facts = Outbox(outbox, "registry", clock, settings.project)
    mlflow = None if settings.mlflow_url else MlflowServer(settings.home_dir / "mlflow", settings.mlflow_address)
    ports = Ports(
        project=settings.project,
        records=SqlRecords(database, facts, Audit(audit, clock, facts)),
        objects=open_objects(settings.objects_url),
        signing=FileSigning(
            settings.keys_dir,
            _read(settings.fleet_public_key_file),
            _read(settings.root_file) if settings.root_file is not None else b"",
        ),
        inspector=ChildInspector(),
        trial=ChildTrial(),
        tracking=MlflowClient(
            mlflow.url if mlflow else settings.mlflow_url,
            mlflow.token if mlflow else _token(settings.mlflow_token_file),
            settings.public_url,
            settings.project,
        ),
        clock=clock,
    )
    service = build(ports, settings.home_dir / "public", timedelta(hours=settings.sweep_after_h))
    verifier = TokenVerifier(_required(settings.jwks_file), clock)
    grpc = GrpcServer("registry", settings.grpc_address, verifier, RULES)
    rpc.add_RegistryServiceServicer_to_server(service.servicer, grpc.server)
    intake = Intake(ports.objects, settings.home_dir / "incoming")
    app = build_app(intake, service.distribution, Access(verifier, settings.project))
    parts: list[Part] = [Closing(database.close), service.beginning, grpc, HttpServer(app, settings.http_address)]
    if mlflow is not None:
        parts.append(mlflow)
    if settings.nats_url:
        bus = Bus(settings.nats_url, "registry", settings.nats_seed_file)
        bus.ensure_streams()
        parts += [bus, OutboxSender(database, facts, bus)]
    return [*parts, *service.loops]


def _assemble() -> tuple[str, str, str, Sequence[Part]]:
    settings = RegistrySettings.load()
    return settings.log_format, settings.log_level, settings.ops_address, parts_of(settings)


def _token(path: Path | None) -> Callable[[], str]:
    return lambda: _read(path).decode("ascii").strip() if path is not None else ""


def _required(path: Path | None) -> Path:
    if path is None:
        message = "setting ONECODE_REGISTRY_JWKS_FILE is missing: name the file with the services' public keys"
        raise InvalidError(message, code="settings.missing")
    return path


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        message = f"cannot read {path}: {error.strerror}; create it or correct the setting"
        raise InvalidError(message, code="settings.file", params={"path": path}) from error


if __name__ == "__main__":
    main("registry", _assemble, lambda: migrate(RegistrySettings.load().database_url, "onecode_registry"))
