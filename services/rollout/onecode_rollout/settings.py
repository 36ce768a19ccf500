"""What an operator may set for rollout."""

from pathlib import Path
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.settings import RecordSettings


class RolloutSettings(RecordSettings):
    """Environment names ``ONECODE_ROLLOUT_<FIELD>``."""

    model_config = SettingsConfigDict(env_prefix="ONECODE_ROLLOUT_", frozen=True, extra="forbid")
    service: ClassVar[str] = "rollout"

    grpc_address: str = Field(default="127.0.0.1:7440", description="Where the console calls, host:port.")
    http_address: str = Field(default="127.0.0.1:8081", description="Where gateways enrol and report, host:port.")
    database_url: str = Field(default="sqlite:///rollout.db", description="sqlite:///path or postgresql+psycopg://…")
    home_dir: Path = Field(default=Path(), description="Folder for the service's own files.")
    project: str = Field(default="default", description="The project that everything belongs to.")
    registry_address: str = Field(default="127.0.0.1:7410", description="gRPC of the registry, host:port.")
    fleet_key_file: Path = Field(description="Ed25519 key (PEM, 0600) that signs policies; made when missing.")
    distribution_url: str = Field(default="http://127.0.0.1:7411", description="Where gateways fetch models.")
    edge_url: str = Field(default="http://127.0.0.1:8081", description="What gateways are told about this face.")
    poll_seconds: float = Field(default=0.5, gt=0, le=60, description="Longest wait between two looks at rollouts.")
    custom_resources: bool = Field(default=False, description="Follow ModelRollout objects of Kubernetes.")
    custom_resources_namespace: str = Field(default="", description="Whose objects; empty: the pod's own namespace.")
    kubeconfig_file: Path | None = Field(
        default=None, description="How to reach the Kubernetes API; empty: by the pod's service account."
    )
