"""Say what an operator may set for training."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.settings import RecordSettings


class TrainingSettings(RecordSettings):
    """Settings of training; the environment name of ``x`` is ``ONECODE_TRAINING_X``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_TRAINING_", frozen=True, extra="forbid")
    service: ClassVar[str] = "training"

    grpc_address: str = Field(default="127.0.0.1:0", description="Where the service listens, host:port.")
    database_url: str = Field(default="sqlite:///training.db", description="Runs, trials and their progress.")
    home_dir: Path = Field(default=Path("training"), description="Folder of the runs' files.")
    project: str = Field(default="default", description="The project that this service works for.")
    ingestion_address: str = Field(description="gRPC of ingestion, host:port.")
    registry_address: str = Field(description="gRPC of the registry, host:port.")
    registry_http_url: str = Field(description="Where the registry takes objects, http://host:port.")
    datasets_url: str = Field(description="Where data-set objects are, file:///folder or s3://…; it is only read.")
    ray_address: str = Field(default="", description="Ray cluster to join; empty: each run starts a Ray of its own.")
    ray_cpus: int = Field(default=2, ge=1, le=256, description="Processors of a run's own Ray; trials at a time.")
    parallel_runs: int = Field(default=1, ge=1, le=64, description="Runs at a time; others wait in the queue.")
