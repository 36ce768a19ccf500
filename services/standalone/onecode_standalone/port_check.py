"""Find a taken port before anything is started, and say who wanted it, who has it and what to set."""

import errno
import socket
from collections.abc import Iterable

from onecode_common.errors import ConflictError, InvalidError
from onecode_standalone.addresses import Listener


def check_ports(listeners: Iterable[Listener]) -> None:
    """Return when every port can be listened on.

    Raises:
        ConflictError: One is taken.
        InvalidError: An address is not one of this machine.
    """
    for listener in listeners:
        try:
            with socket.create_server((listener.host, listener.port)):
                pass
        except OSError as error:
            raise _refusal(listener, error) from error


def _refusal(listener: Listener, error: OSError) -> ConflictError | InvalidError:
    params = {"port": listener.port, "process": listener.process, "option": listener.option}
    if error.errno != errno.EADDRINUSE:
        message = f"{listener.process} cannot listen on {listener.host}:{listener.port}: {error.strerror}"
        return InvalidError(message, code="up.address", hint="choose another --listen or port", params=params)
    holder = _holder(listener.port)
    message = f"port {listener.port} is taken{holder}; {listener.process} wants it"
    return ConflictError(message, code="up.port_taken", hint=f"free it, or set {listener.option}", params=params)


def _holder(port: int) -> str:
    """Return who listens there, as far as this person may know."""
    import psutil  # noqa: PLC0415 - needed in this one sad case

    try:
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f" by {psutil.Process(connection.pid).name()} (process {connection.pid})"
    except (psutil.Error, OSError):
        pass
    return ""
