"""Be the command ``onecode``: gather the nouns of the client and the commands of other installed packages."""

import os
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

import typer

from onecode_client.cli import data, fleet, model, predict, rollout, smoke, train
from onecode_client.cli.options import WHERE, connect
from onecode_client.cli.output import Format, Output
from onecode_client.cli.problems import INTERRUPTED, reported

_PANEL = "Platform"


def application() -> typer.Typer:
    """Return the application with all commands that are installed here."""
    app = typer.Typer(
        name="onecode",
        help="Small AI models from sensor data to a fleet of gateways, released step by step with evidence.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        rich_markup_mode=None if not sys.stdout.isatty() else "rich",
    )
    app.callback()(_where)
    if "_ONECODE_COMPLETE" in os.environ:
        from typer._completion_classes import completion_init  # noqa: PLC0415

        completion_init()
    for entry in entry_points(group="onecode.commands"):
        entry.load()(app)
    nouns = (
        ("data", data.app, "Data sets: upload, look, read."),
        ("train", train.app, "Training runs."),
        ("model", model.app, "Models: find, import, name."),
        ("rollout", rollout.app, "Gray releases with evidence."),
        ("gateway", fleet.gateways, "Gateways of the fleet."),
        ("segment", fleet.segments, "Groups of gateways."),
    )
    for name, noun, text in nouns:
        app.add_typer(noun, name=name, help=text, rich_help_panel=_PANEL)
    app.command("predict", rich_help_panel=_PANEL)(predict.predict)
    app.command("smoke", rich_help_panel=_PANEL)(smoke.smoke)
    app.command("version", rich_help_panel=_PANEL)(version)
    app.command("completion", rich_help_panel=_PANEL)(completion)
    return app


def main() -> None:
    """Run one command; see ``docs/reference`` for the exit codes."""
    try:
        application()()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)


def _where(
    server: Annotated[
        str, typer.Option(envvar="ONECODE_SERVER", help="URL of the console; default: the platform on this machine.")
    ] = "",
    token_file: Annotated[
        Path | None, typer.Option(envvar="ONECODE_TOKEN_FILE", help="File with the bearer token.")
    ] = None,
) -> None:
    WHERE.server, WHERE.token_file = server, token_file


@reported
def version(output: Annotated[Format, typer.Option("--output", "-o", help="How to print.")] = Format.TABLE) -> None:
    """Print the release of this command, and that of the server if one answers."""
    from importlib.metadata import version as installed  # noqa: PLC0415

    from onecode_common.errors import OnecodeError  # noqa: PLC0415

    document = {"client": installed("onecode")}
    try:
        with connect() as server:
            document["server"] = str(server.version().get("version", ""))
    except OnecodeError:
        document["server"] = ""
    Output(output).document(document, "Version")


@reported
def completion(shell: Annotated[str, typer.Argument(help="bash, zsh, fish or powershell.")]) -> None:
    """Print the completion script of a shell; put it where your shell reads such scripts."""
    from typer._completion_shared import get_completion_script  # noqa: PLC0415

    if shell not in ("bash", "zsh", "fish", "powershell"):
        message = f"there is no completion for {shell!r}: use bash, zsh, fish or powershell"
        raise typer.BadParameter(message)
    typer.echo(get_completion_script(prog_name="onecode", complete_var="_ONECODE_COMPLETE", shell=shell))


if __name__ == "__main__":
    main()
