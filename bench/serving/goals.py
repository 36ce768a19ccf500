"""Hold what was promised: every goal beside what was measured, and whether it was met."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.serving.programs import Programs
from bench.serving.rounds import Round, ratio
from bench.serving.scenes import Scenes

BUSY_CORES = 0.3
"""Above this much other work no verdict is given."""


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes:
        work: What was done.
        goal: What is promised.
        stretch: What was aimed at; None where nothing more was.
        value: Measured; None where it could not be.
        by_cpu: The same from CPU time instead of the clock, which other work on the machine disturbs less.
        more: A larger value is better.
        unit: Written behind numbers.
        note: What else the reader must know.
    """

    work: str
    goal: float
    stretch: float | None
    value: float | None
    by_cpu: float | None = None
    more: bool = True
    unit: str = ""
    note: str = ""

    def reaches(self, limit: float | None) -> bool:
        """Return whether the value is as good as a limit."""
        if limit is None or self.value is None:
            return False
        return self.value >= limit if self.more else self.value <= limit

    @property
    def verdict(self) -> str:
        """``stretch``, ``met``, ``missed`` or ``not measured``."""
        if self.value is None:
            return "not measured"
        return "stretch" if self.reaches(self.stretch) else "met" if self.reaches(self.goal) else "missed"

    def cells(self) -> list[str]:
        """Return the line as text: work, goal, stretch, measured, by CPU time, note."""
        sign = "≥" if self.more else "≤"
        if self.goal == 0 and not self.more:
            sign = ""
        stretch = "-" if self.stretch is None else _text(self.stretch, self.unit)
        measured = "-" if self.value is None else _text(self.value, self.unit)
        by_cpu = "" if self.by_cpu is None else _text(self.by_cpu, self.unit)
        return [self.work, f"{sign} {_text(self.goal, self.unit)}".strip(), stretch, measured, by_cpu, self.note]

    def document(self) -> dict[str, Any]:
        """Return the line as JSON holds it."""
        fields = {name: getattr(self, name) for name in ("work", "goal", "stretch", "more", "unit", "note", "verdict")}
        numbers = {"value": self.value, "by_cpu": self.by_cpu}
        return {**fields, **{name: None if value is None else round(value, 4) for name, value in numbers.items()}}


def rows_of(rounds: Sequence[Round], scenes: Scenes) -> list[Row]:
    """Return every line of the table."""
    return [*_rates(rounds), *_latencies(rounds), *_faces(rounds), *_scenes(scenes), _same(scenes.programs)]


def table(rows: Sequence[Row], *, judged: bool) -> str:
    """Return the lines as a Markdown table, with verdicts or without."""
    head = ["work", "goal", "stretch", "measured", "by CPU time", "note"]
    lines = [head + ["verdict"] * judged, ["---"] * (len(head) + judged)]
    lines += [row.cells() + [row.verdict] * judged for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _rates(rounds: Sequence[Round]) -> list[Row]:
    cpu = ratio(rounds, ("mlp.32", "cpu_us"), ("echo.32", "cpu_us"))
    return [
        _rate(rounds, "gRPC, mlp, 32 connections: rate against raw", 0.25, 0.35, "mlp.32", "raw.mlp"),
        _rate(rounds, "the same against echo", 10, 14, "mlp.32", "echo.32"),
        Row("CPU of an answer against echo's", 0.10, 0.07, cpu, more=False),
        _rate(rounds, "gRPC, cnn, 32: rate against raw", 0.45, 0.58, "cnn.32", "raw.cnn"),
        _rate(rounds, "gRPC, gbt, 32: rate against raw", 0.33, 0.44, "gbt.32", "raw.gbt"),
        _rate(rounds, "gRPC, mlp, 8: rate against echo", 8, 11, "mlp.8", "echo.8"),
    ]


def _latencies(rounds: Sequence[Round]) -> list[Row]:
    def against_echo(count: int, field: str) -> float:
        return ratio(rounds, (f"mlp.{count}", field), (f"echo.{count}", field))

    return [
        Row("gRPC, mlp, one connection: p50 against echo's", 0.60, 0.50, against_echo(1, "p50_us"), more=False),
        Row("gRPC, mlp, 32: p99 against echo's", 0.15, 0.10, against_echo(32, "p99_us"), more=False),
    ]


def _faces(rounds: Sequence[Round]) -> list[Row]:
    return [
        _rate(rounds, "REST binary, mlp, 32: rate against raw", 0.18, 0.25, "rest.32", "raw.mlp"),
        _rate(rounds, "REST JSON, mlp, 32: rate against raw", 0.13, 0.18, "json.32", "raw.mlp"),
        _rate(rounds, "stream against unary, a message", 0.9, 1.2, "stream.32", "mlp.32"),
        _rate(rounds, "TLS against plain text", 0.6, 0.75, "tls.32", "mlp.32"),
    ]


def _rate(rounds: Sequence[Round], work: str, goal: float, stretch: float, over: str, under: str) -> Row:
    """Return a row about two rates, by the clock and by CPU time."""
    values = [ratio(rounds, (over, field), (under, field)) for field in ("rate", "cpu_rate")]
    note = ""
    if under.startswith("raw"):
        note = f"{ratio(rounds, (over, 'rate'), (under, 'inner_rate')):.3g} of the inner object's"
    return Row(work, goal, stretch, values[0], values[1], note=note)


def _scenes(scenes: Scenes) -> list[Row]:
    swaps, overload, idle = scenes.swaps, scenes.overload, scenes.idle
    return [
        Row("peak RSS with three models", 80, 65, scenes.peak_mib, more=False, unit="MiB"),
        Row(
            "50 swaps under load: failed",
            0,
            None,
            swaps.failed,
            more=False,
            note=f"{swaps.answers} requests, {swaps.swaps} swaps",
        ),
        Row("50 swaps under load: wrong version", 0, None, swaps.wrong, more=False),
        Row("50 swaps under load: p99 against before", 2, 1.3, swaps.p99_ratio, more=False),
        Row("twice the capacity: useful answers against capacity", 0.9, 0.97, overload.useful, note=overload.note),
        Row("twice the capacity: expired work that ran", 0, None, overload.expired_run, more=False),
        Row(
            "rapid reset beside an honest client: its p99",
            72,
            20,
            scenes.resets.p99_ms,
            more=False,
            unit="ms",
            note=scenes.resets.note,
        ),
        Row(
            "two models at once: p99 of the cheap one",
            round(scenes.both.goal_ms, 2),
            None,
            scenes.both.beside_ms,
            more=False,
            unit="ms",
            note=f"goal: twice alone and one run of the other, {scenes.both.run_ms:.1f} ms; {scenes.both.note}",
        ),
        Row("1,000 idle connections: memory", 25, None, idle.mib, more=False, unit="MiB"),
        Row("1,000 idle connections: p99 against before", 1.3, None, idle.p99_ratio, more=False),
    ]


def _same(seen: Programs) -> Row:
    note = f"{seen.questions} questions to {seen.models} models in {seen.forms} forms, each three times"
    return Row("cloud and gateway: answers that differ", 0, None, seen.differing, more=False, note=note)


def _text(value: float, unit: str) -> str:
    number = f"{value:.0f}" if value == int(value) or abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - digits that mean something
    return f"{number} {unit}".strip()
