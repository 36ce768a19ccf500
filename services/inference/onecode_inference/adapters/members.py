"""Start the further processes of the server, each with its own pair of sockets on the shared ports."""

import socket
import subprocess
import sys
from multiprocessing import Pipe
from multiprocessing.connection import Connection

from onecode_inference.settings import InferenceSettings
from onecode_serving.listen.sockets import bound_sockets


class MemberProcesses:
    """The sockets of all processes, and how one is started.

    This process keeps every socket, so that callers of a member that ended wait for the next one.

    Args:
        settings: They are read from the same environment there.

    Attributes:
        doors: Descriptors for this process; none if it is the only one.

    Raises:
        ConflictError: A port is taken.
    """

    def __init__(self, settings: InferenceSettings) -> None:
        self._sockets: list[list[socket.socket]] = []
        self.doors: tuple[int, ...] = ()
        if settings.processes > 1:
            addresses = [address for address in (settings.rest_address, settings.grpc_address) if address]
            mine, *self._sockets = bound_sockets(addresses, settings.processes)
            self.doors = tuple(one.detach() for one in mine)

    def start(self, number: int) -> "tuple[subprocess.Popen[bytes], Connection]":
        """Start the member of this number, from 1, and return the line to it."""
        ours, theirs = Pipe()
        doors = [one.fileno() for one in self._sockets[number - 1]]
        arguments = ["-m", "onecode_inference.member", "--line", str(theirs.fileno()), "--number", str(number)]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            [sys.executable, *arguments, "--doors", *map(str, doors)],
            pass_fds=(theirs.fileno(), *doors),
            stdin=subprocess.DEVNULL,
        )
        theirs.close()
        return process, ours
