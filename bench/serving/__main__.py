"""Run all measurements, print the goals beside them, and keep both: ``python -m bench.serving``."""

import argparse
import json
import statistics
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.serving.facts import facts
from bench.serving.goals import BUSY_CORES, Row, rows_of, table
from bench.serving.machine import LOAD_CORE, pin
from bench.serving.page import write_page
from bench.serving.rounds import MODELS, Benches, Round
from bench.serving.scenes import Scenes, play
from bench.serving.server import Echo, Server
from bench.serving.workers import Workers

RESULTS = Path(__file__).parent.with_suffix(".json")


def main() -> None:
    """Measure; exit with 1 if a goal was missed on a quiet machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="of each measure")
    parser.add_argument("--only", default="", help="names of measures, such as mlp.32,echo.32: print them and stop")
    arguments = parser.parse_args()
    pin(LOAD_CORE)
    chosen = [name for name in arguments.only.split(",") if name]
    with (
        Workers() as workers,
        Server(dict.fromkeys(MODELS, 1)) as server,
        Server({"mlp": 1}, tls=True) as encrypted,
        Echo() as echo,
    ):
        benches = Benches(workers, server, encrypted, echo, arguments.seconds, chosen)
        rounds = []
        for number in range(arguments.rounds):
            rounds.append(benches.one_round())
            _say(f"round {number + 1} of {arguments.rounds}", rounds[-1])
        if chosen:
            return
        scenes = play(benches, arguments.seconds * 2)
    _report(rounds, scenes)


def _report(rounds: list[Round], scenes: Scenes) -> None:
    """Print and store; a verdict only where the machine was left to us."""
    others = statistics.median(one.others for each in rounds for one in each.measures.values())
    failures = sum(one.failures for each in rounds for one in each.measures.values())
    failures += scenes.resets.failures + scenes.idle.failures + scenes.both.failures
    judged = others <= BUSY_CORES
    rows = rows_of(rounds, scenes)
    print(table(rows, judged=judged))
    if not judged:
        print(f"no verdict: other work took {others:.2f} cores, more than {BUSY_CORES}")
    print(f"answers that failed or were wrong outside of swaps: {failures}")
    document = _document(rounds, rows, others, failures)
    RESULTS.write_text(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
    write_page(document)
    if judged and (failures or any(row.verdict == "missed" for row in rows)):
        sys.exit(1)


def _document(rounds: list[Round], rows: list[Row], others: float, failures: int) -> dict[str, Any]:
    names = rounds[0].measures
    fields = ("rate", "cpu_rate", "cpu_us", "p50_us", "p99_us", "load_us", "others")
    medians = {
        name: {field: statistics.median(getattr(one.measures[name], field) for one in rounds) for field in fields}
        for name in names
    }
    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": facts(),
        "judged": others <= BUSY_CORES,
        "other_work_cores": others,
        "failures": failures,
        "rows": [row.document() for row in rows],
        "raw_rate": {name: round(statistics.median(one.raw[name].rate for one in rounds)) for name in MODELS},
        "medians": medians,
        "rounds": [one.document() for one in rounds],
    }


def _say(title: str, one: Round) -> None:
    raw = ", ".join(f"{name} {each.rate:,.0f}" for name, each in one.raw.items())
    print(f"{title}; raw {raw} a second")
    for name, seen in one.measures.items():
        times = f"cpu {seen.cpu_us:6.1f} us  p50 {seen.p50_us:8.0f}  p99 {seen.p99_us:8.0f} us"
        line = f"  {name:10} {seen.rate:9,.0f}/s  {times}"
        trouble = f"  FAILED {seen.failures}: {seen.reasons}" if seen.failures else ""
        print(f"{line}  load {seen.load_us:5.1f} us  others {seen.others:.2f}{trouble}", flush=True)


if __name__ == "__main__":
    main()
