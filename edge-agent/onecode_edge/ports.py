"""Hold the agent's public ports while serving processes come and go.

A socket that is bound but does not listen takes no connection; it only keeps every other user's program off the port,
so that a switch never finds it taken. The serving processes bind the same port beside it (``SO_REUSEPORT``).
"""

import socket
import time

_TRY_S = 5.0


class PortTakenError(Exception):
    """Another program listens where this one should."""


def reserve(addresses: list[str]) -> list[socket.socket]:
    """Return one bound socket for each ``host:port``; keep them open for as long as the ports are wanted.

    The last agent's processes may need a moment to be gone after it was killed.

    Raises:
        PortTakenError: Somebody listens there, and still does after five seconds.
    """
    return [_reserve(*_split(address)) for address in addresses]


def _reserve(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    end = time.monotonic() + _TRY_S
    while True:
        try:
            # Without SO_REUSEPORT the kernel tells of a listener; SO_REUSEADDR passes over connections that linger.
            with socket.socket(family) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind((host, port))
                probe.listen(1)
            break
        except OSError as error:
            if time.monotonic() >= end:
                message = f"cannot listen on {host}:{port}: {error.strerror}; free the port or change the setting"
                raise PortTakenError(message) from error
            time.sleep(0.05)
    held = socket.socket(family)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind((host, port))
    return held


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        message = f"address {address!r} is not host:port"
        raise PortTakenError(message)
    return host.strip("[]"), int(port)
