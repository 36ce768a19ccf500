"""``onecode rollout``: plan, start, watch, explain, and step in."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onecode_client.cli.bars import rollout_bar
from onecode_client.cli.options import (
    OutputOption,
    ReasonOption,
    SettingsOption,
    TimeoutOption,
    WaitOption,
    connect,
    ended_badly,
    key_values,
)
from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported
from onecode_client.results import Rollout
from onecode_common.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from onecode_client.client import OneCode

app = typer.Typer(no_args_is_help=True)

RolloutArgument = Annotated[str, typer.Argument(help="Rollout id.")]
ModelOption = Annotated[str, typer.Option("--model", help="MODEL:VERSION, by release number, alias or digest.")]
SegmentOption = Annotated[
    list[str] | None, typer.Option("--segment", help="Where; may be given again. Default: cloud.")
]
SharesOption = Annotated[str, typer.Option(help="Percent of the unit that see it, step by step.")]
UnitOption = Annotated[str, typer.Option(help="request, key or gateway.")]
ShadowOption = Annotated[
    str, typer.Option(help="First compare without answering anybody, for so long: 90s, 10m, 2h. Empty: not at all.")
]
FileOption = Annotated[Path | None, typer.Option("--file", "-f", help="A whole plan, YAML or JSON.")]
_UNITS = {"s": 1, "m": 60, "h": 3600}
_LIST = ("rollout_id", "plan.model", "candidate_release", "state", "step", "sentence", "created")
_SHOWN = ("rollout_id", "state", "reason", "sentence", "stable_release", "candidate_release", "step")
_COUNTS = ("candidate_count", "stable_count", "shadow", "next_actions")
_MEMBERS = ("source", "segment", "action", "cause", "served_digest", "last_heard")
_DECISIONS = ("number", "time", "kind", "from_state", "to_state", "rule", "by", "replay_agrees", "sentence")


@app.command()
@reported
def plan(
    model: ModelOption = "",
    segment: SegmentOption = None,
    steps: SharesOption = "10,50,100",
    unit: UnitOption = "request",
    settings: SettingsOption = None,
    file: FileOption = None,
    shadow: ShadowOption = "",
    rate: Annotated[float, typer.Option(help="Requests a second that are expected.")] = 1.0,
    error_rate: Annotated[float, typer.Option(help="Share of bad answers that is normal.")] = 0.001,
    output: OutputOption = Format.TABLE,
) -> None:
    """Say what a rollout would need at this traffic; nothing is started."""
    with connect() as server:
        document = _plan(server, model, segment, steps, unit, settings, file, shadow)
        answer = server.rollouts.plan(document, requests_per_second=rate, error_rate=error_rate)
    if output is Format.TABLE:
        Output(output).document(answer["estimate"])
        return
    Output(output).document(answer, "RolloutPlan")


@app.command()
@reported
def start(
    model: ModelOption = "",
    segment: SegmentOption = None,
    steps: SharesOption = "10,50,100",
    unit: UnitOption = "request",
    settings: SettingsOption = None,
    file: FileOption = None,
    shadow: ShadowOption = "",
    rollout_id: Annotated[str, typer.Option(help="Own id, so that a repetition starts nothing twice.")] = "",
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Start a rollout."""
    with connect() as server:
        document = _plan(server, model, segment, steps, unit, settings, file, shadow)
        rollout = server.rollouts.start(document, rollout_id=rollout_id)
        if wait:
            _follow(server, rollout.rollout_id, timeout, output)
            return
    _show(rollout, output)
    say(f"watch it with: onecode rollout watch {rollout.rollout_id}")


@app.command("list")
@reported
def list_(
    model: Annotated[str, typer.Option(help="Only those of a model.")] = "", output: OutputOption = Format.TABLE
) -> None:
    """List rollouts, newest first."""
    with connect() as server:
        found = [rollout.document for rollout in server.rollouts.list(model=model or None)]
    Output(output).rows("RolloutList", "rollouts", found, _LIST)


@app.command()
@reported
def show(rollout_id: RolloutArgument, output: OutputOption = Format.TABLE) -> None:
    """Show a rollout with its members."""
    with connect() as server:
        _show(server.rollouts.get(rollout_id), output)


@app.command()
@reported
def watch(rollout_id: RolloutArgument, timeout: TimeoutOption = None, output: OutputOption = Format.TABLE) -> None:
    """Follow a rollout until it has ended; Ctrl-C leaves it going on."""
    with connect() as server:
        _follow(server, rollout_id, timeout, output)


@app.command()
@reported
def explain(rollout_id: RolloutArgument, output: OutputOption = Format.TABLE) -> None:
    """Show every decision, replayed from the stored counters."""
    with connect() as server:
        decisions = [decision.document for decision in server.rollouts.explain(rollout_id)]
    Output(output).rows("DecisionList", "decisions", decisions, _DECISIONS)


@app.command()
@reported
def pause(rollout_id: RolloutArgument, reason: ReasonOption = "", output: OutputOption = Format.TABLE) -> None:
    """Hold the split as it is."""
    with connect() as server:
        _show(server.rollouts.pause(rollout_id, reason=reason), output)


@app.command()
@reported
def resume(
    rollout_id: RolloutArgument,
    reason: ReasonOption = "",
    override: Annotated[bool, typer.Option("--override", help="Although a rule paused it.")] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Go on after a pause."""
    with connect() as server:
        _show(server.rollouts.resume(rollout_id, reason=reason, override=override), output)


@app.command()
@reported
def promote(
    rollout_id: RolloutArgument,
    reason: ReasonOption = "",
    force: Annotated[bool, typer.Option("--force", help="Also against the evidence.")] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Take the next step before the evidence does."""
    with connect() as server:
        _show(server.rollouts.promote(rollout_id, reason=reason, force=force), output)


@app.command()
@reported
def rollback(rollout_id: RolloutArgument, reason: ReasonOption = "", output: OutputOption = Format.TABLE) -> None:
    """Send everybody back to the stable version."""
    with connect() as server:
        _show(server.rollouts.rollback(rollout_id, reason=reason), output)


@app.command()
@reported
def abort(
    rollout_id: RolloutArgument,
    keep: Annotated[bool, typer.Option("--keep", help="Leave the split as it is.")] = False,
    reason: ReasonOption = "",
    output: OutputOption = Format.TABLE,
) -> None:
    """End it: back to the stable version, or with --keep where it stands."""
    with connect() as server:
        _show(server.rollouts.abort(rollout_id, reason=reason, revert=not keep), output)


@app.command()
@reported
def approve(
    rollout_id: RolloutArgument,
    reject: Annotated[bool, typer.Option("--reject", help="Reject it instead.")] = False,
    reason: ReasonOption = "",
    output: OutputOption = Format.TABLE,
) -> None:
    """Approve a rollout that waits for it."""
    with connect() as server:
        _show(server.rollouts.approve(rollout_id, reason=reason, reject=reject), output)


@app.command()
@reported
def cancel(rollout_id: RolloutArgument, output: OutputOption = Format.TABLE) -> None:
    """Withdraw a rollout that has not begun."""
    with connect() as server:
        _show(server.rollouts.cancel(rollout_id), output)


def _plan(
    server: "OneCode",
    model: str,
    segments: list[str] | None,
    steps: str,
    unit: str,
    settings: list[str] | None,
    file: Path | None,
    shadow: str = "",
) -> dict[str, Any]:
    if file is not None:
        return _read(file)
    from onecode_client.rollouts import make_plan  # noqa: PLC0415

    name, colon, version = model.partition(":")
    if not colon:
        message = f"--model {model!r} is not MODEL:VERSION"
        raise typer.BadParameter(message)
    candidate = server.models.version(name, version).digest
    shares = [_share(step) for step in steps.split(",")]
    preset, shadow_s = key_values(settings), _seconds(shadow)
    where = segments or ["cloud"]
    return make_plan(name, candidate, where, shares=shares, unit=unit, preset=preset, shadow_s=shadow_s)


def _seconds(text: str) -> int:
    if not text:
        return 0
    unit = _UNITS.get(text[-1])
    number = text[:-1] if unit else text
    if not (number.isascii() and number.isdigit() and int(number)):
        message = f"--shadow {text!r} is not a time: write 90s, 10m or 2h"
        raise typer.BadParameter(message)
    return int(number) * (unit or 1)


def _share(text: str) -> int:
    try:
        share = round(float(text) * 100)
    except ValueError:
        share = 0
    if not 0 < share <= 10_000:  # noqa: PLR2004 - basis points
        message = f"step {text!r} is not a percentage above 0 and up to 100"
        raise typer.BadParameter(message)
    return share


def _read(file: Path) -> dict[str, Any]:
    import yaml  # noqa: PLC0415

    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        message = f"cannot read the plan {file}: {error.strerror}"
        raise NotFoundError(message, code="client.file", params={"path": file}) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        message = f"{file} is neither YAML nor JSON"
        raise InvalidError(message, code="client.plan", params={"path": file}) from error
    if not isinstance(document, dict):
        message = f"{file} does not hold a plan"
        raise InvalidError(message, code="client.plan", params={"path": file})
    return document


def _follow(server: "OneCode", rollout_id: str, timeout: float | None, output: Format) -> None:
    try:
        with rollout_bar(rollout_id) as tell:
            rollout = server.rollouts.wait(rollout_id, timeout_s=timeout, on_change=tell)
    except KeyboardInterrupt:
        say(f"{rollout_id} goes on; come back with: onecode rollout watch {rollout_id}")
        raise
    _show(rollout, output)
    if not rollout.succeeded:
        hint = f"see why with: onecode rollout explain {rollout_id}"
        raise ended_badly(rollout_id, rollout.state, rollout.sentence, hint)


def _show(rollout: Rollout, output: Format) -> None:
    if output is not Format.TABLE:
        Output(output).document(rollout.document, "Rollout")
        return
    counts = [name for name in _COUNTS if name != "shadow" or name in rollout.document]
    Output(output).document({name: rollout.document.get(name) for name in (*_SHOWN, *counts)})
    if rollout.document.get("members"):
        Output(output).rows("Rollout", "members", rollout.document["members"], _MEMBERS)
