"""Say what may be set for one gateway."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_serving.settings import ServingSettings


class EdgeSettings(ServingSettings):
    """Settings of the edge agent; environment names begin with ``ONECODE_EDGE_``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_EDGE_", frozen=True, extra="forbid")
    service: ClassVar[str] = "edge"

    home_dir: Path = Field(default=Path("/var/lib/onecode-edge"), description="The gateway's state directory.")
    server_url: str = Field(default="", description="http(s)://host:port where gateways enrol and report.")
    enrol_token_file: Path | None = Field(default=None, description="File with the one-time enrolment token.")
    root_sha256: str = Field(
        default="", pattern="^([0-9a-f]{64})?$", description="SHA-256 of the signing root that enrolment must give."
    )
