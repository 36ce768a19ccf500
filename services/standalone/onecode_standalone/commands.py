"""Add the commands of the standalone platform to `onecode`; what they need is imported when they run."""

import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported
from onecode_common.errors import ConflictError, UnavailableError
from onecode_standalone.backup.commands import register as register_backup

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder of the platform; default ONECODE_HOME, or ~/.onecode.")
]
OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print the answer.")]
NameArgument = Annotated[str, typer.Argument(help="Name of the process, as `onecode status` shows it.")]

_PANEL = "This machine"
_DOWN_S = 20.0
_ASK_AGAIN_S = 0.1


def register(app: typer.Typer) -> None:
    """Add `up`, `status`, `down`, `process`, `doctor`, `login-link`, `demo`, `backup` and `restore`."""
    app.command(rich_help_panel=_PANEL)(up)
    app.command(rich_help_panel=_PANEL)(status)
    app.command(rich_help_panel=_PANEL)(down)
    app.command(rich_help_panel=_PANEL)(doctor)
    app.command("login-link", rich_help_panel=_PANEL)(login_link)
    app.command(rich_help_panel=_PANEL)(demo)
    process = typer.Typer(no_args_is_help=True, help="Stop, start and restart single processes.")
    process.command("stop")(process_stop)
    process.command("start")(process_start)
    process.command("restart")(process_restart)
    app.add_typer(process, name="process", rich_help_panel=_PANEL)
    register_backup(app)
    keys = typer.Typer(no_args_is_help=True, help="Keys of a platform whose services run apart.")
    keys.command("create")(keys_create)
    keys.command("rotate")(keys_rotate)
    app.add_typer(keys, name="keys", rich_help_panel=_PANEL)


@reported
def up(
    home: HomeOption = None,
    gateways: Annotated[int, typer.Option(help="How many gateways to start.")] = 3,
    port_base: Annotated[int, typer.Option(help="First port of all but the public faces.")] = 7400,
    console_port: Annotated[int, typer.Option(help="Pages and REST.")] = 8080,
    oip_rest_port: Annotated[int, typer.Option(help="Predictions over REST.")] = 8000,
    oip_grpc_port: Annotated[int, typer.Option(help="Predictions over gRPC.")] = 8001,
    edge_port: Annotated[int, typer.Option(help="What gateways call.")] = 8081,
    listen: Annotated[
        str, typer.Option(help="Address of the public faces; any but loopback makes predictions need a token.")
    ] = "127.0.0.1",
    language: Annotated[str, typer.Option(help="Of the console's pages: zh or en.")] = "zh",
    ops_address: Annotated[str, typer.Option(help="Health and metrics of all of it, host:port; empty: none.")] = "",
    api_token_file: Annotated[
        Path | None, typer.Option(help="File with the administrator's token; default: one is made in the home.")
    ] = None,
    console_url: Annotated[str, typer.Option(help="How browsers reach the console; default: where it listens.")] = "",
    edge_url: Annotated[str, typer.Option(help="How gateways elsewhere report; default: where that listens.")] = "",
    distribution_url: Annotated[
        str, typer.Option(help="How gateways elsewhere fetch models; default: where that listens.")
    ] = "",
    echo_logs: Annotated[bool, typer.Option("--echo-logs", help="Copy the logs of all processes to stdout.")] = False,
) -> None:
    """Start the whole platform on this machine and keep it running until Ctrl-C."""
    from onecode_standalone.settings import UpSettings, default_home  # noqa: PLC0415
    from onecode_standalone.up import run_up  # noqa: PLC0415

    run_up(
        UpSettings(
            home=(home or default_home()).expanduser().absolute(),
            gateways=gateways,
            port_base=port_base,
            console_port=console_port,
            oip_rest_port=oip_rest_port,
            oip_grpc_port=oip_grpc_port,
            edge_port=edge_port,
            listen=listen,
            language=language,
            ops_address=ops_address,
            api_token_file=api_token_file,
            console_url=console_url,
            edge_url=edge_url,
            distribution_url=distribution_url,
            echo_logs=echo_logs,
        )
    )


@reported
def status(home: HomeOption = None, output: OutputOption = Format.TABLE) -> None:
    """Show every process: state, port, uptime, restarts, memory."""
    document = _ask(home, "status")
    if output is not Format.TABLE:
        Output(output).document(document)
        return
    from rich.console import Console  # noqa: PLC0415

    from onecode_standalone.screen import status_table  # noqa: PLC0415

    Console().print(status_table(document))


@reported
def down(home: HomeOption = None) -> None:
    """Stop the platform; returns when nothing of it runs."""
    from onecode_standalone.home import Home, HomeLock  # noqa: PLC0415

    _ask(home, "shutdown")
    root = Home(_root(home)).root
    end = time.monotonic() + _DOWN_S
    while True:
        try:
            HomeLock(root / "lock").release()
        except ConflictError as error:
            if time.monotonic() > end:
                message = f"it has not ended within {_DOWN_S:.0f} s"
                raise UnavailableError(message, code="up.stuck") from error
            time.sleep(_ASK_AGAIN_S)
        else:
            say(f"{root} is down")
            return


@reported
def process_stop(name: NameArgument, home: HomeOption = None) -> None:
    """Stop a process and keep it stopped until it is started again."""
    _ask(home, "stop", name)
    say(f"{name} is stopped; start it with: onecode process start {name}{_home_option(home)}")


@reported
def process_start(name: NameArgument, home: HomeOption = None) -> None:
    """Start a process that was stopped."""
    _ask(home, "start", name)
    say(f"{name} starts; see it with: onecode status{_home_option(home)}")


@reported
def process_restart(name: NameArgument, home: HomeOption = None) -> None:
    """Stop a process and start it again."""
    _ask(home, "restart", name)
    say(f"{name} starts; see it with: onecode status{_home_option(home)}")


@reported
def keys_create(
    folder: Annotated[Path, typer.Argument(help="New or empty folder, or one that an earlier run has filled.")],
    prefix: Annotated[str, typer.Option(help="Beginning of the names of the Secrets.")] = "onecode",
) -> None:
    """Make every key, token and seed, one folder for each Secret; what is there already stays as it is."""
    from onecode_common.clock import SystemClock  # noqa: PLC0415
    from onecode_standalone.keyring import create_keys  # noqa: PLC0415

    for made in create_keys(folder.expanduser().absolute(), prefix, SystemClock().now()):
        say(f"{made}: {', '.join(sorted(file.name for file in made.iterdir()))}")


@reported
def keys_rotate(
    old: Annotated[
        Path, typer.Argument(help="Folder with the keys in use; it stays as it is.", exists=True, file_okay=False)
    ],
    new: Annotated[Path, typer.Argument(help="Folder to write; must not exist.")],
    kinds: Annotated[list[str], typer.Argument(metavar="KIND...", help="Some of: fleet, root, signing.")],
    prefix: Annotated[str, typer.Option(help="Beginning of the names of the Secrets.")] = "onecode",
    served_root: Annotated[
        Path | None,
        typer.Option(
            help="The root that the registry serves, if it has renewed the one in the folder.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Write a folder in which keys that sign are new, and a root signed by old and new that gateways follow."""
    from onecode_common.clock import SystemClock  # noqa: PLC0415
    from onecode_standalone.rotation import rotate_keys  # noqa: PLC0415

    served = b"" if served_root is None else served_root.read_bytes()
    places = old.expanduser().absolute(), new.expanduser().absolute()
    for made in rotate_keys(*places, kinds, prefix, SystemClock().now(), served):
        changed = [file.name for file in sorted(made.iterdir()) if _differs(file, places[0] / "secrets" / made.name)]
        if changed:
            say(f"{made}: {', '.join(changed)} changed")


def _differs(file: Path, folder: Path) -> bool:
    return file.read_bytes() != (folder / file.name).read_bytes()


@reported
def login_link(home: HomeOption = None) -> None:
    """Print a fresh link that signs one browser in; earlier links stop working."""
    sys.stdout.write(f"{_ask(home, 'login')['url']}\n")


@reported
def doctor(home: HomeOption = None, output: OutputOption = Format.TABLE) -> None:
    """Check this machine and the home, and say what would keep the platform from running."""
    from onecode_standalone.doctor import examine  # noqa: PLC0415

    findings = examine(_root(home))
    Output(output).rows("Findings", "findings", [finding.document() for finding in findings], _FINDING_COLUMNS)
    if any(finding.verdict == "bad" for finding in findings):
        raise typer.Exit(9)


@reported
def demo(
    home: Annotated[Path | None, typer.Option("--home", help="Folder to use; default: a new temporary one.")] = None,
    port_base: Annotated[int, typer.Option(help="First port of all but the public faces.")] = 7400,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the home in place afterwards.")] = False,
    report_dir: Annotated[Path, typer.Option(help="Where the report goes.")] = Path("demo-report"),
) -> None:
    """Tell the whole story on real sensor data: train, release, catch a broken model, cut the line; then report."""
    from onecode_standalone.demo.story import run_demo  # noqa: PLC0415

    raise typer.Exit(run_demo(home=home, port_base=port_base, keep=keep, report_dir=report_dir))


_FINDING_COLUMNS = ("check", "verdict", "detail", "hint")


def _root(home: Path | None) -> Path:
    from onecode_standalone.settings import default_home  # noqa: PLC0415

    return (home or default_home()).expanduser().absolute()


def _home_option(home: Path | None) -> str:
    return "" if home is None else f" --home {home}"


def _ask(home: Path | None, operation: str, name: str = "") -> dict[str, Any]:
    from onecode_standalone.control import ask  # noqa: PLC0415
    from onecode_standalone.home import Home  # noqa: PLC0415

    return ask(Home(_root(home)).control, operation, name)
