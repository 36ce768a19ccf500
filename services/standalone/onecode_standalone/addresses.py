"""Know every address of one running platform, from the settings alone."""

import socket
from dataclasses import dataclass
from typing import NamedTuple

from onecode_common.addresses import split_address
from onecode_standalone.settings import UpSettings

LOOPBACK = "127.0.0.1"
SERVICES = ("registry", "ingestion", "training", "rollout", "inference", "console")
"""The platform's own services, in the order in which they need each other."""

_FIRST_BLOCK = 10
_GRPC, _HTTP, _OPS, _MLFLOW = 0, 1, 2, 3


class Listener(NamedTuple):
    """A port somebody will listen on.

    Attributes:
        process: Entry of the process table that wants it.
        option: What to set to move it.
    """

    host: str
    port: int
    process: str
    option: str


class GatewayPorts(NamedTuple):
    """Where one gateway listens."""

    rest: int
    grpc: int
    ops: int


@dataclass(frozen=True, slots=True)
class Addresses:
    """Addresses of one platform: public faces where asked, everything else on loopback from the port base on."""

    settings: UpSettings

    @property
    def nats_port(self) -> int:
        """Port of the message bus."""
        return self.settings.port_base

    @property
    def nats_url(self) -> str:
        """URL of the message bus."""
        return f"nats://{LOOPBACK}:{self.nats_port}"

    def grpc(self, service: str) -> str:
        """Return host:port of a service's gRPC face."""
        return f"{LOOPBACK}:{self._port(service, _GRPC)}"

    def ops(self, service: str) -> str:
        """Return host:port of a service's health and metrics."""
        return f"{LOOPBACK}:{self._port(service, _OPS)}"

    @property
    def mlflow(self) -> str:
        """host:port of the registry's MLflow."""
        return f"{LOOPBACK}:{self._port('registry', _MLFLOW)}"

    @property
    def ingestion_http(self) -> str:
        """host:port of uploads."""
        return f"{LOOPBACK}:{self._port('ingestion', _HTTP)}"

    @property
    def registry_http(self) -> str:
        """host:port of objects and signed metadata; gateways elsewhere fetch from it."""
        return f"{self.settings.listen}:{self._port('registry', _HTTP)}"

    def gateway(self, number: int) -> GatewayPorts:
        """Return the ports of gateway 1, 2, ..."""
        first = self.settings.port_base + 100 + 10 * number
        return GatewayPorts(first, first + 1, first + 2)

    def face(self, port: int) -> str:
        """Return host:port that a public face binds."""
        return f"{self.settings.listen}:{port}"

    def url(self, port: int) -> str:
        """Return the URL by which others reach a public face."""
        return f"http://{self._public_host()}:{port}"

    @property
    def console_url(self) -> str:
        """URL of pages and REST."""
        return self.settings.console_url or self.url(self.settings.console_port)

    @property
    def edge_url(self) -> str:
        """URL where gateways enrol and report."""
        return self.settings.edge_url or self.url(self.settings.edge_port)

    @property
    def oip_grpc(self) -> str:
        """host:port of predictions over gRPC."""
        return f"{self._public_host()}:{self.settings.oip_grpc_port}"

    @property
    def distribution_url(self) -> str:
        """URL that gateways fetch models from."""
        return self.settings.distribution_url or self.url(self._port("registry", _HTTP))

    def inside_url(self, port: int) -> str:
        """Return the URL by which the platform's own processes reach a public face."""
        wild = self.settings.listen in ("0.0.0.0", "::")
        return f"http://{LOOPBACK if wild else self.settings.listen}:{port}"

    def registry_inside_url(self) -> str:
        """Return the URL of objects for the platform's own processes."""
        return self.inside_url(self._port("registry", _HTTP))

    def listeners(self) -> list[Listener]:
        """Return every port that is wanted, in the order of the process table."""
        base, settings = "--port-base", self.settings
        found = [Listener(LOOPBACK, self.nats_port, "nats", base)]
        asked = ("registry", "ingestion", "training", "rollout")
        found += [Listener(LOOPBACK, self._port(service, _GRPC), service, base) for service in asked]
        found += [Listener(LOOPBACK, self._port(service, _OPS), service, base) for service in SERVICES]
        found += [
            Listener(settings.listen, self._port("registry", _HTTP), "registry", base),
            Listener(LOOPBACK, self._port("registry", _MLFLOW), "registry", base),
            Listener(LOOPBACK, self._port("ingestion", _HTTP), "ingestion", base),
            Listener(settings.listen, settings.edge_port, "rollout", "--edge-port"),
            Listener(settings.listen, settings.oip_rest_port, "inference", "--oip-rest-port"),
            Listener(settings.listen, settings.oip_grpc_port, "inference", "--oip-grpc-port"),
            Listener(settings.listen, settings.console_port, "console", "--console-port"),
        ]
        if settings.ops_address:
            host, port = split_address(settings.ops_address)
            found.append(Listener(host, port, "up", "--ops-address"))
        for number in range(1, settings.gateways + 1):
            found += [Listener(LOOPBACK, port, f"gateway-{number}", base) for port in self.gateway(number)]
        return found

    def document(self) -> dict[str, object]:
        """Return what ``ports.json`` tells other programs: ports, and the URLs made of them."""
        settings = self.settings
        return {
            "console": settings.console_port,
            "rest": settings.oip_rest_port,
            "grpc": settings.oip_grpc_port,
            "edge": settings.edge_port,
            "distribution": self._port("registry", _HTTP),
            "nats": self.nats_port,
            "mlflow": self._port("registry", _MLFLOW),
            "ops": {service: self._port(service, _OPS) for service in SERVICES},
            "gateways": {f"gw-{number}": self.gateway(number)._asdict() for number in range(1, settings.gateways + 1)},
            "urls": {
                "console": self.console_url,
                "oip_rest": self.url(settings.oip_rest_port),
                "oip_grpc": self.oip_grpc,
                "edge": self.edge_url,
            },
        }

    def _port(self, service: str, offset: int) -> int:
        return self.settings.port_base + _FIRST_BLOCK * (SERVICES.index(service) + 1) + offset

    def _public_host(self) -> str:
        wild = self.settings.listen in ("0.0.0.0", "::")
        return socket.gethostname() if wild else self.settings.listen
