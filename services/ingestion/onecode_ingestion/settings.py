"""Say what an operator may set for ingestion."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.settings import RecordSettings
from onecode_ingestion.domain.limits import Limits


class IngestionSettings(RecordSettings):
    """Settings of ingestion; the environment name of ``x`` is ``ONECODE_INGESTION_X``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_INGESTION_", frozen=True, extra="forbid")
    service: ClassVar[str] = "ingestion"

    grpc_address: str = Field(default="127.0.0.1:7420", description="Where questions are answered, host:port.")
    http_address: str = Field(default="127.0.0.1:7421", description="Where uploads arrive (tus), host:port.")
    database_url: str = Field(default="sqlite:///ingestion.db", description="Records of data sets and uploads.")
    objects_url: str = Field(description="Where Parquet objects are kept: file:///folder or s3://host/bucket/prefix.")
    home_dir: Path = Field(description="Folder for uploads in progress and scratch files.")
    project: str = Field(default="default", description="The project that this service keeps data of.")
    max_upload_bytes: int = Field(default=2 << 30, ge=1, description="Largest upload, in bytes.")
    max_decoded_bytes: int = Field(default=4 << 30, ge=1, description="Largest upload once decompressed, in bytes.")
    max_open_uploads: int = Field(default=500, ge=1, description="Uploads under way at the same time.")
    upload_keep_hours: int = Field(default=168, ge=1, description="Hours until an upload is forgotten.")
    object_grace_hours: int = Field(default=24, ge=1, description="Hours that an object without a version is kept.")
    reader_processes: int = Field(default=2, ge=1, le=64, description="Files that are read at the same time.")
    reader_memory_bytes: int = Field(default=3 << 30, ge=1 << 29, description="Address space of one reader.")

    def limits(self) -> Limits:
        """Return what one file may cost."""
        return Limits(
            upload_bytes=self.max_upload_bytes,
            decoded_bytes=self.max_decoded_bytes,
            memory_bytes=self.reader_memory_bytes,
        )
