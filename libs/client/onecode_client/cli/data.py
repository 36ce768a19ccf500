"""``onecode data``: upload, look, commit, read."""

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from onecode_client.cli.bars import bytes_bar
from onecode_client.cli.options import OutputOption, connect
from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported
from onecode_common.errors import InvalidError, NotFoundError

app = typer.Typer(no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="Data set, or version id (sha256:...).")]
_LIST = ("name", "versions", "latest.rows", "latest.version_id", "latest.created")
_FINDINGS = ("severity", "code", "column", "count", "detail")
_COLUMNS = ("name", "type", "missing", "distinct", "min", "mean", "max")


@app.command()
@reported
def upload(
    file: Annotated[Path, typer.Argument(help="CSV, gzip CSV or Parquet.")],
    name: Annotated[str, typer.Option(help="Data set; default: the file's name.")] = "",
    target: Annotated[str, typer.Option(help="Column to predict.")] = "",
    delimiter: Annotated[str, typer.Option(help="One character; default: found out.")] = "",
    encoding: Annotated[str, typer.Option(help="utf-8, gb18030, utf-16; default: found out.")] = "",
    time_column: Annotated[str, typer.Option(help="Column with the time.")] = "",
    id_column: Annotated[str, typer.Option(help="Column that names the thing measured.")] = "",
    drop_ragged: Annotated[bool, typer.Option("--drop-ragged", help="Drop rows of another length.")] = False,
    bad_cells_missing: Annotated[
        bool, typer.Option("--bad-cells-missing", help="Cells that do not parse become missing values.")
    ] = False,
    resume: Annotated[str, typer.Option(help="Upload id to go on with.")] = "",
    preview: Annotated[bool, typer.Option("--preview", help="Show what would be committed, and stop.")] = False,
    output: OutputOption = Format.TABLE,
) -> None:
    """Upload a file and commit it as an immutable version."""
    if not file.is_file():
        message = f"there is no file {file}"
        raise NotFoundError(message, code="client.file", params={"path": file})
    options: dict[str, Any] = {
        "target": target,
        "delimiter": delimiter,
        "encoding": encoding,
        "time_column": time_column,
        "id_column": id_column,
        "ragged_rows": "RAGGED_ROWS_DROP" if drop_ragged else "",
        "bad_cells": "BAD_CELLS_MISSING" if bad_cells_missing else "",
    }
    options = {key: value for key, value in options.items() if value}
    with connect() as server:
        with bytes_bar(file.name) as tell:
            sent = server.data.send(file, upload_id=resume, on_progress=tell)
        if preview:
            _show_preview(server.data.preview(sent.upload_id, options=options), output)
            say(f"commit it with: onecode data upload {file} --resume {sent.upload_id}")
            return
        try:
            version = server.data.commit(sent.upload_id, name or _name_of(file), options=options)
        except InvalidError as error:
            hint = f"{error.hint}; the bytes are there already: add --resume {sent.upload_id}".removeprefix("; ")
            raise InvalidError(error.message, code=error.code, hint=hint, params=error.params) from error
    Output(output).document(_short(version.document, output), "DatasetVersion")
    for finding in version.document.get("findings", []):
        say(f"{finding['severity']}: {finding['code']} {finding['column']} x{finding['count']} {finding['detail']}")
    say(f"next: onecode train start -f recipe.yaml --data {version.dataset}")


@app.command("list")
@reported
def list_(output: OutputOption = Format.TABLE) -> None:
    """List data sets."""
    with connect() as server:
        Output(output).rows("DatasetList", "datasets", server.data.list(), _LIST)


@app.command()
@reported
def show(name: NameArgument, output: OutputOption = Format.TABLE) -> None:
    """Show a version: the newest of a data set, or the one with this id."""
    with connect() as server:
        version = server.data.show(name)
    Output(output).document(_short(version.document, output), "DatasetVersion")


@app.command()
@reported
def profile(name: NameArgument, output: OutputOption = Format.TABLE) -> None:
    """Show what is known of each column."""
    with connect() as server:
        document = server.data.profile(name)
    if output is not Format.TABLE:
        Output(output).document(document, "Profile")
        return
    say(f"{document['rows']} rows, {document['duplicate_rows']} duplicates")
    Output(output).rows("Profile", "columns", document["columns"], _COLUMNS)


@app.command()
@reported
def rows(
    name: NameArgument,
    offset: Annotated[int, typer.Option(help="First row.")] = 0,
    limit: Annotated[int, typer.Option(help="How many.")] = 20,
    output: OutputOption = Format.TABLE,
) -> None:
    """Print some rows."""
    with connect() as server:
        document = server.data.rows(name, offset=offset, limit=limit)
    cells = [_row(document["columns"], row) for row in document["rows"]]
    Output(output).rows("Rows", "rows", cells, document["columns"])


@app.command()
@reported
def delete(version: Annotated[str, typer.Argument(help="Version id (sha256:...).")]) -> None:
    """Delete a version that nothing uses."""
    with connect() as server:
        server.data.delete(version)
    say(f"{version} is deleted")


def _row(columns: list[str], row: dict[str, Any]) -> dict[str, Any]:
    return {name: cell.get("text") for name, cell in zip(columns, row.get("cells", []), strict=False)}


def _show_preview(document: Any, output: Format) -> None:
    if output is not Format.TABLE:
        Output(output).document(document, "Preview")
        return
    columns = document["schema"]["columns"]
    chosen = {name: value for name, value in document["options"].items() if name != "columns" and value != ""}
    say(json.dumps(chosen, ensure_ascii=False))
    Output(output).rows("Preview", "columns", columns, ("name", "type", "nullable"))
    names = [column["name"] for column in columns]
    Output(output).rows("Preview", "rows", [_row(names, row) for row in document["rows"][:10]], names)
    if document["findings"]:
        Output(output).rows("Preview", "findings", document["findings"], _FINDINGS)


def _short(document: Any, output: Format) -> Any:
    if output is not Format.TABLE:
        return document
    shown = ("dataset", "number", "rows", "dropped_rows", "bytes", "created", "created_by")
    # Whole, because it is what one copies.
    return {"version id": " " + document["version_id"], **{name: document.get(name) for name in shown}}


def _name_of(file: Path) -> str:
    stem = file.name.split(".")[0].lower()
    return "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in stem).strip("-") or "data"
