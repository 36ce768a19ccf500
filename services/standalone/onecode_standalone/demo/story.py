"""Run the demo: start the platform, tell the story chapter by chapter, print and save the report, stop cleanly."""

import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from onecode_standalone.demo import chapters, faults
from onecode_standalone.demo.claims import Chapter, StoryFailedError, all_hold
from onecode_standalone.demo.readings import write_readings
from onecode_standalone.demo.report import evidence_chart, save
from onecode_standalone.demo.running import Ports, Running, start_platform

Telling = Callable[[chapters.Story, Chapter], None]
TELLINGS: tuple[tuple[str, Telling], ...] = (
    ("Dirty readings become a data-set version", chapters.upload_and_commit),
    (
        "v1 is trained within a budget",
        lambda story, chapter: chapters.train(story, chapter, "v1", "quick", ("linear",)),
    ),
    ("v1 is released to cloud and gateways", chapters.first_release),
    (
        "v2 is trained with a better recipe",
        lambda story, chapter: chapters.train(story, chapter, "v2", "standard", chapters.FAMILIES),
    ),
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
    links = {"logs": str(folder / "logs")}
    charts: list[str] = []
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        try:
            with start_platform(folder, Ports(base=port_base), progress, keep=keep) as running:
                links["console"] = running.platform.console
                charts = _tell(running, told, progress, console)
        except StoryFailedError as error:
            chapter = Chapter("The platform starts")
            chapter.claim("The platform is ready", holds=False, seen=error)
            told.append(chapter)
    document, page = save(report_dir, told, links, charts)
    _print(console, told)
    console.print(f"report: {page} and {document}", soft_wrap=True)
    return 0 if all_hold(told) and len(told) == 1 + len(TELLINGS) else 1


def _tell(running: Running, told: list[Chapter], progress: Progress, console: Console) -> list[str]:
    start = Chapter("The platform starts", seconds=running.seconds)
    start.claim("Every process is ready and every gateway was heard", holds=True, seen=f"{running.seconds:.0f} s")
    told.append(start)
    story = running.story(write_readings(running.home / "readings.csv"))
    whole = progress.add_task("the story", total=len(TELLINGS))
    for number, (title, telling) in enumerate(TELLINGS, 1):
        progress.update(whole, description=f"{number}/{len(TELLINGS)} {title}")
        chapter = Chapter(title)
        told.append(chapter)
        begun = time.monotonic()
        try:
            telling(story, chapter)
        except StoryFailedError as error:
            chapter.claim("The chapter comes to its end", holds=False, seen=error)
            break
        finally:
            chapter.seconds = time.monotonic() - begun
            good = all(claim.holds for claim in chapter.claims)
            console.print(f"{'✓' if good else '✕'} {number}. {title} ({chapter.seconds:.0f} s)")
        progress.advance(whole)
    shown = [name for name in ("v2", "v4") if name in story.rollouts]
    return [evidence_chart(f"Evidence on {name}", story.rollouts[name]) for name in shown]


def _print(console: Console, told: list[Chapter]) -> None:
    table = Table(title="OneCode demo", show_lines=False)
    for title in ("", "claim", "seen"):
        table.add_column(title, overflow="fold")
    for number, chapter in enumerate(told):
        table.add_row("", f"[bold]{number}. {chapter.title}[/bold]", f"{chapter.seconds:.1f} s")
        for claim in chapter.claims:
            table.add_row("[green]✓[/]" if claim.holds else "[red]✕[/]", claim.text, claim.seen)
        for name, value in chapter.facts.items():
            table.add_row("", f"[dim]{name}[/]", str(value))
        table.add_section()
    console.print(table)
