"""Say what a person may set for `onecode up`, and refuse what cannot work before anything is started."""

import ipaddress
import os
from dataclasses import dataclass
from pathlib import Path

from onecode_common.errors import InvalidError

DEFAULT_PORT_BASE = 7400
BLOCK = 100
"""Ports of services lie within the base's first hundred; gateway *i* has ten from base + 100 + 10 * i."""

_GATEWAY_BLOCK = 10
_LOWEST_PORT = 1024
_HIGHEST_PORT = 65535
_MOST_GATEWAYS = 40


def default_home() -> Path:
    """Return the home of this person: ``ONECODE_HOME``, or ``~/.onecode``."""
    return Path(os.environ.get("ONECODE_HOME") or Path.home() / ".onecode").expanduser().absolute()


@dataclass(frozen=True, slots=True)
class UpSettings:
    """What was asked of `onecode up`.

    Attributes:
        home: Folder with everything the platform keeps; deleting it is the reset.
        gateways: How many gateways to start beside the cloud.
        port_base: First port of the block for everything that is no public face.
        listen: Address of the public faces; any but loopback switches anonymous prediction off.
        language: Of the console's pages, ``zh`` or ``en``.
        ops_address: host:port of health and metrics of the whole platform; empty: none.
        api_token_file: Holds the administrator's token; None: one is made in the home.
        console_url: How browsers reach the console; empty: by the address it listens on. So for the next two.
        edge_url: How gateways elsewhere enrol and report.
        distribution_url: How gateways elsewhere fetch models.
        echo_logs: What the processes write is copied to stdout, each line behind the name of its process.

    Raises:
        InvalidError: A port lies outside 1024..65535 or is given twice, or there are too many gateways.
    """

    home: Path
    gateways: int = 3
    port_base: int = DEFAULT_PORT_BASE
    console_port: int = 8080
    oip_rest_port: int = 8000
    oip_grpc_port: int = 8001
    edge_port: int = 8081
    listen: str = "127.0.0.1"
    language: str = "zh"
    ops_address: str = ""
    api_token_file: Path | None = None
    console_url: str = ""
    edge_url: str = ""
    distribution_url: str = ""
    echo_logs: bool = False

    def __post_init__(self) -> None:
        if not 0 <= self.gateways <= _MOST_GATEWAYS:
            raise _invalid("--gateways", self.gateways, f"0 to {_MOST_GATEWAYS}")
        highest = _HIGHEST_PORT - BLOCK - _GATEWAY_BLOCK * (self.gateways + 1)
        if not _LOWEST_PORT <= self.port_base <= highest:
            raise _invalid("--port-base", self.port_base, f"{_LOWEST_PORT} to {highest}")
        for option, port in self.faces().items():
            if not _LOWEST_PORT <= port <= _HIGHEST_PORT:
                raise _invalid(option, port, f"{_LOWEST_PORT} to {_HIGHEST_PORT}")
        self._check_twins()

    def faces(self) -> dict[str, int]:
        """Return the ports of the public faces by option."""
        return {
            "--console-port": self.console_port,
            "--oip-rest-port": self.oip_rest_port,
            "--oip-grpc-port": self.oip_grpc_port,
            "--edge-port": self.edge_port,
        }

    @property
    def anonymous(self) -> bool:
        """Whether predictions need no credential: only where nobody else can reach them."""
        return is_loopback(self.listen)

    def _check_twins(self) -> None:
        end = self.port_base + BLOCK + _GATEWAY_BLOCK * (self.gateways + 1)
        seen: dict[int, str] = {}
        for option, port in self.faces().items():
            if port in seen:
                raise _invalid(option, port, f"a port that {seen[port]} has not taken")
            if self.port_base <= port < end:
                raise _invalid(option, port, f"a port outside the block of --port-base, {self.port_base} to {end - 1}")
            seen[port] = option


def is_loopback(address: str) -> bool:
    """Return whether only programs on this machine reach the address."""
    if address == "localhost":
        return True
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _invalid(option: str, value: object, wanted: str) -> InvalidError:
    message = f"{option} {value} does not fit: use {wanted}"
    return InvalidError(message, code="up.setting", params={"option": option, "value": value})
