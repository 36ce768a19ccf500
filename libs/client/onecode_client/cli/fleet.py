"""``onecode gateway`` and ``onecode segment``: who is out there, and who may come in."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from onecode_client.cli.options import OutputOption, connect
from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported

gateways = typer.Typer(no_args_is_help=True)
segments = typer.Typer(no_args_is_help=True)

_GATEWAYS = ("gateway_id", "segment", "state", "health", "generation", "serving", "last_heard")
_SEGMENTS = ("name", "gateways", "generation", "serving", "approvals")


@gateways.command()
@reported
def create(
    name: Annotated[str, typer.Argument(help="Name; it is the id too.")],
    segment: Annotated[str, typer.Option(help="Where it belongs.")],
    accept: Annotated[bool, typer.Option("--accept", help="Let it in without a look at its fingerprint.")] = False,
    token_file: Annotated[
        Path | None, typer.Option("--save-token", help="Write the token here, mode 0600, instead of printing it.")
    ] = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make room for a gateway; its one-time token is shown this once."""
    with connect() as server:
        made = server.gateways.create(name, segment, accept=accept)
    document = dict(made.document)
    if token_file is not None:
        from onecode_common.files import write_file  # noqa: PLC0415

        write_file(token_file, str(document.pop("token")).encode(), mode=0o600)
    if output is not Format.TABLE:
        Output(output).document(document, "NewGateway")
        return
    say(f"{name} may enrol until {made.expires}; pin the root with {made.root_sha256}")
    if token_file is None:
        sys.stdout.write(f"{made.token}\n")


@gateways.command("list")
@reported
def list_gateways(
    segment: Annotated[str, typer.Option(help="Only those of a segment.")] = "", output: OutputOption = Format.TABLE
) -> None:
    """List gateways."""
    with connect() as server:
        found = [gateway.document for gateway in server.gateways.list(segment=segment or None)]
    Output(output).rows("GatewayList", "gateways", found, _GATEWAYS)


@gateways.command()
@reported
def show(name: Annotated[str, typer.Argument(help="Gateway.")], output: OutputOption = Format.TABLE) -> None:
    """Show a gateway."""
    with connect() as server:
        Output(output).document(server.gateways.get(name).document, "Gateway")


@gateways.command()
@reported
def revoke(
    name: Annotated[str, typer.Argument(help="Gateway.")],
    reason: Annotated[str, typer.Option(help="Kept in the audit trail.")],
) -> None:
    """Shut a gateway out for good."""
    with connect() as server:
        server.gateways.revoke(name, reason=reason)
    say(f"{name} is shut out")


@segments.command("create")
@reported
def create_segment(
    name: Annotated[str, typer.Argument(help="Name.")],
    approvals: Annotated[int, typer.Option(help="How many people must approve a rollout.")] = 0,
    output: OutputOption = Format.TABLE,
) -> None:
    """Make a segment."""
    with connect() as server:
        Output(output).document(server.segments.create(name, approvals=approvals).document, "Segment")


@segments.command("list")
@reported
def list_segments(output: OutputOption = Format.TABLE) -> None:
    """List segments."""
    with connect() as server:
        found = [segment.document for segment in server.segments.list()]
    Output(output).rows("SegmentList", "segments", found, _SEGMENTS)
