"""Listeners hear facts as they happen, go on where they were, and are told when something is lost."""

import json
from collections.abc import Iterator
from typing import Any

import httpx2

from onecode_console.streams import MOST


def events(lines: Iterator[str]) -> Iterator[dict[str, str]]:
    """Yield the events of a stream; comments are left out."""
    one: dict[str, str] = {}
    for line in lines:
        if not line and one:
            yield one
            one = {}
        elif line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            if name != "retry":
                one[name] = value


def opened(answer: httpx2.Response) -> Iterator[str]:
    """Return the lines of a stream after it has begun."""
    lines = answer.iter_lines()
    assert any(line.startswith(": connected") for line in lines)
    return lines


def first(lines: Any) -> dict[str, str]:
    return next(events(lines))


def test_a_listener_hears_only_its_topics(stand: Any) -> None:
    streams = stand.service.streams
    with stand.program() as program, program.stream("GET", "/api/v1/events?topics=run:r_1,rollout:*") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert answer.headers["x-accel-buffering"] == "no"
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        assert next(lines) == ": connected"
        streams.tell("run:r_2", "run_progress", {"progress": 0.1})
        streams.tell("model:m", "alias_changed", {})
        streams.tell("rollout:r_9", "rollout_changed", {"state": "paused"})
        told = [line for line in (next(lines) for _ in range(4)) if line]
    assert told[1] == "event: rollout_changed"
    assert json.loads(told[2].removeprefix("data: ")) == {"topic": "rollout:r_9", "state": "paused"}


def test_a_listener_that_comes_back_hears_what_it_missed(stand: Any) -> None:
    streams = stand.service.streams
    streams.tell("run:r_1", "run_progress", {"sequence": 1})
    with stand.program() as program:
        with program.stream("GET", "/api/v1/events?after=0") as answer:
            assert first(opened(answer))["event"] == "reset"
        with program.stream("GET", "/api/v1/events?topics=run:r_1") as answer:
            lines = opened(answer)
            streams.tell("run:r_1", "run_progress", {"sequence": 2})
            place = first(lines)["id"]
        streams.tell("run:r_1", "run_progress", {"sequence": 3})
        for ask in ({"headers": {"last-event-id": place}}, {"params": {"after": place}}):
            with program.stream("GET", "/api/v1/events", **ask) as answer:
                heard = first(opened(answer))
                assert json.loads(heard["data"])["sequence"] == 3
                assert int(heard["id"]) == int(place) + 1


def test_after_a_loss_every_listener_is_told_to_look_again(stand: Any) -> None:
    with stand.program() as program, program.stream("GET", "/api/v1/events?topics=run:none") as answer:
        lines = opened(answer)
        stand.service.streams.forget()
        assert first(lines)["event"] == "reset"


def test_the_progress_of_a_run_is_followed_to_its_end(stand: Any, plant: Any) -> None:
    plant.run_goes_on.set()
    with stand.program() as program, program.stream("GET", "/api/v1/runs/r_now/progress?after=1") as answer:
        heard = list(events(answer.iter_lines()))
    assert [one["event"] for one in heard] == ["progress", "progress", "run", "end"]
    assert [one.get("id") for one in heard] == ["2", "3", None, None]
    assert json.loads(heard[2]["data"])["state"] == "RUN_STATE_SUCCEEDED"
    assert plant.last("WatchRun").after_sequence == 1


def test_a_listener_that_leaves_frees_its_place(stand: Any) -> None:
    streams = stand.service.streams
    with stand.program() as program:
        for _ in range(MOST + 8):
            with program.stream("GET", "/api/v1/events") as answer:
                assert answer.status_code == 200
                opened(answer)
    # The server notices a closed line when it next writes to it.
    streams.tell("run:r", "run_progress", {})
    with stand.program() as program, program.stream("GET", "/api/v1/events") as answer:
        assert answer.status_code == 200
