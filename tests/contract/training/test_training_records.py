"""Runs keep one promise on SQLite and on PostgreSQL, and what is carried on from them happens once."""

import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from onecode.events.v1 import events_pb2 as events
from onecode_common.database import Database
from onecode_common.errors import (
    ConflictError,
    ExhaustedError,
    InvalidError,
    NotFoundError,
    OnecodeError,
    UnavailableError,
)
from onecode_common.migrations import upgrade
from onecode_training.adapters.recipe_text import RecipeText
from onecode_training.adapters.records import SqlRecords
from onecode_training.adapters.tables import OUTBOX
from onecode_training.domain import run as states
from onecode_training.domain.job import Job
from onecode_training.domain.run import Point, Run, Trial
from onecode_training.domain.runlog import Entry
from onecode_training.domain.table import Column, Dataset
from onecode_training.ports import LogBatch, Ports, Registered
from onecode_training.usecases.attempts import Attempts, Where
from onecode_training.usecases.bell import Bell
from onecode_training.usecases.registration import Registration
from onecode_training.usecases.runs import Runs

P = "default"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
VERSION = "sha256:" + "1" * 64
RECIPE = "task: tabular-classification\ntarget: y"
RUN = Run("r_1", P, "sha256:b", states.QUEUED, VERSION, "{}", "泵", NOW, "key:1")
OUTCOME = (
    b'{"kind":"outcome","message":"proven","outcome":{"winner":2,"test_metrics":{"r2":0.5},'
    b'"parity":{"passed":true},"model_sha256":"aa","golden_sha256":"bb","family":"linear"}}\n'
)


@dataclass
class Time:
    """A clock that a test moves."""

    at: datetime = NOW

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()


@dataclass
class Outside:
    """Ingestion, registry, drivers and bus as a test wants them; raises what lies in ``failures``."""

    failures: dict[str, list[OnecodeError]] = field(default_factory=dict)
    calls: list[tuple[str, str]] = field(default_factory=list)
    spools: dict[tuple[str, int], bytes] = field(default_factory=dict)
    living: set[str] = field(default_factory=set)

    def _call(self, name: str, what: str) -> None:
        self.calls.append((name, what))
        waiting = self.failures.get(name)
        if waiting:
            raise waiting.pop(0)

    def count(self, name: str) -> int:
        return sum(call == name for call, _ in self.calls)

    def find(self, version_id: str) -> Dataset:
        self._call("find", version_id)
        columns = (Column("a", "float"), Column("y", "integer"))
        return Dataset(version_id, "t", 100, columns, "y", "", "", ())

    def hold(self, _version_id: str, holder: str) -> None:
        self._call("hold", holder)

    def release(self, _version_id: str, holder: str) -> None:
        self._call("release", holder)

    def put(self, hex_digest: str, _path: Path) -> None:
        self._call("put", hex_digest)

    def register(self, run: Run, _outcome: Mapping[str, Any], lineage: Mapping[str, str]) -> Registered:
        self._call("register", run.run_id)
        assert lineage["run_id"] == run.run_id
        return Registered("sha256:m", 7)

    def log(self, batch: LogBatch) -> None:
        self._call("log", f"{batch.run_id}/{batch.batch}")

    def start(self, job: Job) -> int:
        self._call("start", f"{job.run_id}/{job.attempt}")
        self.living.add(job.run_id)
        self.spools[job.run_id, job.attempt] = b""
        return 4711

    def alive(self, run_id: str) -> bool:
        return run_id in self.living

    def ask_to_stop(self, run_id: str, _driver: int) -> None:
        self._call("ask_to_stop", run_id)

    def clear(self, run_id: str, _driver: int) -> None:
        self.calls.append(("clear", run_id))
        self.living.discard(run_id)

    def read(self, run_id: str, attempt: int, offset: int) -> bytes:
        return self.spools.get((run_id, attempt), b"")[offset:]

    def file(self, _run_id: str, name: str) -> Path:
        return Path(name)

    def progress(self, run: Run, point: Point) -> None:
        self.calls.append(("progress", f"{run.run_id}/{point.sequence}"))


@dataclass
class Platform:
    """A service without its loops: a test turns them."""

    database: Database
    records: SqlRecords
    outside: Outside
    time: Time

    def __post_init__(self) -> None:
        ports = Ports(
            clock=self.time,
            records=self.records,
            recipes=RecipeText(),
            datasets=self.outside,
            registry=self.outside,
            drivers=self.outside,
            hints=self.outside,
        )
        bell = Bell()
        self.runs = Runs(ports, P, bell)
        self.attempts = Attempts(ports, Where("file:///data", "", 2, 1, "0.1.0"), bell)
        self.registration = Registration(ports, "0.1.0", bell)

    def begin(self, run_id: str = "r_1", model: str = "m") -> Run:
        return self.runs.start(P, run_id, VERSION, RECIPE, model, "key:1").run

    def state(self, run_id: str = "r_1") -> str:
        return self.runs.get(P, run_id).run.state

    def tell(self, line: bytes, run_id: str = "r_1", attempt: int = 1) -> None:
        self.outside.spools[run_id, attempt] += line

    def facts(self) -> list[events.Envelope]:
        with self.database.transaction() as connection:
            rows = connection.execute(select(OUTBOX.c.payload).order_by(OUTBOX.c.sequence)).all()
        return [events.Envelope.FromString(row.payload) for row in rows]

    def finished(self) -> list[tuple[str, str]]:
        ended = [each.run_finished for each in self.facts() if each.HasField("run_finished")]
        return [(fact.run_id, fact.state) for fact in ended]


@pytest.fixture
def platform(record_url: str) -> Iterator[Platform]:
    database = Database(record_url)
    upgrade(database, "onecode_training")
    upgrade(database, "onecode_training")
    time = Time()
    yield Platform(database, SqlRecords(database, time, P), Outside(), time)
    database.close()


def test_a_run_is_kept_whole_and_a_stale_writer_is_refused(platform: Platform) -> None:
    full = replace(RUN, test_metrics={"r2": 0.25}, parity={"passed": True}, started=NOW, best_score=0.5)
    with platform.records.transaction() as unit:
        unit.runs.add(full)
    with platform.records.transaction() as unit:
        assert unit.runs.get("r_1") == full
        assert unit.runs.get("r_2") is None
        saved = unit.runs.save(replace(full, state=states.RUNNING, held=True))
    with pytest.raises(ConflictError), platform.records.transaction() as unit:
        unit.runs.save(full)
    with pytest.raises(ConflictError), platform.records.transaction() as unit:
        unit.runs.add(RUN)
    with platform.records.transaction() as unit:
        assert unit.runs.get("r_1") == saved
        assert unit.runs.in_states([states.RUNNING]) == [saved]
        assert unit.runs.in_states([states.QUEUED]) == []


def test_trials_are_replaced_and_points_are_read_in_order(platform: Platform) -> None:
    with platform.records.transaction() as unit:
        for number in (3, 2):
            unit.runs.save_trial("r_1", Trial(number, "mlp"))
        unit.runs.save_trial("r_1", Trial(2, "mlp", state="done", score=0.5, reason="ü"))
        unit.runs.save_trial("r_2", Trial(2, "linear"))
        for sequence in (2, 1, 3):
            unit.runs.add_point("r_1", Point(sequence, NOW, "running", "search", 0.1, "读取"))
    with platform.records.transaction() as unit:
        assert [(trial.number, trial.state) for trial in unit.runs.trials("r_1")] == [(2, "done"), (3, "waiting")]
        assert [point.sequence for point in unit.runs.points("r_1", 1, 10)] == [2, 3]
        assert [point.sequence for point in unit.runs.points("r_1", 0, 1)] == [1]
        unit.runs.clear_trials("r_1")
        assert unit.runs.trials("r_1") == []
        assert len(unit.runs.trials("r_2")) == 1
    with pytest.raises(ConflictError), platform.records.transaction() as unit:
        unit.runs.add_point("r_1", Point(3, NOW, "running", "search", 0.1, "again"))


def test_log_batches_leave_in_order(platform: Platform) -> None:
    entry = Entry("running", {"seed": "7"}, {"tag": "x"}, (("loss", 0.5, 3),))
    with platform.records.transaction() as unit:
        unit.logs.add("r_1", 1, NOW.isoformat(), entry)
        unit.logs.add("r_1", 2, NOW.isoformat(), Entry("succeeded"))
    with platform.records.transaction() as unit:
        first, second = unit.logs.next(10)
        assert (first.batch, first.entry) == (1, entry)
        unit.logs.delete(first.sequence)
        assert unit.logs.next(10) == [second]


def test_pages_go_from_new_to_old_and_end(platform: Platform) -> None:
    for number in range(5):
        platform.begin(f"r_{number}")
    first, token = platform.runs.page(P, 3, "")
    rest, end = platform.runs.page(P, 3, token)
    assert [view.run.run_id for view in (*first, *rest)] == ["r_4", "r_3", "r_2", "r_1", "r_0"]
    assert end == ""


def test_two_starts_of_one_id_at_once_make_one_run(platform: Platform) -> None:
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _number: platform.begin().body, range(8)))
    assert len(set(found)) == 1
    assert len(platform.runs.page(P, 10, "")[0]) == 1
    with pytest.raises(ConflictError):
        platform.begin(model="other")


def test_a_run_goes_from_its_queue_to_one_version(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    assert platform.state() == states.RUNNING
    platform.tell(b'{"kind":"facts","metric":"r2","baseline_score":0.1}\n{"kind":"step","stage":"search","progr')
    platform.attempts.turn()
    platform.tell(b'ess":0.5,"message":"x"}\n' + OUTCOME)
    platform.attempts.turn()
    platform.outside.living.clear()
    platform.attempts.turn()
    assert platform.state() == states.RUNNING
    platform.registration.register_all()
    platform.registration.register_all()
    run = platform.runs.get(P, "r_1").run
    assert (run.state, run.model_digest, run.model_release) == (states.SUCCEEDED, "sha256:m", 7)
    assert (run.metric, run.baseline_score, run.winner) == ("r2", 0.1, 2)
    assert platform.outside.count("register") == 1
    assert platform.finished() == [("r_1", "succeeded")]


def test_a_registry_that_is_away_is_waited_for(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.tell(OUTCOME)
    platform.attempts.turn()
    platform.outside.failures = {"put": [UnavailableError("away")], "register": [UnavailableError("away")]}
    for _ in range(2):
        platform.registration.register_all()
        assert platform.state() == states.RUNNING
    platform.registration.register_all()
    assert platform.state() == states.SUCCEEDED
    assert platform.finished() == [("r_1", "succeeded")]


def test_a_refusal_of_the_registry_ends_the_run_with_its_code(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.tell(OUTCOME)
    platform.attempts.turn()
    platform.outside.failures = {"register": [InvalidError("no", code="contract.mismatch")]}
    platform.registration.register_all()
    run = platform.runs.get(P, "r_1").run
    assert (run.state, run.error_code) == (states.FAILED, "contract.mismatch")


def test_a_run_without_a_model_name_registers_nothing(platform: Platform) -> None:
    platform.begin(model="")
    platform.attempts.turn()
    platform.tell(OUTCOME)
    platform.attempts.turn()
    platform.registration.register_all()
    assert platform.state() == states.SUCCEEDED
    assert platform.outside.count("register") == platform.outside.count("put") == 0


def test_a_driver_that_is_gone_interrupts_its_run_and_its_last_words_are_heard(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.tell(
        b'{"kind":"trial","stage":"search","progress":0.4,"message":"t","trial":{"number":2,"family":"mlp"}}\n{"k'
    )
    platform.outside.living.clear()
    platform.attempts.turn()
    view = platform.runs.get(P, "r_1")
    assert (view.run.state, view.run.progress, len(view.trials)) == (states.INTERRUPTED, 0.4, 1)
    assert ("clear", "r_1") in platform.outside.calls
    platform.runs.resume(P, "r_1", "key:2")
    platform.attempts.turn()
    assert ("start", "r_1/2") in platform.outside.calls
    assert platform.runs.get(P, "r_1").trials == ()


def test_a_failure_that_was_told_before_the_driver_is_gone_is_still_a_failure(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.tell(b'{"kind":"failed","code":"data.infinite","message":"column a"}\n')
    platform.attempts.turn()
    assert platform.state() == states.RUNNING
    platform.outside.living.clear()
    platform.attempts.turn()
    run = platform.runs.get(P, "r_1").run
    assert (run.state, run.error_code, run.error) == (states.FAILED, "data.infinite", "column a")


def test_a_driver_that_does_not_stop_by_itself_is_ended(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.runs.stop(P, "r_1", "key:1")
    platform.attempts.turn()
    platform.attempts.turn()
    assert platform.outside.count("ask_to_stop") == 1
    assert platform.state() == states.STOPPING
    platform.time.at += timedelta(seconds=3)
    platform.attempts.turn()
    platform.attempts.turn()
    assert platform.state() == states.STOPPED
    assert platform.finished() == [("r_1", "stopped")]


def test_what_a_stopping_driver_finished_is_not_registered(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.runs.stop(P, "r_1", "key:1")
    platform.tell(OUTCOME)
    platform.outside.living.clear()
    platform.attempts.turn()
    platform.registration.register_all()
    assert platform.state() == states.STOPPED
    assert platform.outside.count("register") == 0


def test_only_so_many_runs_work_at_a_time_and_the_oldest_is_next(platform: Platform) -> None:
    for number in range(3):
        platform.begin(f"r_{number}")
    platform.attempts.turn()
    platform.attempts.turn()
    assert [platform.state(f"r_{number}") for number in range(3)] == [states.RUNNING, states.QUEUED, states.QUEUED]
    platform.outside.living.clear()
    platform.attempts.turn()
    platform.attempts.turn()
    assert [platform.state(f"r_{number}") for number in range(3)] == [states.INTERRUPTED, states.RUNNING, states.QUEUED]


def test_a_run_waits_for_ingestion_and_fails_without_its_data(platform: Platform) -> None:
    platform.begin()
    platform.outside.failures = {"hold": [UnavailableError("away"), NotFoundError("gone")]}
    platform.attempts.turn()
    assert platform.state() == states.QUEUED
    platform.attempts.turn()
    run = platform.runs.get(P, "r_1").run
    assert (run.state, run.error_code) == (states.FAILED, "dataset.missing")
    assert platform.outside.count("start") == 0


def test_data_is_let_go_when_nothing_will_be_done_with_it(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.outside.living.clear()
    platform.attempts.turn()
    platform.registration.release_all()
    assert platform.outside.count("release") == 0
    platform.runs.resume(P, "r_1", "key:1")
    platform.runs.stop(P, "r_1", "key:1")
    platform.attempts.turn()
    platform.outside.failures = {"release": [UnavailableError("away")]}
    platform.registration.release_all()
    platform.registration.release_all()
    platform.registration.release_all()
    assert platform.outside.count("release") == 2


def test_a_log_batch_that_can_never_be_taken_does_not_keep_the_others(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.outside.living.clear()
    platform.attempts.turn()
    platform.outside.failures = {"log": [UnavailableError("away"), InvalidError("bad")]}
    platform.registration.send_logs()
    platform.registration.send_logs()
    platform.registration.send_logs()
    sent = [what for name, what in platform.outside.calls if name == "log"]
    assert sent == ["r_1/1", "r_1/1", "r_1/2"]


def test_an_ending_service_ends_its_drivers(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    platform.attempts.interrupt_all()
    assert platform.state() == states.INTERRUPTED
    assert platform.outside.living == set()


def test_a_watcher_sees_every_point_once_and_the_end(platform: Platform) -> None:
    platform.begin()
    platform.attempts.turn()
    for number in range(3):
        platform.tell(b'{"kind":"step","stage":"search","progress":0.%d,"message":"s"}\n' % number)
    platform.attempts.turn()
    watched = platform.runs.watch(P, "r_1", 1, lambda: True)
    first = next(watched)
    assert first.point is not None
    assert first.point.sequence == 2
    platform.outside.living.clear()
    ending = threading.Thread(target=platform.attempts.turn)
    ending.start()
    rest = list(watched)
    ending.join()
    sequences = [seen.point.sequence for seen in rest if seen.point is not None]
    assert sequences == list(range(3, 3 + len(sequences)))
    assert rest[-1].view is not None
    assert rest[-1].view.run.state == states.INTERRUPTED
    assert list(platform.runs.watch(P, "r_1", 0, lambda: False)) == []


def test_the_thirteenth_watcher_is_told_so(platform: Platform) -> None:
    platform.begin()
    watchers = [platform.runs.watch(P, "r_1", 0, lambda: True) for _ in range(13)]
    for watcher in watchers[:12]:
        next(watcher)
    with pytest.raises(ExhaustedError) as caught:
        next(watchers[12])
    assert caught.value.code == "watch.limit"
    watchers[0].close()
    assert next(platform.runs.watch(P, "r_1", 0, lambda: True)).point is not None
    for watcher in watchers[1:12]:
        watcher.close()


def test_who_moved_a_run_is_written_down(platform: Platform) -> None:
    platform.begin()
    platform.runs.stop(P, "r_1", "key:2")
    platform.runs.stop(P, "r_1", "key:3")
    platform.attempts.turn()
    told = [each.audit_recorded for each in platform.facts() if each.HasField("audit_recorded")]
    assert [(each.principal, each.action) for each in told] == [
        ("key:1", "run.start"),
        ("key:2", "run.stop"),
        ("service:training", "run.stopped"),
    ]
