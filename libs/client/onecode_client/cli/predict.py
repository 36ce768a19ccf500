"""``onecode predict``: rows in, answers out, and which version gave them."""

import csv
import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from onecode_client.cli.options import OutputOption, connect
from onecode_client.cli.output import Format, Output, say
from onecode_client.cli.problems import reported
from onecode_client.results import Prediction
from onecode_common.errors import InvalidError, NotFoundError

_STDIN = "-"


@reported
def predict(
    model: Annotated[str, typer.Argument(help="Model.")],
    file: Annotated[
        str,
        typer.Option(
            "--input", "--file", "-f", help="CSV with a header, JSON (list of rows), or - for standard input."
        ),
    ] = _STDIN,
    url: Annotated[
        str, typer.Option(help="A model server, host:port or http://host:port; default: the cloud, by the console.")
    ] = "",
    url_token_file: Annotated[Path | None, typer.Option(help="Token for that address, if it wants one.")] = None,
    unit: Annotated[str, typer.Option(help="Who asks, for a sticky assignment.")] = "",
    limit: Annotated[int, typer.Option(help="At most so many rows.")] = 100,
    output: OutputOption = Format.TABLE,
) -> None:
    """Predict."""
    rows = read_rows(_text(file))[:limit]
    token = _text(str(url_token_file)).strip() if url_token_file else ""
    with connect() as server:
        prediction = server.predict(model, rows, unit=unit, url=url, token=token)
    if output is not Format.TABLE:
        Output(output).document(prediction.document, "Prediction")
        return
    Output(output).rows("Prediction", "rows", _table(prediction), ["row", *prediction.outputs])
    arm = f" ({prediction.arm})" if prediction.arm else ""
    say(f"release {prediction.release}{arm}, {prediction.digest}")


def read_rows(text: str) -> list[Any]:
    """Return the rows of a CSV with a header, or of a JSON list.

    Raises:
        InvalidError: It is neither.
    """
    if text.lstrip()[:1] in ("[", "{"):
        try:
            document = json.loads(text)
        except ValueError as error:
            message = f"the rows are not JSON: {error}"
            raise InvalidError(message, code="client.rows") from error
        return document if isinstance(document, list) else [document]
    return [{name: _value(value) for name, value in row.items()} for row in csv.DictReader(io.StringIO(text))]


def _value(text: str | None) -> Any:
    if text is None or not text.strip():
        return None
    try:
        return float(text)
    except ValueError:
        return text


def _text(file: str) -> str:
    if file == _STDIN:
        return sys.stdin.read()
    try:
        return Path(file).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read {file}: {error}"
        raise NotFoundError(message, code="client.file", params={"path": file}) from error


def _table(prediction: Prediction) -> list[dict[str, Any]]:
    count = max((shape[0] for shape in prediction.shapes.values()), default=0)
    rows: list[dict[str, Any]] = [{"row": number} for number in range(count)]
    for name, data in prediction.outputs.items():
        width = max(1, len(data) // max(1, count))
        for number, row in enumerate(rows):
            cells = data[number * width : (number + 1) * width]
            row[name] = cells[0] if width == 1 else cells
    return rows
