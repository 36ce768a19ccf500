"""Open the sockets that callers connect to, or take over those that somebody else keeps."""

import socket
from collections.abc import Sequence

from onecode_common.addresses import split_address
from onecode_common.errors import ConflictError

BACKLOG = 1024


def open_sockets(addresses: Sequence[str], *, reuse_port: bool = False) -> list[socket.socket]:
    """Return one listening socket for each ``host:port``.

    Raises:
        ConflictError: A port is taken; none is left open.
    """
    opened: list[socket.socket] = []
    try:
        for address in addresses:
            opened.append(_listen(address, reuse_port))  # noqa: PERF401 - what was opened is closed below
    except ConflictError:
        for one in opened:
            one.close()
        raise
    return opened


def bound_sockets(addresses: Sequence[str], processes: int) -> list[list[socket.socket]]:
    """Return for each of several processes one socket for each address, bound to the same ports, not listening yet.

    Raises:
        ConflictError: A port is taken; none is left open.
    """
    # Somebody who listens without sharing, or with it, is found by asking for the port alone.
    probes = open_sockets(addresses)
    wanted = [one.getsockname()[:2] for one in probes]
    for one in probes:
        one.close()
    return [[_bound(host, port) for host, port in wanted] for _ in range(processes)]


def inherited_sockets(descriptors: Sequence[int]) -> list[socket.socket]:
    """Return the sockets behind descriptors, listening; whoever passed them keeps the ports after they are closed here.

    Connections that nobody has accepted wait in the socket itself, so that they survive a change of processes.
    """
    found = []
    for descriptor in descriptors:
        one = socket.socket(fileno=descriptor)
        one.listen(BACKLOG)
        one.setblocking(False)  # noqa: FBT003 - the method takes it by position only
        found.append(one)
    return found


def _bound(host: str, port: int) -> socket.socket:
    one = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
        one.setsockopt(socket.SOL_SOCKET, option, 1)
    one.bind((host, port))
    return one


def _listen(address: str, reuse_port: bool) -> socket.socket:
    host, port = split_address(address)
    host = host.strip("[]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        one = socket.create_server((host, port), family=family, backlog=BACKLOG, reuse_port=reuse_port)
    except OSError as error:
        message = f"cannot listen on {address}: {error.strerror}; free the port or change the setting"
        raise ConflictError(message, code="port.taken", params={"address": address}) from error
    one.setblocking(False)  # noqa: FBT003 - as above
    return one
