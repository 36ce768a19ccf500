"""Run ingestion: ``python -m onecode_ingestion``."""

from collections.abc import Sequence

from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import InvalidError
from onecode_common.migrations import migrate, upgrade
from onecode_common.objects import open_objects
from onecode_common.outbox import OutboxSender
from onecode_common.program import Part, main
from onecode_common.tokens import TokenVerifier
from onecode_ingestion.adapters.child_reader import ChildReader
from onecode_ingestion.adapters.records import DatabaseRecords
from onecode_ingestion.adapters.row_pages import CachedRowPages
from onecode_ingestion.adapters.upload_files import UploadFolder
from onecode_ingestion.ports import Ports
from onecode_ingestion.service import build
from onecode_ingestion.settings import IngestionSettings


def assemble() -> tuple[str, str, str, Sequence[Part]]:
    """Return the log format, log level, ops address and parts of ingestion."""
    settings = IngestionSettings.load()
    if settings.jwks_file is None:
        message = "ONECODE_INGESTION_JWKS_FILE is not set: it names the public keys of callers"
        raise InvalidError(message, code="settings.missing")
    clock = SystemClock()
    settings.home_dir.mkdir(parents=True, exist_ok=True)
    database = Database(settings.database_url)
    upgrade(database, "onecode_ingestion")
    objects = open_objects(settings.objects_url)
    records = DatabaseRecords(database, clock, settings.project)
    home = settings.home_dir
    ports = Ports(
        records=records,
        files=UploadFolder(home / "uploads"),
        reader=ChildReader(home / "scratch", settings.limits(), settings.reader_processes),
        objects=objects,
        pages=CachedRowPages(objects, home / "cache"),
        clock=clock,
    )
    service = build(settings, ports, TokenVerifier(settings.jwks_file, clock))
    parts = [*_facts(settings, database, records), *service.parts]
    return settings.log_format, settings.log_level, settings.ops_address, parts


def _facts(settings: IngestionSettings, database: Database, records: DatabaseRecords) -> list[Part]:
    if not settings.nats_url:
        return []
    bus = Bus(settings.nats_url, "ingestion", settings.nats_seed_file)
    bus.ensure_streams()
    return [bus, OutboxSender(database, records.outbox, bus)]


if __name__ == "__main__":
    main("ingestion", assemble, lambda: migrate(IngestionSettings.load().database_url, "onecode_ingestion"))
