"""Say what an operator may set for the console."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.settings import RecordSettings


class ConsoleSettings(RecordSettings):
    """Settings of the console; the environment name of ``x`` is ``ONECODE_CONSOLE_X``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_CONSOLE_", frozen=True, extra="forbid")
    service: ClassVar[str] = "console"

    http_address: str = Field(default="127.0.0.1:8080", description="Where REST and pages listen, host:port.")
    public_url: str = Field(
        default="http://127.0.0.1:8080",
        description="How browsers reach the console; requests with a session must come from here.",
    )
    database_url: str = Field(default="sqlite:///console.db", description="Sessions and copies of the audit trail.")
    home_dir: Path | None = Field(default=None, description="Folder for files of this service; none are kept today.")
    project: str = Field(default="default", description="The project that REST and pages speak of.")
    language: str = Field(default="zh", pattern="^(zh|en)$", description="Language of a visitor who asks for none.")
    api_token_file: Path = Field(description="File that holds the bearer token of programs.")
    login_file: Path | None = Field(default=None, description="File that holds a login code, good for one sign-in.")
    ingestion_address: str = Field(description="gRPC of ingestion, host:port.")
    ingestion_http_url: str = Field(description="Where ingestion takes uploads (tus), http://host:port.")
    training_address: str = Field(description="gRPC of training, host:port.")
    registry_address: str = Field(description="gRPC of the registry, host:port.")
    registry_http_url: str = Field(description="Where the registry takes objects, http://host:port.")
    rollout_address: str = Field(description="gRPC of rollout, host:port.")
    inference_url: str = Field(description="REST address of the cloud's inference server.")
