"""Options that many commands share, each with its words in one place."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from onecode_client.cli.output import Format
from onecode_client.waiting import EndedBadlyError

if TYPE_CHECKING:
    from onecode_client.client import OneCode

OutputOption = Annotated[Format, typer.Option("--output", "-o", help="How to print the answer.")]
WaitOption = Annotated[bool, typer.Option("--wait", help="Wait until it has ended.")]
TimeoutOption = Annotated[
    float | None, typer.Option("--timeout", help="Seconds to wait; then exit 8, the work goes on.")
]
ReasonOption = Annotated[str, typer.Option(help="Kept in the decision log.")]
SettingsOption = Annotated[
    list[str] | None, typer.Option("--set", help="NAME=VALUE of the preset, for example min_observe_seconds=60.")
]


@dataclass(slots=True)
class Where:
    """Which server the commands of this call speak to."""

    server: str = ""
    token_file: Path | None = None


WHERE = Where()


def connect() -> "OneCode":
    """Return the client of the server that was named; the HTTP library is loaded here, not for ``--help``."""
    from onecode_client.client import OneCode  # noqa: PLC0415

    return OneCode.from_env(WHERE.server, WHERE.token_file)


def key_values(pairs: list[str] | None) -> dict[str, Any]:
    """Return ``NAME=VALUE`` pairs as a mapping, numbers as numbers.

    Raises:
        BadParameter: A pair has no ``=``.
    """
    found: dict[str, Any] = {}
    for pair in pairs or []:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            message = f"{pair!r} is not NAME=VALUE"
            raise typer.BadParameter(message)
        found[name] = _value(value)
    return found


def ended_badly(what: str, state: str, why: str, hint: str = "") -> EndedBadlyError:
    """Return the error for work that has ended, and not as was asked."""
    message = f"{what} ended as {state}" + (f": {why}" if why else "")
    return EndedBadlyError(message, code="client.ended_badly", hint=hint, params={"state": state})


def _value(text: str) -> Any:
    if text in ("true", "false"):
        return text == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text
