"""Run the platform until somebody ends it: check, provision, start, show, stop."""

import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from urllib.parse import quote

from onecode_common.clock import SystemClock
from onecode_common.ops import OpsServer
from onecode_standalone.addresses import Addresses
from onecode_standalone.child import Child
from onecode_standalone.control import ControlServer
from onecode_standalone.echo import Echo
from onecode_standalone.enrol import Enrolment
from onecode_standalone.home import Home
from onecode_standalone.platform_ops import platform_ops
from onecode_standalone.port_check import check_ports
from onecode_standalone.proc import kill_family
from onecode_standalone.provision import new_login_code, provision
from onecode_standalone.screen import LiveScreen, PlainScreen, Screen
from onecode_standalone.settings import UpSettings
from onecode_standalone.status import Status
from onecode_standalone.supervisor import Supervisor
from onecode_standalone.table import Entry, platform_table

TableMaker = Callable[[Home, Addresses], Sequence[Entry]]


def whole_platform(home: Home, addresses: Addresses) -> Sequence[Entry]:
    """Return the table that `onecode up` runs."""
    enrolment = Enrolment(home, addresses.inside_url(addresses.settings.console_port))
    return platform_table(home, addresses, enrolment.preparation)


def run_up(settings: UpSettings, make_table: TableMaker = whole_platform) -> None:
    """Run until SIGTERM, SIGINT, SIGHUP or `onecode down`; then nothing of it is left.

    Raises:
        ConflictError: The home is in use, or a port is taken.
        PreconditionError: A newer release wrote the home.
        ExhaustedError: The disk is nearly full.
        InvalidError: The folder is no home, an address is not of this machine, or the environment sets what the
            platform sets itself.
    """
    home, addresses, clock = Home(settings.home), Addresses(settings), SystemClock()
    home.open()
    with home.lock():
        # What a killed supervisor and a killed keeper may have left.
        kill_family(str(home.root))
        check_ports(addresses.listeners())
        provision(home, addresses)
        told: list[Screen] = []

        def tell(child: Child) -> None:
            for one in told:
                one.changed(child)

        supervisor = Supervisor(home, make_table(home, addresses), clock, tell)
        status = Status(supervisor, addresses, os.getpid(), clock)
        ending = _Ending(supervisor)
        control = ControlServer(home.control, _operations(supervisor, status, ending))
        control.start()
        ops = _ops(settings, supervisor)
        echo = Echo({name: home.log(name) for name in supervisor.children}) if settings.echo_logs else None
        screen: Screen = LiveScreen(status.document) if sys.stdout.isatty() else PlainScreen()
        with screen:
            told.append(screen)
            screen.say(f"home {home.root}, supervisor {os.getpid()}, ports from {settings.port_base}")
            supervisor.start()
            if echo is not None:
                echo.start()
            _announce(supervisor, home, addresses, screen, ending)
            ending.wait()
            screen.say("stopping")
            supervisor.stop_all()
        if echo is not None:
            echo.stop()
        if ops is not None:
            ops.stop()
        control.stop()


def _ops(settings: UpSettings, supervisor: Supervisor) -> OpsServer | None:
    if not settings.ops_address:
        return None
    ops = platform_ops(settings.ops_address, supervisor)
    ops.start()
    return ops


class _Ending:
    """The wish to end; a second signal ends without waiting."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._wanted = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._signalled)

    def begin(self) -> None:
        self._wanted.set()

    def begun(self) -> bool:
        return self._wanted.is_set()

    def wait(self) -> None:
        # With a limit, so that signal handlers run in between on every platform.
        while not self._wanted.wait(1.0):
            pass

    def _signalled(self, _number: int, _frame: object) -> None:
        if self._wanted.is_set():
            self._supervisor.hurry()
        self._wanted.set()


def _operations(
    supervisor: Supervisor, status: Status, ending: _Ending
) -> dict[str, Callable[[str], Mapping[str, object]]]:
    def after(act: Callable[[str], None]) -> Callable[[str], Mapping[str, object]]:
        def operation(name: str) -> Mapping[str, object]:
            act(name)
            return {"name": name, "state": supervisor.children[name].state}

        return operation

    def shutdown(_name: str) -> Mapping[str, object]:
        ending.begin()
        return {"state": "stopping"}

    return {
        "status": lambda _name: status.document(),
        "stop": after(supervisor.hold),
        "start": after(supervisor.release),
        "restart": after(supervisor.restart),
        "login": lambda _name: {"url": login_link(supervisor.home, status.addresses)},
        "shutdown": shutdown,
    }


def _announce(supervisor: Supervisor, home: Home, addresses: Addresses, screen: Screen, ending: _Ending) -> None:
    """Say where everything is, once it is ready."""

    def announce() -> None:
        while not ending.begun():
            if supervisor.wait_for(lambda: supervisor.state == "ready", 1.0):
                screen.say(welcome(home, addresses))
                return

    threading.Thread(target=announce, name="announce", daemon=True).start()


def welcome(home: Home, addresses: Addresses) -> str:
    """Return the few lines that a person needs: where to look, what to call, how to end it."""
    settings = addresses.settings
    lines = [
        "ready",
        f"  console    {login_link(home, addresses)}   (opens once)",
        f"  predict    {addresses.url(settings.oip_rest_port)} (REST)   {addresses.oip_grpc} (gRPC)",
        f"  API token  {home.api_token_file}",
        f"  end it     Ctrl-C, or: onecode down --home {home.root}",
    ]
    if not settings.anonymous:
        lines.append("  the public faces speak plain HTTP: put a proxy with TLS before them")
    return "\n".join(lines)


def login_link(home: Home, addresses: Addresses) -> str:
    """Return a link that signs one browser in, once; earlier links stop working."""
    code = new_login_code(home)
    return f"{addresses.console_url}/login?code={quote(code, safe='')}"
