"""Add `backup` and `restore` to `onecode`."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from onecode_client.cli.bars import bytes_bar
from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported
from onecode_common.errors import InvalidError

_PANEL = "This machine"
_PIPE = "-"
_FileArgument = Annotated[Path, typer.Argument(help="The backup file.")]
_HomeOption = Annotated[
    Path | None, typer.Option("--home", help="Folder of the platform; default ONECODE_HOME, or ~/.onecode.")
]
_PassphraseOption = Annotated[
    Path,
    typer.Option("--passphrase-file", help="File (0600) whose first line seals the backup; 12 characters or more."),
]
_OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print the answer.")]


class _CreateByDefault(TyperGroup):
    """`onecode backup FILE` is `onecode backup create FILE`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the word in where no other command is named; a file called `verify` is written ./verify."""
        if args and args[0] not in self.commands and args[0] != "--help":
            args = ["create", *args]
        return super().parse_args(ctx, args)


def register(app: typer.Typer) -> None:
    """Add the commands."""
    group = typer.Typer(
        cls=_CreateByDefault, no_args_is_help=True, help="Carry the whole platform in one sealed file: FILE, or verify."
    )
    group.command("create")(create)
    group.command("verify")(verify)
    app.add_typer(group, name="backup", rich_help_panel=_PANEL)
    app.command(rich_help_panel=_PANEL)(restore)


@reported
def create(
    file: _FileArgument,
    passphrase_file: _PassphraseOption,
    home: _HomeOption = None,
    output: _OutputOption = Format.TABLE,
) -> None:
    """Take a backup of records, objects and keys, while it runs or not; `create` may be left out, `-` is a pipe."""
    from onecode_common.clock import SystemClock  # noqa: PLC0415
    from onecode_standalone.backup.passphrase import read_passphrase  # noqa: PLC0415
    from onecode_standalone.backup.places import places  # noqa: PLC0415
    from onecode_standalone.backup.taking import stream, take  # noqa: PLC0415

    if str(file) == _PIPE and sys.stdout.isatty():
        hint = "send it into a file: onecode backup - --passphrase-file F > FILE"
        raise InvalidError("standard output is a terminal", code="backup.terminal", hint=hint)
    passphrase = read_passphrase(passphrase_file)
    where, now = places(_root(home), os.environ), SystemClock().now()
    with bytes_bar("backup") as bar:
        if str(file) == _PIPE:
            manifest = stream(where, sys.stdout.buffer, passphrase, now, lambda _stage, done, length: bar(done, length))
        else:
            target = file.absolute()
            manifest = take(where, target, passphrase, now, lambda _stage, done, length: bar(done, length))
    for digest in manifest.left_out:
        say(f"left out: object {digest} is damaged in its store; no record names it")
    if str(file) == _PIPE:
        say("; ".join(f"{name.replace('_', ' ')} {value}" for name, value in _summary(manifest).items()))
        return
    Output(output).document({"file": str(file), "bytes": file.stat().st_size, **_summary(manifest)}, "Backup")


@reported
def verify(file: _FileArgument, passphrase_file: _PassphraseOption, output: _OutputOption = Format.TABLE) -> None:
    """Read the whole file and prove every byte of it; an interrupted check goes on where it stopped."""
    from onecode_standalone.backup.checking import check  # noqa: PLC0415
    from onecode_standalone.backup.passphrase import read_passphrase  # noqa: PLC0415

    passphrase = read_passphrase(passphrase_file)
    with bytes_bar("verify") as bar:
        manifest = check(file.absolute(), passphrase, lambda _stage, done, length: bar(done, length))
    Output(output).document({"file": str(file), "whole": True, **_summary(manifest)}, "Backup")


@reported
def restore(
    file: _FileArgument,
    passphrase_file: _PassphraseOption,
    home: _HomeOption = None,
    output: _OutputOption = Format.TABLE,
) -> None:
    """Bring a backup back into an empty home, or an empty volume; then start it as before."""
    from onecode_standalone.backup.passphrase import read_passphrase  # noqa: PLC0415
    from onecode_standalone.backup.places import places  # noqa: PLC0415
    from onecode_standalone.backup.restoring import restore as bring_back  # noqa: PLC0415
    from onecode_standalone.backup.trail import trails  # noqa: PLC0415

    passphrase = read_passphrase(passphrase_file)
    where = places(_root(home), os.environ)
    with bytes_bar("restore") as bar:
        manifest = bring_back(file.absolute(), where, passphrase, lambda _stage, done, length: bar(done, length))
    broken = {service: number for service, number in trails(where).items() if number is not None}
    for service, number in broken.items():
        say(f"the audit trail of {service} was broken before the backup: row {number} does not fit")
    Output(output).document({"home": str(where.home), "audit": "broken" if broken else "whole", **_summary(manifest)})


def _summary(manifest: Any) -> Mapping[str, Any]:
    return {
        "created": manifest.created,
        "release": manifest.release,
        "databases": len(manifest.dumps) + sum(one.path.endswith(".db") for one in manifest.files),
        "objects": sum(len(digests) for digests in manifest.objects.values()),
        "files": len(manifest.files),
        "content_bytes": manifest.content_bytes,
    }


def _root(home: Path | None) -> Path:
    from onecode_standalone.settings import default_home  # noqa: PLC0415

    return (home or default_home()).expanduser().absolute()
