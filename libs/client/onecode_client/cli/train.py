"""``onecode train``: start, watch, stop and resume runs."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from onecode_client.cli.bars import run_bar, run_line
from onecode_client.cli.options import OutputOption, TimeoutOption, WaitOption, connect, ended_badly
from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported
from onecode_client.results import Run
from onecode_common.errors import InvalidError, NotFoundError

if TYPE_CHECKING:
    from onecode_client.client import OneCode

app = typer.Typer(no_args_is_help=True)

RunArgument = Annotated[str, typer.Argument(help="Run id.")]
RecipeOption = Annotated[Path, typer.Option("--file", "-f", help="Recipe, YAML or JSON.")]
_LIST = ("run_id", "state", "stage", "metric", "best_score", "model", "model_release", "created")
_SHOWN = ("run_id", "state", "stage", "progress", "dataset_version", "metric", "best_score", "baseline_score")
_RESULT = ("winner", "test_metrics", "model", "model_release", "model_digest", "error_code", "error")
_TRIALS = ("number", "family", "state", "score", "bytes", "p95_us", "reason")


@app.command()
@reported
def start(
    file: RecipeOption,
    data: Annotated[str, typer.Option(help="Data set, or version id.")],
    model: Annotated[str, typer.Option(help="Register the result under this name.")] = "",
    run_id: Annotated[str, typer.Option(help="Own id, so that a repetition starts nothing twice.")] = "",
    wait: WaitOption = False,
    timeout: TimeoutOption = None,
    output: OutputOption = Format.TABLE,
) -> None:
    """Start a run."""
    with connect() as server:
        run = server.train.start(_read(file), data=data, model=model, run_id=run_id)
        if wait:
            _follow(server, run.run_id, timeout, output)
            return
    _show(run, output)
    say(f"watch it with: onecode train watch {run.run_id}")


@app.command()
@reported
def validate(
    file: RecipeOption,
    data: Annotated[str, typer.Option(help="Data-set version id to check it against.")] = "",
    output: OutputOption = Format.TABLE,
) -> None:
    """Say what is wrong with a recipe."""
    with connect() as server:
        problems = server.train.validate(_read(file), dataset_version=data)
    Output(output).rows("ProblemList", "problems", problems, ("path", "message", "value"))
    if problems:
        message = f"{file} has {len(problems)} problems"
        raise InvalidError(message, code="recipe.invalid")


@app.command("list")
@reported
def list_(output: OutputOption = Format.TABLE) -> None:
    """List runs, newest first."""
    with connect() as server:
        runs = [run.document for run in server.train.list()]
    Output(output).rows("RunList", "runs", runs, _LIST)


@app.command()
@reported
def show(run_id: RunArgument, output: OutputOption = Format.TABLE) -> None:
    """Show a run with its trials."""
    with connect() as server:
        _show(server.train.get(run_id), output)


@app.command()
@reported
def watch(run_id: RunArgument, timeout: TimeoutOption = None, output: OutputOption = Format.TABLE) -> None:
    """Follow a run until it has ended; Ctrl-C leaves it running."""
    with connect() as server:
        _follow(server, run_id, timeout, output)


@app.command()
@reported
def stop(run_id: RunArgument) -> None:
    """Stop a run; it can be resumed."""
    with connect() as server:
        run = server.train.stop(run_id)
    say(f"{run_id}: {run.state}; go on with: onecode train resume {run_id}")


@app.command()
@reported
def resume(
    run_id: RunArgument, wait: WaitOption = False, timeout: TimeoutOption = None, output: OutputOption = Format.TABLE
) -> None:
    """Start an interrupted, stopped or failed run again from its last finished trial."""
    with connect() as server:
        run = server.train.resume(run_id)
        if wait:
            _follow(server, run_id, timeout, output)
            return
    _show(run, output)


def _follow(server: "OneCode", run_id: str, timeout: float | None, output: Format) -> None:
    try:
        with run_bar(run_id) as tell:
            run = server.train.wait(run_id, timeout_s=timeout, on_change=tell)
    except KeyboardInterrupt:
        say(f"{run_id} goes on; come back with: onecode train watch {run_id}")
        raise
    _show(run, output)
    if not run.succeeded:
        raise ended_badly(run_id, run.state, run.error, f"see it with: onecode train show {run_id}")


def _show(run: Run, output: Format) -> None:
    if output is not Format.TABLE:
        Output(output).document(run.document, "Run")
        return
    names = _SHOWN + (_RESULT if run.ended else ())
    Output(output).document({name: run.document.get(name) for name in names})
    if run.document.get("trials"):
        Output(output).rows("Run", "trials", run.document["trials"], _TRIALS)
    say(run_line(run))


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the recipe {file}: {error}"
        raise NotFoundError(message, code="client.file", params={"path": file}) from error
