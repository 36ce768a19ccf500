"""Say what an operator may set for the registry."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.settings import RecordSettings


class RegistrySettings(RecordSettings):
    """Environment ``ONECODE_REGISTRY_*``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_REGISTRY_", frozen=True, extra="forbid")
    service: ClassVar[str] = "registry"

    grpc_address: str = Field(default="127.0.0.1:7410", description="Where services call, host:port.")
    http_address: str = Field(default="127.0.0.1:7411", description="Where objects and signed metadata are served.")
    public_url: str = Field(default="http://127.0.0.1:7411", description="The same as gateways reach it.")
    database_url: str = Field(description="sqlite:///file or postgresql+psycopg://…")
    objects_url: str = Field(description="file:///folder or s3://host:port/bucket/prefix for model files.")
    home_dir: Path = Field(description="Folder for uploads in progress, MLflow and the public root.json.")
    keys_dir: Path = Field(description="Folder with the keys that sign, made at the first start with mode 0600.")
    fleet_public_key_file: Path = Field(description="Public key (PEM) of who signs policies.")
    root_file: Path | None = Field(
        default=None, description="First version of the signed root, made elsewhere; none: made at the first start."
    )
    project: str = Field(default="default", description="The one project of this installation.")
    mlflow_url: str = Field(default="", description="An MLflow that runs elsewhere; empty: run one below.")
    mlflow_address: str = Field(default="127.0.0.1:7413", description="Where the one below listens; loopback only.")
    mlflow_token_file: Path | None = Field(default=None, description="Bearer token for the MLflow elsewhere.")
    sweep_after_h: int = Field(default=24, ge=1, description="Hours that an object may lie unused.")
