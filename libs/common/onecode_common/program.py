"""Run the parts of a process: start them in order, tell when all are ready, stop them in reverse."""

import logging
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from typing import Protocol, runtime_checkable

from onecode_common.errors import OnecodeError
from onecode_common.ops import OpsServer
from onecode_common.telemetry import configure_logging

_log = logging.getLogger(__name__)


class Part(Protocol):
    """Something with a life of its own: a listener, a loop, a connection."""

    @property
    def name(self) -> str:
        """What to call it in logs and in ``/readyz``."""
        ...

    def start(self) -> None:
        """Begin; return soon."""
        ...

    def stop(self) -> None:
        """End; return when nothing of it runs any more, within seconds."""
        ...

    def ready(self) -> str | None:
        """Return why it is not ready, or None."""
        ...


@runtime_checkable
class Lively(Protocol):
    """A part that can stand still without ending, such as one with a loop of its own."""

    def alive(self) -> str | None:
        """Return why the process should be restarted, or None; never asks what the part depends on."""
        ...


def run_parts(ops_address: str, parts: Sequence[Part]) -> None:
    """Run until SIGTERM or SIGINT; the ops port answers from the first moment to the last."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    started: list[Part] = []

    def reason() -> str | None:
        if stopping.is_set():
            return "stopping"
        if len(started) < len(parts):
            return "starting"
        return next((f"{part.name}: {why}" for part in parts if (why := part.ready()) is not None), None)

    def alive() -> bool:
        return stopping.is_set() or all(part.alive() is None for part in started if isinstance(part, Lively))

    ops = OpsServer(ops_address, reason, alive)
    ops.start()
    try:
        for part in parts:
            part.start()
            started.append(part)
        _log.info("started: %s", ", ".join(part.name for part in parts))
        stopping.wait()
    finally:
        stopping.set()
        for part in reversed(started):
            part.stop()
        ops.stop()


def main(
    service: str,
    assemble: Callable[[], tuple[str, str, str, Sequence[Part]]],
    migrate: Callable[[], str] | None = None,
) -> None:
    """Run a service's entrypoint; a refusal to start is one line on stderr and exit status 2.

    ``python -m onecode_<service> migrate`` brings the schema up to date and ends; the service would do it at its start.

    Args:
        service: Its name, for logs.
        assemble: Reads the settings and returns (log format, log level, ops address, parts).
        migrate: Reads the settings, runs the migrations and returns the schema's revision; None without records.
    """
    try:
        if migrate is not None and sys.argv[1:] == ["migrate"]:
            sys.stdout.write(f"{service}: the schema is at {migrate()}\n")
            return
        log_format, log_level, ops_address, parts = assemble()
        configure_logging(service, log_format, log_level)
        run_parts(ops_address, parts)
    except OnecodeError as error:
        hint = f" ({error.hint})" if error.hint else ""
        sys.stderr.write(f"{service}: {error.message}{hint}\n")
        sys.exit(2)
