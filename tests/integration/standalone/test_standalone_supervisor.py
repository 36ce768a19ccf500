"""The supervisor keeps its word about the processes it starts."""

import os
import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onecode_common.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from onecode_standalone.control import ask
from onecode_standalone.home import Home
from onecode_standalone.proc import runs

Start = Callable[..., Any]
THREE = {"bus": {}, "first": {"needs": ["bus"]}, "second": {"needs": ["first"], "mode": "grandchildren"}}


def test_everything_becomes_ready_and_nothing_is_left_after_sigterm(stand_in: Start) -> None:
    platform = stand_in(THREE)
    platform.wait_ready()
    pids = platform.pids()
    assert len(pids) == 5
    assert platform.terminate() == 0
    assert [pid for pid in pids if runs(pid)] == []
    assert platform.pids() == set()


def test_a_killed_supervisor_takes_all_of_it_along(stand_in: Start) -> None:
    """Also grandchildren that lead a session, and those whose environment says nothing."""
    platform = stand_in(THREE)
    platform.wait_ready()
    pids = platform.pids()
    assert len(pids) == 5
    platform.popen.kill()
    platform.popen.wait(10)
    platform.wait(lambda: not any(runs(pid) for pid in pids), "all processes to end")


def test_a_process_that_dies_is_started_again(stand_in: Start) -> None:
    platform = stand_in(THREE)
    platform.wait_ready()
    before = platform.entry("first")
    os.kill(before["pid"], signal.SIGKILL)
    platform.wait(lambda: platform.entry("first")["pid"] not in (None, before["pid"]), "another process")
    platform.wait_ready()
    after = platform.entry("first")
    assert after["restarts"] == before["restarts"] + 1
    assert after["last_exit"] == "killed by SIGKILL"


def test_a_process_waits_for_what_it_needs(stand_in: Start) -> None:
    platform = stand_in({"never": {"mode": "never"}, "after": {"needs": ["never"]}})
    platform.wait((platform.home / "control.sock").exists, "the control socket")
    platform.wait_state("never", "starting")
    platform.wait(lambda: platform.entry("never")["reason"] == "not today", "the reason")
    assert platform.entry("after")["state"] == "waiting"
    assert platform.status()["state"] == "starting"


def test_what_was_stopped_on_purpose_stays_stopped(stand_in: Start) -> None:
    platform = stand_in(THREE)
    platform.wait_ready()
    second = platform.pids() - {platform.entry(name)["pid"] for name in ("bus", "first")}
    ask(platform.home / "control.sock", "stop", "second")
    assert not any(runs(pid) for pid in second), "its grandchildren end with it"
    ask(platform.home / "control.sock", "restart", "first")
    platform.wait_state("first", "ready")
    assert platform.entry("second")["state"] == "held"
    assert platform.status()["ready"], "what is held is not wanted"
    ask(platform.home / "control.sock", "start", "second")
    platform.wait_state("second", "ready")


def test_a_process_that_does_not_listen_is_killed(stand_in: Start) -> None:
    platform = stand_in({"deaf": {"mode": "deaf"}})
    platform.wait_ready()
    ask(platform.home / "control.sock", "stop", "deaf")
    assert platform.entry("deaf")["last_exit"] == "killed by SIGKILL"


def test_a_process_that_cannot_start_says_why_and_is_tried_again(stand_in: Start) -> None:
    platform = stand_in({"ill": {"mode": "dies"}})
    platform.wait((platform.home / "control.sock").exists, "the control socket")
    platform.wait(lambda: platform.entry("ill")["restarts"] >= 2, "two deaths")
    assert platform.entry("ill")["last_exit"] == "exit status 3"
    platform.terminate()
    assert "| I cannot work like this" in platform.popen.stdout.read()
    assert "I cannot work like this" in (platform.home / "logs" / "ill.log").read_text()


def test_a_second_supervisor_on_the_same_home_is_told_who_runs(stand_in: Start, tmp_path: Path) -> None:
    platform = stand_in({"bus": {}}, tmp_path / "home")
    platform.wait_ready()
    with pytest.raises(ConflictError, match=str(platform.popen.pid)):
        Home(tmp_path / "home").lock()
    other = stand_in({"bus": {}}, tmp_path / "home")
    assert other.popen.wait(30) != 0
    assert "is running on" in other.popen.stdout.read()
    assert platform.status()["ready"]


def test_only_the_owner_may_open_the_control_socket(stand_in: Start) -> None:
    platform = stand_in({"bus": {}})
    platform.wait_ready()
    assert stat.S_IMODE((platform.home / "control.sock").stat().st_mode) == 0o600
    assert stat.S_IMODE(platform.home.stat().st_mode) == 0o700


def test_nonsense_on_the_control_socket_is_refused_by_type(stand_in: Start) -> None:
    platform = stand_in({"bus": {}})
    platform.wait_ready()
    with pytest.raises(NotFoundError, match="known are bus"):
        ask(platform.home / "control.sock", "stop", "buss")
    with pytest.raises(InvalidError, match="unknown operation"):
        ask(platform.home / "control.sock", "explode")
    assert platform.status()["ready"]


def test_a_home_deeper_than_a_socket_name_works(stand_in: Start, tmp_path: Path) -> None:
    platform = stand_in({"bus": {}}, tmp_path / ("deep" * 25) / "home")
    platform.wait_ready()
    ask(platform.home / "control.sock", "shutdown")
    assert platform.popen.wait(30) == 0


def test_a_keeper_that_was_killed_is_replaced_before_it_is_needed(stand_in: Start) -> None:
    platform = stand_in({"second": {"mode": "grandchildren"}})
    platform.wait_ready()
    keeper = platform.wait(lambda: keeper_of(platform.popen.pid, platform.home), "the keeper")
    os.kill(keeper, signal.SIGKILL)
    platform.wait(lambda: keeper_of(platform.popen.pid, platform.home) not in (None, keeper), "another keeper")
    pids = platform.pids()
    platform.popen.kill()
    platform.popen.wait(10)
    platform.wait(lambda: not any(runs(pid) for pid in pids), "all processes to end")


def test_nothing_answers_where_nothing_runs(tmp_path: Path) -> None:
    with pytest.raises(PreconditionError, match="nothing runs"):
        ask(tmp_path / "control.sock", "status")


def keeper_of(supervisor: int, home: Path) -> int | None:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                arguments = (entry / "cmdline").read_bytes().split(b"\0")
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            if b"onecode_standalone.keeper" in arguments and parent == supervisor and os.fsencode(home) in arguments:
                return int(entry.name)
    return None
