"""Run the agent, and ask it from outside; works with the cloud gone, and `status` and `doctor` with the agent gone."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from onecode_edge.layout import LINKS, Layout

_FAILED, _UNREACHABLE, _SELFTEST = 1, 3, 9


def main() -> None:
    """Run one command and exit: 0 done, 1 refused or wrong, 2 wrong usage, 3 no agent runs, 9 self-test failed."""
    parser = argparse.ArgumentParser(prog="onecode-edge", description=__doc__)
    parser.add_argument("--home", type=Path, default=os.environ.get("ONECODE_EDGE_HOME_DIR", "/var/lib/onecode-edge"))
    commands = parser.add_subparsers(dest="command", required=True)
    for name, (_, about) in _COMMANDS.items():
        command = commands.add_parser(name, help=about, description=about)
        if name == "rollback":
            command.add_argument("--reason", required=True, help="why, for the record")
    arguments = parser.parse_args()
    os.environ["ONECODE_EDGE_HOME_DIR"] = str(Path(arguments.home).absolute())
    layout = Layout(Path(arguments.home).absolute())
    sys.exit(_COMMANDS[arguments.command][0](layout, arguments))


def _run(_layout: Layout, _arguments: argparse.Namespace) -> int:
    from onecode_edge.supervisor import main as run  # noqa: PLC0415 - the other commands need none of it

    return run()


def _status(layout: Layout, _arguments: argparse.Namespace) -> int:
    return _asked(layout, "GET /v1/status", None, lambda: _on_disk(layout))


def _sync(layout: Layout, _arguments: argparse.Namespace) -> int:
    return _asked(layout, "POST /v1/sync", {})


def _rollback(layout: Layout, arguments: argparse.Namespace) -> int:
    return _asked(layout, "POST /v1/rollback", {"reason": arguments.reason})


def _test(layout: Layout, _arguments: argparse.Namespace) -> int:
    return _asked(layout, "POST /v1/selftest", {}, judge=lambda answer: 0 if answer["passed"] else _SELFTEST)


def _doctor(layout: Layout, _arguments: argparse.Namespace) -> int:
    from onecode_edge.doctor import examine  # noqa: PLC0415

    findings = examine(layout)
    for finding in findings:
        sys.stdout.write(f"{'ok  ' if finding.good else 'BAD '} {finding.what}: {finding.detail}\n")
    return 0 if all(finding.good for finding in findings) else _FAILED


def _asked(
    layout: Layout,
    line: str,
    body: Mapping[str, object] | None,
    otherwise: Callable[[], Mapping[str, object]] | None = None,
    judge: Callable[[Mapping[str, object]], int] = lambda _: 0,
) -> int:
    from onecode_common.errors import OnecodeError, UnavailableError  # noqa: PLC0415
    from onecode_edge.unix_http import ask  # noqa: PLC0415

    try:
        answer: Mapping[str, object] = ask(layout.control, line, body, timeout_s=60.0)
    except UnavailableError as error:
        if otherwise is None:
            sys.stderr.write(f"onecode-edge: no agent runs on {layout.root}: {error.message}\n")
            return _UNREACHABLE
        sys.stdout.write(json.dumps(otherwise(), indent=2) + "\n")
        return _UNREACHABLE
    except OnecodeError as error:
        sys.stderr.write(f"onecode-edge: {error.code}: {error.message}\n")
        return _FAILED
    sys.stdout.write(json.dumps(answer, indent=2) + "\n")
    return judge(answer)


def _on_disk(layout: Layout) -> dict[str, object]:
    from onecode_edge.seal import linked  # noqa: PLC0415

    return {"running": False, "links": {name: linked(layout, name) for name in LINKS}}


_COMMANDS: dict[str, tuple[Callable[[Layout, argparse.Namespace], int], str]] = {
    "run": (_run, "run the agent until it is told to stop"),
    "status": (_status, "say what is served, what is under way and what is wrong, as JSON"),
    "sync": (_sync, "look for a newer policy now"),
    "test": (_test, "ask the golden sets again; exit 9 if an answer is wrong"),
    "rollback": (_rollback, "serve what was served before, until a newer revision comes"),
    "doctor": (_doctor, "check every file of the state directory, without the agent and without the cloud"),
}
