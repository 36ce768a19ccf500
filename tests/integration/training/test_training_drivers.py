"""Drivers are found again and ended by what they hold and carry, not by a number that somebody remembered."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from onecode_training.adapters.driver_processes import DriverProcesses
from onecode_training.domain.job import Job, spool_file
from onecode_training.domain.table import Column, Dataset

DATASET = Dataset("sha256:v", "t", 100, (Column("a", "float"), Column("y", "integer")), "y", "", "", ())


def job(attempt: int = 1) -> Job:
    return Job("r_1", attempt, '{"task":"tabular-classification"}', DATASET, "file:///nowhere", "", 1)


@pytest.fixture
def drivers(tmp_path: Path) -> Iterator[DriverProcesses]:
    found = DriverProcesses(tmp_path, tmp_path / "token")
    yield found
    found.clear("r_1", 0)


def halted(drivers: DriverProcesses, attempt: int = 1) -> int:
    """Start a driver that does nothing any more."""
    driver = drivers.start(job(attempt))
    os.kill(driver, signal.SIGSTOP)
    # A process that has just become another program has no environment yet; it stops when it has.
    while Path(f"/proc/{driver}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "T":
        os.sched_yield()
    return driver


def test_a_driver_is_alive_as_long_as_it_holds_its_lock_whoever_looks(drivers: DriverProcesses, tmp_path: Path) -> None:
    assert not drivers.alive("r_1")
    driver = halted(drivers)
    other = DriverProcesses(tmp_path, tmp_path / "token")
    assert drivers.alive("r_1")
    assert other.alive("r_1")
    os.kill(driver, signal.SIGKILL)
    os.waitpid(driver, 0)
    assert not other.alive("r_1")


def test_a_driver_that_nobody_remembers_is_ended_before_the_next_one_starts(drivers: DriverProcesses) -> None:
    forgotten = halted(drivers)
    following = halted(drivers, attempt=2)
    assert not Path(f"/proc/{forgotten}").exists()
    assert drivers.alive("r_1")
    drivers.clear("r_1", following)
    assert not drivers.alive("r_1")


def test_a_number_that_was_given_to_somebody_else_is_left_alone(drivers: DriverProcesses) -> None:
    drivers.clear("r_1", os.getpid())
    drivers.ask_to_stop("r_1", os.getpid())
    drivers.clear("r_1", os.getsid(0))


def test_a_driver_gets_no_key_and_no_address_of_its_service(
    drivers: DriverProcesses, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ONECODE_TRAINING_KEY_FILE", "/keys/training.key")
    driver = halted(drivers)
    names = {each.partition(b"=")[0] for each in Path(f"/proc/{driver}/environ").read_bytes().split(b"\0")}
    assert not [name for name in names if name.startswith(b"ONECODE_TRAINING_")]
    assert {b"RAY_AUTH_MODE", b"RAY_AUTH_TOKEN_PATH"} <= names


def test_a_spool_is_read_from_where_the_reader_was(drivers: DriverProcesses, tmp_path: Path) -> None:
    assert drivers.read("r_1", 1, 0) == b""
    folder = tmp_path / "runs" / "r_1"
    folder.mkdir()
    (folder / spool_file(1)).write_bytes(b"one\ntwo\n")
    assert drivers.read("r_1", 1, 4) == b"two\n"
    assert drivers.file("r_1", "model.onnx") == folder / "model.onnx"
