"""Run the demo: start the platform, tell the story chapter by chapter, print and save the report, stop cleanly."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from onecode_standalone.demo import chapters, faults
from onecode_standalone.demo.agreement import Server
from onecode_standalone.demo.claims import Chapter, StoryFailedError, all_hold
from onecode_standalone.demo.platform import Platform
from onecode_standalone.demo.readings import write_readings
from onecode_standalone.demo.report import evidence_chart, save

_GATEWAYS = 3
_START_LIMIT_S = 150
_STOP_LIMIT_S = 20

Telling = Callable[[chapters.Story, Chapter], None]
TELLINGS: tuple[tuple[str, Telling], ...] = (
    ("Dirty readings become a data-set version", chapters.upload_and_commit),
    ("v1 is trained within a budget", lambda story, chapter: chapters.train(story, chapter, "v1", "quick")),
    ("v1 is released to cloud and gateways", chapters.first_release),
    ("v2 is trained with a better recipe", lambda story, chapter: chapters.train(story, chapter, "v2", "standard")),
    ("v2 takes over step by step, by evidence", chapters.canary),
    ("v3 is wrong and never serves", faults.wrong_model),
    ("v4 fails on rare readings and is rolled back", faults.silent_fault),
    ("The plant works without its cloud", faults.cut_off),
)


def run_demo(*, home: Path | None, port_base: int, keep: bool, report_dir: Path) -> int:
    """Tell the story and return the exit status: 0 only if every claim was checked and holds.

    Args:
        home: Home of the platform; None makes a new one below the temporary folder.
        port_base: First of the block of ports for everything but the public faces.
        keep: Leave the platform running and its home in place.
        report_dir: Where the report is saved.
    """
    console = Console()
    folder = home or Path(tempfile.mkdtemp(prefix="onecode-demo-"))
    told: list[Chapter] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        up = _start(folder, port_base)
        try:
            platform = _wait_until_ready(folder, port_base, up, progress)
            story = chapters.Story(platform, write_readings(folder / "readings.csv"))
            _tell(story, told, progress, console)
            links = {"console": platform.console, "logs": str(folder / "logs")}
            charts = [
                evidence_chart(f"Evidence on {name}", story.rollouts[name])
                for name in ("v2", "v4")
                if name in story.rollouts
            ]
        except StoryFailedError as error:
            failed = Chapter("The platform starts")
            failed.claim("The platform is ready", holds=False, seen=str(error))
            told.append(failed)
            links, charts = {"logs": str(folder / "logs")}, []
        finally:
            if not keep:
                _stop(up)
    document, page = save(report_dir, told, links, charts)
    _print(console, told)
    console.print(f"report: {page} and {document}")
    return 0 if all_hold(told) and len(told) == len(TELLINGS) else 1


def _tell(story: chapters.Story, told: list[Chapter], progress: Progress, console: Console) -> None:
    whole = progress.add_task("the story", total=len(TELLINGS))
    for number, (title, telling) in enumerate(TELLINGS, 1):
        progress.update(whole, description=f"{number}/{len(TELLINGS)} {title}")
        chapter = Chapter(title)
        told.append(chapter)
        begun = time.monotonic()
        try:
            telling(story, chapter)
        except StoryFailedError as error:
            chapter.claim("The chapter comes to its end", holds=False, seen=str(error))
            return
        finally:
            chapter.seconds = time.monotonic() - begun
            good = all(claim.holds for claim in chapter.claims)
            console.print(f"{'✓' if good else '✕'} {number}. {title} ({chapter.seconds:.0f} s)")
        progress.advance(whole)


def _start(home: Path, port_base: int) -> subprocess.Popen[bytes]:
    home.mkdir(parents=True, exist_ok=True)
    onecode = Path(sys.executable).parent / "onecode"
    command = [str(onecode), "up", "--home", str(home), "--gateways", str(_GATEWAYS), "--port-base", str(port_base)]
    with (home / "up.log").open("wb") as log:
        return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)  # noqa: S603


def _wait_until_ready(home: Path, port_base: int, up: subprocess.Popen[bytes], progress: Progress) -> Platform:
    task = progress.add_task("starting the platform", total=None)
    end = time.monotonic() + _START_LIMIT_S
    while time.monotonic() < end:
        if up.poll() is not None:
            raise StoryFailedError(f"the platform ended: {_tail(home / 'up.log')}")
        platform = _connected(home, port_base, progress)
        if platform is not None:
            progress.remove_task(task)
            return platform
        time.sleep(0.5)
    raise StoryFailedError(f"the platform was not ready within {_START_LIMIT_S} s: {_tail(home / 'up.log')}")


def _connected(home: Path, port_base: int, progress: Progress) -> Platform | None:
    """Return the platform once all gateways have reported, else None."""
    token_file = home / "api-token"
    if not token_file.exists():
        return None
    ports = {"console": 8080, "rest": 8000, "grpc": 8001}
    if (home / "ports.json").exists():
        ports.update(json.loads((home / "ports.json").read_text(encoding="utf-8")))
    faces = [Server("cloud", f"127.0.0.1:{ports['grpc']}", f"127.0.0.1:{ports['rest']}")]
    for number in range(1, _GATEWAYS + 1):
        block = port_base + 100 + 10 * number
        faces.append(Server(f"gw-{number}", f"127.0.0.1:{block + 1}", f"127.0.0.1:{block}"))
    token = token_file.read_text(encoding="utf-8").strip()
    platform = Platform(f"http://127.0.0.1:{ports['console']}", token, home, faces, progress)
    try:
        heard = [entry for entry in platform.call("GET", "/gateways")["gateways"] if entry.get("last_heard")]
    except (StoryFailedError, httpx2.HTTPError):
        platform.close()
        return None
    if len(heard) < _GATEWAYS + 1:
        platform.close()
        return None
    return platform


def _stop(up: subprocess.Popen[bytes]) -> None:
    if up.poll() is None:
        up.send_signal(signal.SIGTERM)
        try:
            up.wait(_STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            os.kill(up.pid, signal.SIGKILL)
            up.wait()


def _tail(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")[-600:].strip() if path.exists() else ""


def _print(console: Console, told: list[Chapter]) -> None:
    table = Table(title="OneCode demo", show_lines=False)
    for title in ("", "claim", "seen"):
        table.add_column(title, overflow="fold")
    for number, chapter in enumerate(told, 1):
        table.add_row("", f"[bold]{number}. {chapter.title}[/bold]", f"{chapter.seconds:.1f} s")
        for claim in chapter.claims:
            table.add_row("[green]✓[/]" if claim.holds else "[red]✕[/]", claim.text, claim.seen)
        for name, value in chapter.facts.items():
            table.add_row("", f"[dim]{name}[/]", str(value))
        table.add_section()
    console.print(table)
