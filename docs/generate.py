"""Make the reference pages from the programs themselves, so that they cannot be wrong for long.

Run ``python docs/generate.py``; a test runs it into an empty folder and compares.
"""

import importlib
import inspect
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import typer.main
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from onecode_client.cli import problems
from onecode_client.cli.main import application
from onecode_common.settings import ServiceSettings
from onecode_console.api.composed import install_audit, install_composed
from onecode_console.api.events import install_events
from onecode_console.api.openapi import install_openapi
from onecode_console.api.passthrough import install_objects, install_predict, install_uploads
from onecode_console.api.relay import install_calls

REFERENCE = Path(__file__).resolve().parent / "reference"
SERVICES = ("ingestion", "training", "registry", "rollout", "inference", "console", "edge")
VERBS = ("get", "head", "post", "put", "patch", "delete")


def settings_page() -> str:
    """Return the page of all settings."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable of one process. An unknown name under a process's own prefix stops",
        "its start. Secrets are paths to files. `onecode up` sets what its processes find each other by, refuses to be",
        "told that, and passes everything else under a process's prefix on to it; `ONECODE_EDGE_…` goes to every",
        "gateway.",
    ]
    for service in SERVICES:
        settings = _settings_class(service)
        prefix = str(settings.model_config.get("env_prefix", ""))
        lines += ["", f"## {service}", "", "| name | default | meaning |", "| --- | --- | --- |"]
        for name, field in settings.model_fields.items():
            lines.append(f"| `{(prefix + name).upper()}` | {_default(field)} | {field.description or ''} |")
    return "\n".join(lines) + "\n"


def rest_page() -> str:
    """Return the page of all REST routes."""
    paths: dict[str, Any] = get_openapi(title="OneCode", version="1", routes=_rest().routes)["paths"]
    lines = [
        "# REST",
        "",
        "The console answers `/api/v1` with JSON. Send `Authorization: Bearer <token>`; `onecode up` writes a token",
        "to `api-token` in its home. Errors are problem documents (RFC 9457) with a stable `code`. The OpenAPI 3.1",
        "document, with all bodies, is at `/api/v1/openapi.json`.",
        "",
        "| verb | path | does |",
        "| --- | --- | --- |",
    ]
    for path, verbs in sorted(paths.items()):
        for verb in VERBS:
            if verb in verbs:
                about = verbs[verb].get("summary") or verbs[verb].get("description") or ""
                lines.append(f"| {verb.upper()} | `{path}` | {about.strip().splitlines()[0] if about else ''} |")
    return "\n".join(lines) + "\n"


def cli_page() -> str:
    """Return the page of all commands."""
    lines = ["# Command line", "", "Made from the programs' own help texts.", ""]
    for words, command in _commands(typer.main.get_command(application()), ("onecode",)):
        lines += [f"## `{' '.join(words)}`", "", (command.help or "").split("\n\n")[0].replace("\n", " ").strip(), ""]
        rows = []
        for parameter in command.params:
            if isinstance(parameter, click.Option) or type(parameter).__name__ == "TyperOption":
                if getattr(parameter, "hidden", False) or parameter.name == "help":
                    continue
                rows.append(f"| `{', '.join(parameter.opts)}` | {getattr(parameter, 'help', '') or ''} |")
            else:
                rows.append(f"| `{(parameter.name or '').upper()}` | {getattr(parameter, 'help', '') or 'argument'} |")
        if rows:
            lines += ["| option | meaning |", "| --- | --- |", *rows, ""]
    lines += ["## Exit codes", "", "| code | meaning |", "| --- | --- |"]
    lines += [f"| {code} | {meaning} |" for code, meaning in sorted(_exit_codes().items())]
    return "\n".join(lines) + "\n"


def pages() -> dict[str, str]:
    """Return every generated page by file name."""
    return {"settings.md": settings_page(), "rest.md": rest_page(), "cli.md": cli_page()}


def _exit_codes() -> dict[int, str]:
    meanings = {
        problems.DONE: "done",
        problems.UNEXPECTED: "unexpected",
        problems.USAGE: "wrong usage",
        problems.TIMED_OUT: "the time limit has passed, the work goes on",
        problems.ENDED_BADLY: "the work ended badly: run failed, rolled back, platform not healthy",
        problems.PARTLY: "some items of a bulk action failed",
        problems.INTERRUPTED: "interrupted",
    }
    for error, code in problems.EXIT_CODES.items():
        about = (error.__doc__ or "").splitlines()[0].rstrip(".").lower()
        meanings[code] = f"{meanings[code]}; {about}" if code in meanings and code != problems.UNEXPECTED else about
    meanings[problems.UNEXPECTED] = "unexpected"
    return meanings


def _rest() -> FastAPI:
    """Return an application with all routes of REST and nothing behind them; it is described, never called."""
    nothing: Any = None
    app = FastAPI()
    install_calls(app, nothing, "default")
    install_composed(app, nothing, "default", "1", nothing)
    install_audit(app, nothing)
    install_uploads(app, nothing, nothing)
    install_objects(app, nothing, nothing)
    install_predict(app, nothing, nothing)
    install_events(app, nothing, nothing, nothing, "default")
    install_openapi(app, nothing, "1")
    return app


def _settings_class(service: str) -> type[ServiceSettings]:
    module = importlib.import_module(f"onecode_{service}.settings")
    for _, value in inspect.getmembers(module, inspect.isclass):
        if issubclass(value, ServiceSettings) and value is not ServiceSettings:
            return value
    message = f"onecode_{service}.settings has no settings"
    raise LookupError(message)


def _default(field: FieldInfo) -> str:
    if field.default is PydanticUndefined:
        return "required"
    return "" if field.default in ("", None) else f"`{field.default}`"


def _commands(command: Any, words: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    yield words, command
    for name, sub in sorted(getattr(command, "commands", {}).items()):
        yield from _commands(sub, (*words, name))


def main(target: Path) -> None:
    """Write all pages below the folder."""
    target.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (target / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else REFERENCE)
