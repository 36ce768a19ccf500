"""Versions change, the server ends, too much is asked, callers go away: every request has its one right end."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
import serving_models as make
from change_caller import SHORT, RawCaller
from change_callers import BEFORE_END, CALLERS
from inference_world import Distribution, Inference, arm, entry, eventually

from bench.serving.load import drive
from bench.serving.overload import flood
from bench.serving.scenes import LAST, REQUESTS, SWAPS, job_for, swap_under_load
from bench.serving.server import Server
from bench.serving.workers import Workers

TOO_MUCH = {"dear": 30_000.0, "slow": 1_500.0}
"""Calls a second that no machine answers: a run takes a tenth of a millisecond, and four on one of few cores."""

FEW_S = 0.5
DEADLINE_MS = 50
NO_BROKER = 1


@pytest.fixture(scope="module")
def workers() -> Iterator[Workers]:
    """Return processes that ask, so that the test's own work does not hold them up."""
    with Workers() as made:
        yield made


def test_a_hundred_thousand_requests_over_fifty_swaps_all_get_the_answer_of_a_current_version(
    workers: Workers,
) -> None:
    with Server({"mlp": LAST}) as server:
        seen = swap_under_load(workers, server, 0.05)
    assert (seen.failed, seen.wrong, seen.swaps) == (0, 0, SWAPS)
    assert seen.answers >= REQUESTS


@pytest.mark.parametrize("model", ["dear", "slow"])
def test_beyond_the_capacity_every_call_has_one_end_and_no_row_runs_for_nobody(workers: Workers, model: str) -> None:
    """A tenth of a millisecond a row runs on the loop, four milliseconds in a thread."""
    with Server({model: 1}) as server:
        job = job_for(server, model, 32, FEW_S)
        before = server.order("statistics", model=model)
        seen = workers.load(flood, job, TOO_MUCH[model], DEADLINE_MS)
        after = server.order("statistics", model=model)
    assert (seen.other, seen.reasons) == (0, [])
    assert seen.sent == seen.answered + seen.refused + seen.expired
    assert seen.answered > 0
    assert seen.refused + seen.expired > 0
    # A row that ran was answered, unless its deadline passed meanwhile.
    assert after["rows"] - before["rows"] == seen.answered + seen.late


def test_a_cheap_model_is_answered_between_the_runs_of_a_dear_one_that_is_flooded(workers: Workers) -> None:
    with Server({"mlp": 1, "slow": 1}) as server:
        cheap, dear = (job_for(server, model, 4, FEW_S) for model in ("mlp", "slow"))
        flooding = workers.beside(flood, dear, TOO_MUCH["slow"], 10 * DEADLINE_MS)
        points = [server.order("statistics", model="slow")]
        seen = [workers.load(drive, cheap)]
        while not flooding.done():
            points.append(server.order("statistics", model="slow"))
            seen.append(workers.load(drive, cheap))
        flooded = flooding.result()
    assert [each.reasons for each in seen] == [[]] * len(seen)
    assert flooded.refused + flooded.expired > 0
    assert flooded.other == 0
    runs = points[-1]["runs"] - points[0]["runs"]
    # All of these were asked and answered while the dear model's queue was full: many for each of its runs.
    assert sum(each.answers for each in seen[:-1]) > runs > 0


def test_what_expires_while_it_waits_does_not_run() -> None:
    with Server({"slow": 1}) as server, closing(RawCaller(job_for(server, "slow", 1, FEW_S), "slow")) as caller:
        # Five times as long in the model as the others have.
        first = caller.call(rows=64)
        late = [caller.call(timeout=SHORT) for _ in range(40)]
        last = caller.call()
        caller.send()
        for kind, numbers in (("refusal", late), ("answer", [first, last])):
            for number in numbers:
                caller.until(kind, number)
        rows = server.order("statistics", model="slow")["rows"]
    assert rows == 64 + 1
    assert len(caller.heard) == 42


def _after_order(server: Server, leave: str) -> tuple[int, list[str]]:
    """Return the rows that ran of calls of which most were cancelled while the first was in the model."""
    job = job_for(server, "slow", 1, FEW_S)
    with closing(RawCaller(job, "slow")) as caller:
        before = server.order("statistics", model="slow")["rows"]
        first = caller.call(rows=64)
        caller.send()
        if leave == "calls":
            given_up = [caller.call() for _ in range(40)]
        else:
            given_up = [caller.stream(messages=20) for _ in range(2)]
        caller.reset(given_up)
        seen = caller.ping()
        last = caller.call()
        caller.send()
        for kind, number in (("ping", seen), ("answer", first), ("answer", last)):
            caller.until(kind, number)
        rows = server.order("statistics", model="slow")["rows"] - before
        return int(rows), [kind for kind, _ in caller.heard]


@pytest.mark.parametrize("leave", ["calls", "streams"])
def test_rows_of_callers_who_went_away_do_not_run(leave: str) -> None:
    with Server({"slow": 1}) as server:
        for _ in range(5):
            rows, order = _after_order(server, leave)
            # Where the server had seen the resets before the first run ended, nothing of them can have begun.
            if order == ["ping", "answer", "answer"]:
                break
    assert order == ["ping", "answer", "answer"]
    assert rows == 64 + 1


@contextmanager
def _inference(folder: Path) -> Iterator[Inference]:
    """Run the cloud's own program with one model."""
    built = make.built("m", 1, make.plus(1))
    distribution = Distribution()
    distribution.add(built)
    distribution.publish(1, entry(1, arm(0, 10_000, built, "stable")))
    distribution.start()
    (folder / "root.json").write_bytes(distribution.root)
    server = Inference(folder / "home", distribution, NO_BROKER, NATS_URL="")
    server.start()
    try:
        eventually(server.ready, "it is not ready")
        yield server
    finally:
        server.stop(kill=True)
        distribution.stop()
        # Shown by pytest where the test failed.
        print((folder / "log").read_text())  # noqa: T201


@contextmanager
def _asking(address: str) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Run the callers of both clients."""
    program = Path(__file__).with_name("change_callers.py")
    commands = [[sys.executable, program, kind, address] for kind in ("fast", "stock")]
    with ExitStack() as stack:
        callers = [stack.enter_context(subprocess.Popen(command, stdout=subprocess.PIPE)) for command in commands]
        for one in callers:
            stack.callback(one.kill)
        yield callers


def test_a_server_that_is_told_to_end_under_load_answers_all_that_it_took(tmp_path: Path) -> None:
    with _inference(tmp_path) as server, _asking(f"127.0.0.1:{server.rest}") as callers:
        for one in callers:
            assert one.stdout is not None
            assert one.stdout.readline() == b"warm\n"
        status = server.stop()
        ends = [json.loads(one.communicate(timeout=60)[0]) for one in callers]
    assert status == 0
    assert [end["lost"] for end in ends] == [[], []]
    assert all(end["answered"] >= CALLERS * BEFORE_END for end in ends)
    assert [one.returncode for one in callers] == [0, 0]
