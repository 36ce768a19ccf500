"""``onecode model``: list, show, import, name and delete versions."""

from pathlib import Path
from typing import Annotated, Any

import typer

from onecode_client.cli.options import OutputOption, connect
from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported
from onecode_client.results import ModelVersion
from onecode_common.errors import NotFoundError

app = typer.Typer(no_args_is_help=True)

ModelArgument = Annotated[str, typer.Argument(help="Model.")]
VersionArgument = Annotated[str, typer.Argument(help="Release number, alias or digest.")]
_LIST = ("name", "versions", "latest.release", "latest.digest", "aliases", "latest.created")
_VERSIONS = ("release", "digest", "aliases", "p95_us", "metrics", "created")
_SHOWN = ("model", "release", "aliases", "metrics", "golden_rows", "p95_us", "parity", "lineage", "mlflow_version")


@app.command("list")
@reported
def list_(output: OutputOption = Format.TABLE) -> None:
    """List models."""
    with connect() as server:
        Output(output).rows("ModelList", "models", server.models.list(), _LIST)


@app.command()
@reported
def show(
    model: ModelArgument,
    version: Annotated[str, typer.Argument(help="Release number, alias or digest; default: all.")] = "",
    output: OutputOption = Format.TABLE,
) -> None:
    """Show a model's versions, or one of them."""
    with connect() as server:
        if version:
            _show(server.models.version(model, version), output)
            return
        document = server.models.show(model)
    if output is not Format.TABLE:
        Output(output).document(document, "Model")
        return
    Output(output).rows("Model", "versions", document["versions"], _VERSIONS)


@app.command("import")
@reported
def import_(
    file: Annotated[Path, typer.Argument(help="ONNX file.")],
    name: Annotated[str, typer.Option(help="Model to register it under.")],
    golden: Annotated[str, typer.Option(help="Golden set (JSON lines), or from:VERSION to take over that one's.")],
    request_id: Annotated[str, typer.Option(help="Own id, so that a repetition imports nothing twice.")] = "",
    output: OutputOption = Format.TABLE,
) -> None:
    """Import a foreign ONNX file; it is first loaded in a limited child process."""
    for path in (file, *([] if golden.startswith("from:") else [Path(golden)])):
        if not path.is_file():
            message = f"there is no file {path}"
            raise NotFoundError(message, code="client.file", params={"path": path})
    with connect() as server:
        version = server.models.import_onnx(file, name, golden=golden, request_id=request_id)
    _show(version, output)
    say(f"next: onecode rollout start --model {version.model}:{version.release} --segment cloud")


@app.command()
@reported
def alias(
    model: ModelArgument,
    name: Annotated[str, typer.Argument(help="champion, challenger, or one's own.")],
    version: VersionArgument,
    output: OutputOption = Format.TABLE,
) -> None:
    """Let an alias name a version."""
    with connect() as server:
        _show(server.models.alias(model, name, version), output)


@app.command()
@reported
def delete(model: ModelArgument, release: Annotated[int, typer.Argument(help="Release number.")]) -> None:
    """Delete a version that neither an alias nor a policy names."""
    with connect() as server:
        server.models.delete(model, release)
    say(f"{model} release {release} is deleted")


def _show(version: ModelVersion, output: Format) -> None:
    if output is not Format.TABLE:
        Output(output).document(version.document, "ModelVersion")
        return
    shown: dict[str, Any] = {name: version.document.get(name) for name in _SHOWN}
    # Whole, because it is what one copies.
    Output(output).document({"digest": " " + version.digest, **shown})
