"""Keep the gateway in step with its policy: the process that decides, without a model and without gRPC in it.

Started by the supervisor only. It may crash or be replaced while another process answers; the next one goes on from
the journal.
"""

import argparse
import fcntl
import os
import sys
import time

from prometheus_client import REGISTRY

from onecode_common.errors import OnecodeError, UnavailableError
from onecode_common.program import run_parts
from onecode_common.telemetry import configure_logging
from onecode_edge.agent import Agent
from onecode_edge.control import control_routes
from onecode_edge.layout import Layout
from onecode_edge.lifeline import tie
from onecode_edge.settings import EdgeSettings
from onecode_edge.unix_http import UnixHttpServer

_LOCK_S = 5.0
_REFUSED = 2


def main() -> int:
    """Run until told to stop; return the exit status: 2 if the settings do not fit."""
    arguments = _arguments()
    tie(arguments.parent, arguments.lifeline)
    try:
        settings = EdgeSettings.load()
        configure_logging("edge", settings.log_format, settings.log_level)
        layout = Layout(settings.home_dir)
        lock = _lock(layout)
        agent = Agent(settings, arguments.orders)
        REGISTRY.register(agent.metrics)
        control = UnixHttpServer(layout.control, control_routes(agent))
        run_parts(settings.ops_address, [agent, control])
        os.close(lock)
    except OSError as error:
        sys.stderr.write(f"edge: cannot listen on {settings.ops_address}: {error.strerror}; free the port\n")
        return _REFUSED
    except OnecodeError as error:
        sys.stderr.write(f"edge: {error.message}{f' ({error.hint})' if error.hint else ''}\n")
        return _REFUSED
    return 0


def _lock(layout: Layout) -> int:
    """Return the lock of the records, which the kernel frees when their last user has ended.

    Raises:
        UnavailableError: An earlier process still has it.
    """
    handle = os.open(layout.run / "sync.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    end = time.monotonic() + _LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() >= end:
                message = "an earlier sync process still runs"
                raise UnavailableError(message, code="edge.running") from error
            time.sleep(0.02)
        else:
            return handle


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="onecode_edge.sync", description=__doc__)
    for name in ("--orders", "--parent", "--lifeline"):
        parser.add_argument(name, type=int, required=True)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
