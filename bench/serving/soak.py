"""Load and let go of versions for minutes under light load and watch the memory: ``python -m bench.serving.soak``.

Five hundred times a version of `mlp` is loaded, proved and made current, and the one before retired, while a few
callers check every answer against the release that it names. The server's resident memory must stay flat.
"""

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.serving.machine import LOAD_CORE, pin, resident_mib
from bench.serving.plot import curve
from bench.serving.server import Server, release_of
from onecode_common.errors import OnecodeError
from onecode_serving.client import OipClient

RELEASES = (1, 2, 3)
CALLERS = 4
PAUSE_S = 0.02
FLAT_MIB = 3.0
"""How much the last fifth may lie above the second: less than one of the models that came and went, times ten."""

_RESULTS = Path(__file__).parents[1]
_PLOT = Path(__file__).parents[2] / "docs" / "reference" / "soak.svg"


@dataclass
class Soak:
    """What was seen: minutes and MiB after each swap, answers, and what went wrong."""

    points: list[tuple[float, float]] = field(default_factory=list)
    answers: int = 0
    wrong: list[str] = field(default_factory=list)

    def growth_mib(self) -> float:
        """Return by how much the median of the last fifth lies above that of the second fifth."""
        sizes = [size for _, size in self.points]
        fifth = max(1, len(sizes) // 5)
        return statistics.median(sizes[-fifth:]) - statistics.median(sizes[fifth : 2 * fifth])


async def ask(client: OipClient, seen: Soak, stop: asyncio.Event) -> None:
    """Ask again and again, lightly, and check each answer."""
    rows = release_of("mlp", 1).rows()
    answers = {release: release_of("mlp", release).answers() for release in RELEASES}
    turn = 0
    while not stop.is_set():
        turn = (turn + 1) % len(rows)
        try:
            reply = await client.infer("mlp", {"x": rows[turn]}, unit="line-1")
            if reply.outputs["y"].tobytes() != answers[reply.release][turn][0]:
                seen.wrong.append(f"a wrong answer of release {reply.release}")
        except OnecodeError as error:
            seen.wrong.append(error.message)
        seen.answers += 1
        await asyncio.sleep(PAUSE_S)


async def soak(server: Server, swaps: int, minutes: float) -> Soak:
    """Swap at an even pace and print a line now and then."""
    seen, stop, begin = Soak(), asyncio.Event(), time.monotonic()
    async with OipClient(f"127.0.0.1:{server.port}", token=server.token) as client:
        callers = [asyncio.ensure_future(ask(client, seen, stop)) for _ in range(CALLERS)]
        for number in range(1, swaps + 1):
            release = RELEASES[number % len(RELEASES)]
            await asyncio.to_thread(server.order, "swap", model="mlp", release=release)
            seen.points.append(((time.monotonic() - begin) / 60, resident_mib(server.pid)))
            if number % max(1, swaps // 50) == 0:
                _say(number, swaps, seen)
            await asyncio.sleep(max(0.0, begin + minutes * 60 * number / swaps - time.monotonic()))
        stop.set()
        await asyncio.gather(*callers)
    return seen


def _say(number: int, swaps: int, seen: Soak) -> None:
    minutes, size = seen.points[-1]
    bar = "#" * round(size / 2)
    print(f"{minutes:5.1f} min  {number:4}/{swaps}  {size:6.1f} MiB  {seen.answers:7} answers  {bar}", flush=True)


def _keep(seen: Soak, growth: float) -> None:
    result = {
        "swaps": len(seen.points),
        "minutes": round(seen.points[-1][0], 1),
        "answers": seen.answers,
        "failed_or_wrong": len(seen.wrong),
        "first_mib": round(seen.points[0][1], 1),
        "last_mib": round(seen.points[-1][1], 1),
        "growth_mib": round(growth, 2),
    }
    (_RESULTS / "soak.json").write_text(json.dumps(result, indent=1) + "\n")
    title = f"resident memory of the server over {len(seen.points)} loads and unloads"
    _PLOT.write_text(curve(title, seen.points, "minutes", "MiB"))


def main(arguments: Sequence[str] | None = None) -> None:
    """Soak; exit with 1 if memory grew or an answer was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--swaps", type=int, default=500)
    parser.add_argument("--minutes", type=float, default=10.0)
    options = parser.parse_args(arguments)
    pin(LOAD_CORE)
    with Server({"mlp": len(RELEASES)}) as server:
        seen = asyncio.run(soak(server, options.swaps, options.minutes))
    growth = seen.growth_mib()
    _keep(seen, growth)
    print(f"{len(seen.points)} swaps, {seen.answers} answers, {len(seen.wrong)} wrong {seen.wrong[:3] or ''}")
    print(f"the last fifth lies {growth:+.2f} MiB above the second; allowed are {FLAT_MIB}")
    sys.exit(1 if growth > FLAT_MIB or seen.wrong else 0)


if __name__ == "__main__":
    main()
