"""Reports wait until they are acknowledged, in numbers that never repeat."""

import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from onecode.edge.v1 import edge_pb2
from onecode_common.errors import UnavailableError
from onecode_inference.adapters.sequences import SequenceFile
from onecode_inference.outbox import ACTION, COUNTERS, RESEND_S, STATUS, Outbox
from onecode_inference.reporter import Reporter, Voice
from onecode_inference.state import ModelState, StateFile
from onecode_serving.counters import CounterKey, Counters

KEY = CounterKey("m", "r_1", 1, "sha256:" + "1" * 64, "stable")
RUNNING = threading.Event()


class Hand:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 1_700_000_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.time, UTC)

    def monotonic(self) -> float:
        return self.time


class Broker:
    """Takes reports, or is gone."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, int, int]] = []
        self.reports: list[edge_pb2.Report] = []
        self.gone = False

    def send(self, kind: str, sequence: int, attempt: int, payload: bytes) -> None:
        if self.gone:
            message = "gone"
            raise UnavailableError(message)
        self.taken.append((kind, sequence, attempt))
        self.reports.append(edge_pb2.Report.FromString(payload))


@pytest.fixture
def clock() -> Hand:
    return Hand()


@pytest.fixture
def broker() -> Broker:
    return Broker()


@pytest.fixture
def counters() -> Counters:
    return Counters(60)


@pytest.fixture
def reporter(tmp_path: Path, clock: Hand, broker: Broker, counters: Counters) -> Reporter:
    voice = Voice("cloud", "boot", broker, SequenceFile(tmp_path / "sequence", clock))
    return Reporter(voice, counters, edge_pb2.Status, clock)


def kinds(broker: Broker) -> list[str]:
    return [kind for kind, _, _ in broker.taken]


def test_an_action_is_sent_again_until_it_is_acknowledged(reporter: Reporter, broker: Broker, clock: Hand) -> None:
    reporter.tell(edge_pb2.Action(model="m", state="staged"))
    reporter.turn(RUNNING)
    clock.time += RESEND_S - 1
    reporter.turn(RUNNING)
    assert kinds(broker).count(ACTION) == 1
    clock.time += 1
    reporter.turn(RUNNING)
    sent = [entry for entry in broker.taken if entry[0] == ACTION]
    assert [attempt for _, _, attempt in sent] == [0, 1]
    assert len({sequence for _, sequence, _ in sent}) == 1
    reporter.acknowledge([sent[0][1], 12345])
    clock.time += RESEND_S
    reporter.turn(RUNNING)
    assert kinds(broker).count(ACTION) == 2


def test_a_broker_that_is_gone_loses_nothing_and_is_asked_in_order(
    reporter: Reporter, broker: Broker, clock: Hand
) -> None:
    broker.gone = True
    for state in ("verified", "staged", "committed"):
        reporter.tell(edge_pb2.Action(model="m", state=state))
        reporter.turn(RUNNING)
        clock.time += 60
    broker.gone = False
    reporter.turn(RUNNING)
    assert [report.action.state for report in broker.reports if report.HasField("action")] == [
        "verified",
        "staged",
        "committed",
    ]


def test_the_newest_totals_replace_older_ones_that_wait(
    reporter: Reporter, broker: Broker, counters: Counters, clock: Hand
) -> None:
    broker.gone = True
    for _ in range(3):
        counters.record(KEY, clock.time, 0.001)
        reporter.collect()
    broker.gone = False
    reporter.turn(RUNNING)
    told = [report for report in broker.reports if report.HasField("counters")]
    assert [row.requests for report in told for row in report.counters.counters] == [3]


def test_totals_that_arrived_late_are_settled_all_the_same(
    reporter: Reporter, broker: Broker, counters: Counters, clock: Hand
) -> None:
    counters.record(KEY, clock.time, 0.001)
    reporter.turn(RUNNING)
    first = next(sequence for kind, sequence, _ in broker.taken if kind == COUNTERS)
    counters.record(KEY, clock.time, 0.001)
    reporter.collect()
    reporter.acknowledge([first])
    reporter.turn(RUNNING)
    assert [row.requests for row in counters.take(clock.time)] == [2]


def test_totals_that_did_not_change_are_not_told_under_a_new_number(
    reporter: Reporter, broker: Broker, counters: Counters, clock: Hand
) -> None:
    counters.record(KEY, clock.time, 0.001)
    for _ in range(3):
        reporter.collect()
        reporter.turn(RUNNING)
    assert kinds(broker).count(COUNTERS) == 1


def test_many_rows_are_cut_into_messages_that_the_broker_takes(
    reporter: Reporter, broker: Broker, counters: Counters, clock: Hand
) -> None:
    for number in range(1000):
        for _ in range(40):
            counters.record(KEY._replace(model=f"{number:063}", rollout="r" * 18), clock.time, number / 100)
    reporter.turn(RUNNING)
    told = [report for report in broker.reports if report.HasField("counters")]
    assert sum(len(report.counters.counters) for report in told) == 1000
    assert max(report.ByteSize() for report in told) < 60_000


def test_a_shorter_period_begins_at_once(reporter: Reporter, broker: Broker, clock: Hand) -> None:
    reporter.turn(RUNNING)
    reporter.set_period(1.0)
    clock.time += 1
    reporter.turn(RUNNING)
    assert kinds(broker).count(STATUS) == 2


def test_actions_beyond_the_limit_push_out_the_oldest() -> None:
    outbox = Outbox()
    for number in range(10_001):
        outbox.put(ACTION, edge_pb2.Report(sequence=number))
    assert len(outbox) == 10_000
    assert outbox.due(0)[0].report.sequence == 1


def test_numbers_grow_over_restarts_whatever_the_clock_does(tmp_path: Path, clock: Hand) -> None:
    seen: list[int] = []
    for step in (0.0, -86_400.0, -1e9, 5.0, 0.0):
        clock.time += step
        sequences = SequenceFile(tmp_path / "sequence", clock)
        seen += [sequences.next() for _ in range(3)]
    assert seen == sorted(set(seen))


def test_numbers_grow_over_a_lost_or_damaged_file(tmp_path: Path, clock: Hand) -> None:
    first = SequenceFile(tmp_path / "sequence", clock).next()
    (tmp_path / "sequence").write_bytes(b"\xff nonsense")
    clock.time += 1
    assert SequenceFile(tmp_path / "sequence", clock).next() > first


def test_a_folder_that_takes_no_files_does_not_stop_the_numbers(tmp_path: Path, clock: Hand) -> None:
    sequences = SequenceFile(tmp_path / "missing" / "sequence", clock)
    assert sequences.next() < sequences.next()


def test_what_was_found_bad_is_remembered(tmp_path: Path) -> None:
    state = ModelState(committed="sha256:a", release=3)
    state.ban("sha256:b", "rejected", "golden")
    StateFile(tmp_path / "state.json").save({"m": state})
    assert StateFile(tmp_path / "state.json").load() == {"m": state}


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"schema": 2}', b'{"schema": 1, "models": {"m": {"x": 1}}}', b"\xff"]
)
def test_a_state_that_cannot_be_read_is_an_empty_one(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "state.json").write_bytes(content)
    assert StateFile(tmp_path / "state.json").load() == {}


def test_versions_that_failed_are_forgotten_after_very_many() -> None:
    state = ModelState()
    for number in range(300):
        state.ban(f"d{number}", "rejected", "load")
    assert (len(state.banned), "d299" in state.banned, "d0" in state.banned) == (200, True, False)
