"""``onecode smoke``: say with an exit code whether an installation works; what `helm test` runs."""

from pathlib import Path
from typing import Annotated

import typer

from onecode_client.cli.output import say
from onecode_client.cli.problems import reported
from onecode_common.errors import UnauthenticatedError


@reported
def smoke(
    console: Annotated[str, typer.Option(help="URL of the console.")] = "http://127.0.0.1:8080",
    predict: Annotated[str, typer.Option(help="URL of predictions over REST.")] = "http://127.0.0.1:8000",
    token_file: Annotated[
        Path | None, typer.Option(help="The administrator's token; without it only health is asked.")
    ] = None,
    limit: Annotated[float, typer.Option(help="Seconds for the release, and for the first answer.")] = 120.0,
) -> None:
    """Release a tiny model `onecode-smoke` to the cloud, once, and compare one prediction."""
    from onecode_client import smoke as check  # noqa: PLC0415 - the HTTP library is not loaded for --help

    check.check_faces(console, predict, say)
    if token_file is None:
        say("no token was given: no prediction was asked")
        return
    try:
        token = token_file.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        message = f"cannot read the token from {token_file}: {error}"
        raise UnauthenticatedError(message, code="client.no_token") from error
    check.check_prediction(console, predict, token, limit, say)
