"""Read what an operator may set, and refuse a name that is mistyped.

A service's settings are one frozen model; the environment name of a field is
``ONECODE_<SERVICE>_<FIELD>``. Secrets are paths to files, never values.
"""

import os
from pathlib import Path
from typing import Any, ClassVar, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from onecode_common.errors import InvalidError


class ServiceSettings(BaseSettings):
    """Settings that every service has; a service adds its own in a subclass.

    A subclass sets ``model_config = SettingsConfigDict(env_prefix="ONECODE_<SERVICE>_", frozen=True)``.
    """

    model_config = SettingsConfigDict(frozen=True, extra="forbid")
    service: ClassVar[str] = ""

    ops_address: str = Field(default="127.0.0.1:0", description="Where health and metrics listen, host:port.")
    nats_url: str = Field(default="", description="nats://host:port of the message bus; empty: none.")
    nats_seed_file: Path | None = Field(default=None, description="File with this process's NKEY seed.")
    key_file: Path | None = Field(default=None, description="File with this service's Ed25519 key (PEM).")
    jwks_file: Path | None = Field(default=None, description="File with the public keys of all services.")
    log_format: str = Field(default="text", pattern="^(text|json)$", description="text or json.")
    log_level: str = Field(default="INFO", description="Standard level name.")

    @classmethod
    def load(cls) -> Self:
        """Return the settings from the environment.

        Raises:
            InvalidError: A name under the service's prefix is unknown, or a value does not fit.
        """
        prefix = cls.model_config.get("env_prefix") or ""
        known = {f"{prefix}{name}".upper() for name in cls.model_fields}
        unknown = sorted(
            name for name in os.environ if name.upper().startswith(prefix.upper()) and name.upper() not in known
        )
        if unknown:
            message = f"unknown setting {unknown[0]}: known are {', '.join(sorted(known))}"
            raise InvalidError(message, code="settings.unknown", params={"name": unknown[0]})
        try:
            return cls()
        except ValidationError as error:
            first = error.errors()[0]
            name = f"{prefix}{'.'.join(str(part) for part in first['loc'])}".upper()
            message = f"setting {name} does not fit: {first['msg']}"
            raise InvalidError(message, code="settings.invalid", params={"name": name}) from error


class RecordSettings(ServiceSettings):
    """Settings of a service that keeps records; it declares ``database_url`` itself, since the defaults differ."""

    database_url_file: Path | None = Field(
        default=None, description="File with the database's URL, for one that holds a password; replaces the setting."
    )

    @model_validator(mode="before")
    @classmethod
    def _read_database_url(cls, values: Any) -> Any:
        file = values.get("database_url_file") if isinstance(values, dict) else None
        if not file:
            return values
        if "database_url" in values:
            message = "set either DATABASE_URL or DATABASE_URL_FILE, not both"
            raise ValueError(message)
        try:
            url = Path(file).read_text(encoding="utf-8").strip()
        except OSError as error:
            message = f"cannot read {file}: {error.strerror}"
            raise ValueError(message) from error
        return {**values, "database_url": url}
