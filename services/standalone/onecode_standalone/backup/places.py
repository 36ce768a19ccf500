"""Know where the records, objects and files of a platform lie: in one home, or where the services' settings say.

In a cluster the backup runs with the services' own settings: ``ONECODE_<SERVICE>_DATABASE_URL`` and
``ONECODE_<SERVICE>_OBJECTS_URL``. Where one is not set, the home has it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError

from onecode_common.errors import InvalidError

SERVICES = ("console", "rollout", "training", "registry", "ingestion")
"""Who keeps records, in the order in which they are copied: who names comes before who is named."""

STORES = {"datasets": "ingestion", "models": "registry"}
"""Object stores by the folder that they have in a home, and whose they are."""

MARK = ".restoring"
"""File of a home whose restore has not ended."""

_SKIPPED_FOLDERS = (
    "logs",
    "work",
    "nats/jetstream",
    "inference/delivery",
    "gateways/*/run",
    "gateways/*/tmp",
    "gateways/*/metadata",
    *(f"objects/{name}" for name in STORES),
)
_SKIPPED_FILES = (
    "lock",
    "ports.json",
    MARK,
    "registry/mlflow/pid",
    "inference/accepted-*",
    "gateways/*/accepted-*",
    "*.db-wal",
    "*.db-shm",
    "*.db-journal",
    "*.log",
    "*.corrupt",
    ".new-*",
)


@dataclass(frozen=True, slots=True)
class Places:
    """Where everything is.

    Attributes:
        home: The folder with files and, by default, databases and objects.
        postgres: PostgreSQL URL by service; the databases of all others are files of the home.
        objects: URL by store.
    """

    home: Path
    postgres: Mapping[str, str]
    objects: Mapping[str, str]

    def sqlite(self, service: str) -> Path:
        """Return where a home keeps a service's records."""
        return self.home / service / f"{service}.db"

    @property
    def elsewhere(self) -> bool:
        """Whether something lies outside of the home."""
        return bool(self.postgres) or any(not url.startswith(f"file://{self.home}/") for url in self.objects.values())


def places(home: Path, environment: Mapping[str, str]) -> Places:
    """Return where a platform keeps what it has.

    Args:
        home: Its folder.
        environment: May hold the services' settings.

    Raises:
        InvalidError: A database URL cannot be read, or names a SQLite file outside of the home.
    """
    postgres = {}
    for service in SERVICES:
        name = f"ONECODE_{service.upper()}_DATABASE_URL"
        if url := environment.get(name, ""):
            if _backend(name, url) == "postgresql":
                postgres[service] = url
            elif Path(make_url(url).database or "").absolute() != (home / service / f"{service}.db").absolute():
                message = f"{name} names a SQLite file other than {home / service / f'{service}.db'}"
                hint = "give the folder that holds it as --home; each service's file lies in a folder of its name"
                raise InvalidError(message, code="backup.place", hint=hint)
    objects = {
        store: environment.get(f"ONECODE_{service.upper()}_OBJECTS_URL") or f"file://{home}/objects/{store}"
        for store, service in STORES.items()
    }
    return Places(home, postgres, objects)


def _backend(name: str, url: str) -> str:
    try:
        return make_url(url).get_backend_name()
    except ArgumentError as error:
        raise InvalidError(f"{name} is not a database URL", code="backup.place") from error


def walk(home: Path) -> Iterator[Path]:
    """Yield every folder, link and regular file that belongs into a backup, parents first, by name."""
    pending = [home]
    while pending:
        for path in sorted(pending.pop().iterdir(), reverse=True):
            relative = path.relative_to(home)
            if path.is_symlink():
                yield path
            elif path.is_dir():
                if not any(relative.match(pattern) for pattern in _SKIPPED_FOLDERS):
                    yield path
                    pending.append(path)
            elif path.is_file() and not any(_matches(relative, pattern) for pattern in _SKIPPED_FILES):
                yield path


def _matches(relative: Path, pattern: str) -> bool:
    # A bare name is meant at the top only, unless it has a wildcard.
    if "/" not in pattern and "*" not in pattern:
        return str(relative) == pattern
    return relative.match(pattern)
