"""Keep every test on this machine and out of its user's home."""

import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


class LeftTheMachineError(RuntimeError):
    """A test tried to reach another machine."""


def _guard(event: str, arguments: tuple[object, ...]) -> None:
    if event != "socket.connect":
        return
    connection, address = arguments
    if not isinstance(connection, socket.socket) or not isinstance(address, tuple):
        return
    # Connecting a datagram socket sends nothing; it is how programs ask for their own address.
    if connection.family == socket.AF_UNIX or connection.type & socket.SOCK_DGRAM == socket.SOCK_DGRAM:
        return
    if not _is_loopback(str(address[0])):
        message = f"tests reach loopback only, this one asked for {address}"
        raise LeftTheMachineError(message)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def pytest_configure(config: pytest.Config) -> None:
    """Refuse connections to other machines, and try the same examples in every run.

    New examples are looked for on purpose, by `make fuzz` or `--hypothesis-profile=default`: a run that judges a change
    must not fail for something that the change did not touch.
    """
    sys.addaudithook(_guard)
    if not config.getoption("--hypothesis-profile"):
        settings.load_profile("ci")


@pytest.fixture(autouse=True, scope="session")
def _own_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Give this run a home and settings of its own; what it starts inherits them."""
    home: Path = tmp_path_factory.mktemp("home")
    before = dict(os.environ)
    for name in [*_PROXIES, *(name for name in os.environ if name.startswith("ONECODE_"))]:
        if not name.startswith("ONECODE_TEST_"):
            os.environ.pop(name, None)
    os.environ.update(HOME=str(home), ONECODE_HOME=str(home / ".onecode"), NO_PROXY="*")
    yield
    os.environ.clear()
    os.environ.update(before)
