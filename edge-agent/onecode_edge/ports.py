"""Hold the agent's public ports while serving processes come and go.

Each serving process is given these sockets and accepts on them. What nobody has accepted yet waits in the socket, not
in a process, so that a switch of processes, planned or not, refuses and loses no connection.
"""

import socket
import time
from contextlib import suppress

_TRY_S = 5.0


class PortTakenError(Exception):
    """Another program listens where this one should."""


def hush(held: list[socket.socket]) -> None:
    """Have connections refused until a serving process listens again; whoever waits in the sockets is let go."""
    for one in held:
        # A socket that does not listen yet refuses them already.
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


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
