"""Say what an operator may set of a model server, the same in the cloud and on a gateway."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from onecode_common.settings import ServiceSettings
from onecode_serving.domain.sampling import Share
from onecode_serving.http1.limits import Http1Limits
from onecode_serving.http2.limits import WAITING_BYTES, Http2Limits
from onecode_serving.listen.settings import ListenSettings

if TYPE_CHECKING:
    from onecode_serving.oip.options import OipOptions

_ROOM = 64 << 10
"""Bytes of a stream's window beyond the largest message: its prefix and the padding of its frames."""

Numbers = dict[str, int | float]


class ServingSettings(ServiceSettings):
    """Settings of a program that serves models; its own class adds the prefix of the names."""

    rest_address: str = Field(
        default="127.0.0.1:8000", description="Where predictions over REST are expected, host:port; gRPC works too."
    )
    grpc_address: str = Field(
        default="127.0.0.1:8001",
        description="Where predictions over gRPC are expected, host:port; REST works too. Empty: one port for both.",
    )
    tls_certificate_file: Path | None = Field(
        default=None, description="Certificate with its chain (PEM); switches TLS on, read again when it changes."
    )
    tls_key_file: Path | None = Field(default=None, description="Its key (PEM, not encrypted).")
    tls_client_ca_file: Path | None = Field(
        default=None, description="Authority (PEM) whose client certificates count as credentials."
    )
    anonymous: bool = Field(default=False, description="Everybody may predict; on loopback addresses only.")
    tenants_file: Path | None = Field(
        default=None, description="Who may ask which models how often (JSON), read again when it changes."
    )
    api_token_sha256_file: Path | None = Field(
        default=None,
        description="Instead of it, the SHA-256 digests (hex, one a line) of the bearer tokens that may predict.",
    )
    max_rows: int = Field(default=1024, ge=1, le=1_000_000, description="Rows of one request.")
    max_message_bytes: int = Field(default=4 << 20, ge=1024, le=64 << 20, description="Bytes of one request.")
    models_file: Path | None = Field(
        default=None, description="Options by model (JSON): answer cache, windows of rows, call log. Read at start."
    )
    resident_bytes: int = Field(
        default=0, ge=0, description="Bytes of model files in memory; the longest unused leave first. 0: no bound."
    )
    call_log_dir: Path | None = Field(
        default=None, description="Folder for sampled calls of models whose options ask for it."
    )
    max_connections: int = Field(default=4096, ge=1, description="Connections in all.")
    max_connections_per_address: int = Field(
        default=256, ge=1, description="Connections of one address; of one /64 network with IPv6."
    )
    max_waiting_bytes: int = Field(
        default=WAITING_BYTES, ge=1 << 20, description="Bytes that wait for slow callers, unread or unfinished, in all."
    )
    greeting_s: float = Field(default=10.0, gt=0, description="Seconds for a TLS handshake, and for the first bytes.")
    idle_s: float = Field(default=300.0, gt=0, description="Seconds without a request before a connection is closed.")
    stalled_s: float = Field(
        default=30.0, gt=0, description="Seconds without progress of a caller that does not read its answers."
    )
    connection_age_s: float = Field(
        default=1800.0, ge=0, description="Seconds, give or take a tenth, before a caller connects anew; 0: never."
    )
    drain_notice_s: float = Field(
        default=0.0, ge=0, description="Seconds between not ready and the end of accepting, when the process stops."
    )
    drain_grace_s: float = Field(default=7.0, gt=0, description="Seconds that accepted requests then have to end.")
    http2_limits: Numbers = Field(
        default_factory=dict, description="Bounds of one HTTP/2 connection that differ from the defaults (JSON)."
    )
    http1_limits: Numbers = Field(
        default_factory=dict, description="Bounds of one HTTP/1 connection that differ from the defaults (JSON)."
    )
    shared_memory: bool = Field(
        default=False, description="Callers may pass tensors through POSIX shared memory of this machine."
    )
    shared_memory_prefix: str = Field(default="onecode_", description="Names of such memory must begin with it.")
    trace_file: Path | None = Field(default=None, description="Where traces go that callers switch on; none: refused.")
    otlp_endpoint: str = Field(
        default="",
        description="Base URL of an OpenTelemetry collector (OTLP over HTTP) for spans of predictions; /v1/traces is "
        "appended. Empty: none are made.",
    )
    otlp_headers_file: Path | None = Field(
        default=None,
        description="Headers for the collector, such as its key; name=value a line, read for each request.",
    )
    otlp_certificate_file: Path | None = Field(
        default=None, description="Authority (PEM) of the collector's certificate; none: those of the system."
    )
    trace_random_share: float = Field(
        default=0.001, ge=0, le=1, description="Part of all predictions that makes spans whatever they were like."
    )
    trace_slowest_share: float = Field(
        default=0.01, ge=0, le=0.5, description="Slowest part of each model's answers that makes spans; 0: none."
    )
    trace_per_s: int = Field(
        default=20, ge=1, le=1000, description="Predictions that make spans in one second, for whatever reason."
    )
    open_reflection: bool = Field(
        default=False, description="Callers without a credential may ask by gRPC reflection what is served."
    )

    @property
    def tenants(self) -> Path | None:
        """The file that says who may predict, in either form."""
        return self.tenants_file or self.api_token_sha256_file

    @property
    def scheme(self) -> str:
        """``https`` or ``http``, as callers have to write it."""
        return "https" if self.tls_certificate_file is not None else "http"

    def listening(self, inherited: tuple[int, ...] = ()) -> ListenSettings:
        """Return what the listener is told.

        Args:
            inherited: Descriptors of bound sockets, in the order of the addresses.
        """
        return ListenSettings(
            rest_address=self.rest_address,
            grpc_address=self.grpc_address,
            inherited=inherited,
            certificate_file=self.tls_certificate_file,
            key_file=self.tls_key_file,
            client_ca_file=self.tls_client_ca_file,
            max_message=self.max_message_bytes,
            per_address=self.max_connections_per_address,
            connections=self.max_connections,
            greeting_s=self.greeting_s,
            idle_s=self.idle_s,
            stalled_s=self.stalled_s,
            age_s=self.connection_age_s,
            notice_s=self.drain_notice_s,
            grace_s=self.drain_grace_s,
            freeze=True,
        )

    def http2(self) -> Http2Limits:
        """Return the bounds of an HTTP/2 connection; its windows hold the largest message."""
        limits = Http2Limits(idle_s=self.idle_s, preface_s=self.greeting_s, stall_s=self.stalled_s)
        room = max(limits.stream_window, self.max_message_bytes + _ROOM)
        whole = max(limits.connection_window, room)
        return replace(limits, **{"stream_window": room, "connection_window": whole, **self.http2_limits})  # type: ignore[arg-type]

    def http1(self) -> Http1Limits:
        """Return the bounds of an HTTP/1 connection."""
        limits = Http1Limits(idle_s=self.idle_s, stalled_s=self.stalled_s)
        return replace(limits, **self.http1_limits)  # type: ignore[arg-type]

    def options(self) -> "OipOptions":
        """Return what callers may do beyond predictions."""
        # Only a process that serves asks; the others of a gateway read the settings without numpy.
        from onecode_serving.oip.options import OipOptions  # noqa: PLC0415

        return OipOptions(
            shared_memory=self.shared_memory,
            shared_memory_prefix=self.shared_memory_prefix,
            trace_file=self.trace_file,
            open_reflection=self.open_reflection,
            max_rows=self.max_rows,
        )

    def share(self) -> Share:
        """Return which predictions make spans."""
        return Share(self.trace_random_share, self.trace_slowest_share, self.trace_per_s)

    @field_validator("otlp_endpoint")
    @classmethod
    def _is_base_url(cls, value: str) -> str:
        if not value:
            return value
        parts = urlsplit(value)
        if parts.username is not None or parts.password is not None or parts.query or parts.fragment:
            message = "give host, port and path only; keys belong into OTLP_HEADERS_FILE"
            raise ValueError(message)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            message = f"expected http://host:port or https://host:port, got {value[:80]!r}"
            raise ValueError(message)
        return value

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.tls_certificate_file is None) != (self.tls_key_file is None):
            message = "TLS needs both TLS_CERTIFICATE_FILE and TLS_KEY_FILE"
            raise ValueError(message)
        if self.tls_client_ca_file is not None and self.tls_certificate_file is None:
            message = "TLS_CLIENT_CA_FILE needs TLS_CERTIFICATE_FILE"
            raise ValueError(message)
        if self.tenants_file is not None and self.api_token_sha256_file is not None:
            message = "set either TENANTS_FILE or API_TOKEN_SHA256_FILE, not both"
            raise ValueError(message)
        if not self.otlp_endpoint and (self.otlp_headers_file or self.otlp_certificate_file):
            message = "OTLP_HEADERS_FILE and OTLP_CERTIFICATE_FILE need OTLP_ENDPOINT"
            raise ValueError(message)
        for name, given, kind in (
            ("HTTP2_LIMITS", self.http2_limits, Http2Limits),
            ("HTTP1_LIMITS", self.http1_limits, Http1Limits),
        ):
            _known(name, given, {one.name: one.type for one in fields(kind)})
        return self


def _known(name: str, given: Numbers, known: dict[str, object]) -> None:
    for key, value in given.items():
        if key not in known:
            message = f"{name}: {key[:40]!r} is no bound, known are {', '.join(sorted(known))}"
            raise ValueError(message)
        if value <= 0 or (known[key] in (int, "int") and value != int(value)):
            message = f"{name}: {key} cannot be {value}"
            raise ValueError(message)
