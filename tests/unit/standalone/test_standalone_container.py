"""What `onecode up` does for a container: one page of metrics, logs on stdout, one notion of ready."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from onecode_standalone.echo import Echo
from onecode_standalone.platform_ops import _First, merged

PAGE = """# HELP onecode_turns_total Turns.
# TYPE onecode_turns_total counter
onecode_turns_total{loop="a"} 3.0
# HELP onecode_wait_seconds Waits.
# TYPE onecode_wait_seconds histogram
onecode_wait_seconds_bucket{le="1.0"} 1.0
onecode_wait_seconds_bucket{le="+Inf"} 2.0
onecode_wait_seconds_count 2.0
onecode_wait_seconds_sum 3.5
"""


class Fixed(Collector):
    def __init__(self, families: list[Metric]) -> None:
        self.families = families

    def collect(self) -> list[Metric]:
        return self.families


def test_pages_become_one_with_the_process_as_label() -> None:
    registry = CollectorRegistry()
    registry.register(Fixed(merged({"rollout": PAGE, "registry": PAGE})))
    text = generate_latest(registry).decode()
    assert 'onecode_turns_total{loop="a",process="registry"} 3.0' in text
    assert 'onecode_turns_total{loop="a",process="rollout"} 3.0' in text
    assert 'onecode_wait_seconds_bucket{le="+Inf",process="rollout"} 2.0' in text
    assert text.count("# TYPE onecode_turns_total counter") == 1
    assert text.count("# TYPE onecode_wait_seconds histogram") == 1


def platform(state: str, **children: str) -> Any:
    found = {name: SimpleNamespace(state=one) for name, one in children.items()}
    return SimpleNamespace(state=state, children=found)


def test_not_ready_before_everything_has_been_ready_once() -> None:
    assert _First(platform("starting", console="ready")).reason() == "starting"


def test_a_dead_training_does_not_take_predictions_away() -> None:
    supervisor = platform("ready", console="ready", training="ready")
    first = _First(supervisor)
    assert first.reason() is None
    supervisor.state, supervisor.children["training"].state = "degraded", "backoff"
    assert first.reason() is None
    supervisor.children["console"].state = "backoff"
    assert first.reason() == "none of console answers"


def test_not_ready_from_the_first_moment_of_stopping() -> None:
    supervisor = platform("ready", console="ready")
    first = _First(supervisor)
    assert first.reason() is None
    supervisor.state = "stopping"
    assert first.reason() == "stopping"


def test_whole_lines_are_echoed_once_behind_their_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "a.log"
    log.write_text("before\n")
    echo = Echo({"a": log, "b": tmp_path / "missing"})
    with log.open("a") as file:
        file.write("one\ntw")
    echo._turn()
    with log.open("a") as file:
        file.write("o\n")
    echo._turn()
    assert capsys.readouterr().out == "a: one\na: two\n"


def test_a_log_that_was_emptied_is_read_from_its_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "a.log"
    log.write_text("a long line of before\n")
    echo = Echo({"a": log})
    log.write_text("new\n")
    echo._turn()
    assert capsys.readouterr().out == "a: new\n"
