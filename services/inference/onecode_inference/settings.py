"""What an operator may set of the inference server."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_serving.settings import ServingSettings


class InferenceSettings(ServingSettings):
    """Settings of the inference server; environment names begin with ``ONECODE_INFERENCE_``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_INFERENCE_", frozen=True, extra="forbid")
    service: ClassVar[str] = "inference"

    distribution_url: str = Field("", description="http://host:port of the registry's distribution.")
    root_file: Path = Field(Path("root.json"), description="Trusted TUF root metadata.")
    home_dir: Path = Field(Path("inference"), description="Folder for the cache of policies and models.")
    processes: int = Field(
        default=1, ge=1, le=64, description="Serving processes that share the ports; one core each is a good number."
    )
    segment: str = Field("cloud", description="Segment whose policy is followed.")
    project: str = Field("default", description="Project served; part of subjects and policies.")
