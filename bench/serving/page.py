"""Write the reference page about performance: the table, the method, and a plot."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.serving.plot import bars

_DOCS = Path(__file__).parents[2] / "docs" / "reference"
PAGE, PLOT = _DOCS / "performance.md", _DOCS / "performance.svg"
_METHOD = Path(__file__).with_name("method.md")


def write_page(document: Mapping[str, Any]) -> None:
    """Write page and plot from the stored results."""
    medians, raw = document["medians"], document["raw_rate"]
    shares = {
        "raw onnxruntime": 1.0,
        **{f"gRPC, {count} connections": medians[f"mlp.{count}"]["rate"] / raw["mlp"] for count in (32, 8, 1)},
        "stream": medians["stream.32"]["rate"] / raw["mlp"],
        "TLS": medians["tls.32"]["rate"] / raw["mlp"],
        "REST binary": medians["rest.32"]["rate"] / raw["mlp"],
        "REST JSON": medians["json.32"]["rate"] / raw["mlp"],
        "bare grpc.aio, no model": medians["echo.32"]["rate"] / raw["mlp"],
    }
    PLOT.write_text(bars("mlp: answers a second, as a share of onnxruntime alone on the same core", shares))
    PAGE.write_text(f"{_METHOD.read_text()}\n{_results(document)}")


def _results(document: Mapping[str, Any]) -> str:
    machine = ", ".join(f"{name} {value}" for name, value in document["machine"].items())
    quiet = f"Other work took {document['other_work_cores']:.2f} of a core"
    verdict = quiet + "." if document["judged"] else quiet + ": the numbers stand here without a verdict."
    return "\n".join(
        (
            "## Goals\n",
            f"Measured {document['when']} ({machine}). {verdict}\n",
            _goals(document),
            "\n![answers a second](performance.svg)\n",
            "## Medians\n",
            _medians(document),
            "",
        )
    )


def _goals(document: Mapping[str, Any]) -> str:
    lines = ["| work | goal | stretch | measured | by CPU time | verdict |", f"|{' --- |' * 6}"]
    for row in document["rows"]:
        sign = "" if row["goal"] == 0 else "≥ " if row["more"] else "≤ "
        unit = f" {row['unit']}" if row["unit"] else ""
        stretch = "-" if row["stretch"] is None else f"{row['stretch']:g}{unit}"
        measured = "-" if row["value"] is None else f"{row['value']:.3g}{unit}"
        by_cpu = "" if row["by_cpu"] is None else f"{row['by_cpu']:.3g}{unit}"
        verdict = row["verdict"] if document["judged"] else "-"
        note = f" ({row['note']})" if row["note"] else ""
        cells = [f"{row['work']}{note}", f"{sign}{row['goal']:g}{unit}", stretch, measured, by_cpu, verdict]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _medians(document: Mapping[str, Any]) -> str:
    raw = ", ".join(f"{name} {rate:,}" for name, rate in document["raw_rate"].items())
    lines = [
        f"Raw, runs a second: {raw}.\n",
        "| measure | answers/s | CPU us | p50 us | p99 us | load's CPU us |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, one in document["medians"].items():
        numbers = [f"{one['rate']:,.0f}", *(f"{one[field]:.1f}" for field in ("cpu_us", "p50_us", "p99_us", "load_us"))]
        lines.append(f"| {name} | {' | '.join(numbers)} |")
    return "\n".join(lines)
