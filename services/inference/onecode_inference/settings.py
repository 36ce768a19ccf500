"""What an operator may set of the inference server."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.settings import ServiceSettings


class InferenceSettings(ServiceSettings):
    """Settings of the inference server; environment names begin with ``ONECODE_INFERENCE_``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_INFERENCE_", frozen=True, extra="forbid")
    service: ClassVar[str] = "inference"

    rest_address: str = Field("127.0.0.1:8000", description="Where the protocol's REST listens, host:port.")
    grpc_address: str = Field("127.0.0.1:8001", description="Where the protocol's gRPC listens, host:port.")
    distribution_url: str = Field("", description="http://host:port of the registry's distribution.")
    root_file: Path = Field(Path("root.json"), description="Trusted TUF root metadata.")
    home_dir: Path = Field(Path("inference"), description="Folder for the cache of policies and models.")
    segment: str = Field("cloud", description="Segment whose policy is followed.")
    project: str = Field("default", description="Project served; part of subjects and policies.")
    anonymous: bool = Field(default=False, description="Everybody may predict; loopback addresses only.")
    api_token_sha256_file: Path | None = Field(
        None, description="File with SHA-256 digests (hex, one a line) of the bearer tokens that may predict."
    )
    max_rows: int = Field(1024, ge=1, le=1_000_000, description="Rows of one request.")
    max_message_bytes: int = Field(4 << 20, ge=1024, le=64 << 20, description="Bytes of one request.")
