"""Every report arrives, each one once, whatever is cut; totals that come again replace and never add."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_bench import HandClock
from edge_world import World

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.errors import UnavailableError
from onecode_edge.adapters.database import Database
from onecode_edge.adapters.identity import IdentityStore
from onecode_edge.adapters.outbox import Outbox
from onecode_edge.adapters.server import Credential, Server, ServerClock
from onecode_edge.reporting import Reporter, Subjects

DIGEST = "sha256:" + "a" * 64
STOPPING = threading.Event()


def counter(requests: int, start: int = 60, errors: int = 0, digest: str = DIGEST) -> pb.Counter:
    histogram = pb.LatencyHistogram(counts=[requests, 0])
    return pb.Counter(
        model="shuttle", rollout="r_1", revision=1, digest=digest, role="stable", interval_start=start,
        interval_seconds=60, requests=requests, errors=errors, latency=histogram,
    )  # fmt: skip


class PretendedBus:
    """A bus whose line is cut by hand."""

    def __init__(self) -> None:
        self.connected = True
        self.sent: list[tuple[str, pb.Report, str]] = []
        self.breaks_after = 1 << 30

    def publish_durable(self, subject: str, payload: bytes, message_id: str) -> None:
        if len(self.sent) >= self.breaks_after:
            message = "cut"
            raise UnavailableError(message)
        self.sent.append((subject, pb.Report.FromString(payload), message_id))


class Office:
    """An outbox with its reporter, a cloud, and a clock."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.clock = HandClock()
        self.folder = folder
        self.bus = PretendedBus()
        self.collected: list[tuple[list[pb.Counter], str]] = []
        folder.mkdir()
        identities = IdentityStore(folder / "identity")
        self.server = Server(world.cloud.url, ServerClock(_Now()))
        enrolment, root = self.server.enrol("oce_test", identities.candidate_key())
        identities.adopt(enrolment, root)
        identity = identities.load("")
        assert identity is not None
        self.credential = Credential(self.server, identity, self.clock)
        self.open()

    def open(self, bus: Any = "its own") -> None:
        self.database = Database(self.folder / "state.db", self.folder / "sequence")
        self.outbox = Outbox(self.database, "gw-1", "boot")
        self.reporter = Reporter(
            self.outbox,
            self.server,
            self.credential,
            self.bus if bus == "its own" else bus,  # type: ignore[arg-type]
            Subjects("default", "gw-1", "line-1"),
            self.clock,
            self.collect,
            lambda: pb.Status(generation=1),
            lambda: 30.0,
        )

    def collect(self) -> None:
        for counters, instance in self.collected:
            self.outbox.add_counters(counters, instance)
        self.collected.clear()

    def turn(self, seconds: float = 0.0) -> None:
        self.clock.seconds += seconds
        self.reporter.turn(STOPPING)

    def sent_counters(self) -> dict[int, int]:
        """Return the requests that the newest report of each interval says."""
        ordered = sorted(self.bus.sent, key=lambda one: one[1].sequence)
        return {one.interval_start: one.requests for _, report, _ in ordered for one in report.counters.counters}


class _Now:
    def now(self) -> Any:
        from onecode_common.clock import SystemClock

        return SystemClock().now()

    def monotonic(self) -> float:
        return 0.0


@pytest.fixture
def office(world: World, quick_path: Path) -> Iterator[Office]:
    made = Office(world, quick_path / "office")
    yield made
    made.database.close()
    made.server.close()


def test_a_report_is_sent_until_it_is_acknowledged_and_then_forgotten(office: Office) -> None:
    office.outbox.add("action", pb.Action(state="staged"))
    office.turn()
    office.turn(5)
    sequences = [report.sequence for _, report, _ in office.bus.sent]
    assert len(sequences) == 2, "the action and the status, each once"
    office.turn(6)
    assert [report.sequence for _, report, _ in office.bus.sent] == sequences * 2, "unacknowledged ones come again"
    assert {message_id for _, _, message_id in office.bus.sent} == {f"gw-1:{number}" for number in sequences}
    acknowledged = pb.Acknowledged(sequences=sequences).SerializeToString()
    office.reporter.acknowledged("", acknowledged)
    office.turn(12)
    assert len(office.bus.sent) == 4
    assert office.outbox.waiting() == 0


def test_numbers_go_on_after_a_restart_and_after_the_records_are_lost(office: Office) -> None:
    first = office.outbox.add("action", pb.Action(state="staged"))
    office.outbox.acknowledged([first])
    office.database.close()
    office.open()
    second = office.outbox.add("action", pb.Action(state="switching"))
    assert second > first, "an empty table does not begin again"
    office.database.close()
    for path in office.folder.glob("state.db*"):
        path.unlink()
    office.open()
    assert office.outbox.add("action", pb.Action(state="probation")) > second


def test_totals_of_an_interval_replace_each_other_and_those_of_two_processes_add_up(office: Office) -> None:
    office.collected.append(([counter(5)], "serve-a"))
    office.turn()
    office.collected.append(([counter(9)], "serve-a"))
    office.turn(31)
    office.collected.append(([counter(4), counter(2, start=120)], "serve-b"))
    office.turn(31)
    assert office.sent_counters() == {60: 13, 120: 2}
    office.collected.append(([counter(9)], "serve-a"))
    before = len(office.bus.sent)
    office.reporter.acknowledged("", pb.Acknowledged(sequences=range(1, 100)).SerializeToString())
    office.turn(31)
    kinds = [report.WhichOneof("body") for _, report, _ in office.bus.sent[before:]]
    assert kinds == ["status"], "totals that did not grow are not sent again"


def test_what_grows_while_its_report_is_on_the_way_is_in_a_later_one(office: Office) -> None:
    office.outbox.add_counters([counter(5)], "serve-a")
    (first,) = office.outbox.take_due(office.clock.now().timestamp())
    office.outbox.add_counters([counter(8)], "serve-a")
    office.outbox.acknowledged([first.sequence])
    (second,) = office.outbox.take_due(office.clock.now().timestamp())
    assert second.sequence > first.sequence
    assert [one.requests for one in second.report.counters.counters] == [8]


def test_a_cut_in_the_middle_loses_nothing(office: Office) -> None:
    for number in range(5):
        office.outbox.add("action", pb.Action(state="staged", revision=number))
    office.bus.breaks_after = 2
    office.turn()
    office.bus.breaks_after = 1 << 30
    office.turn(11)
    revisions = [report.action.revision for _, report, _ in office.bus.sent if report.WhichOneof("body") == "action"]
    assert set(revisions) == {0, 1, 2, 3, 4}


def test_half_a_minute_without_the_bus_and_reports_go_over_http_under_the_same_numbers(office: Office) -> None:
    office.outbox.add("action", pb.Action(state="staged"))
    office.turn()
    (action, *_) = [report.sequence for _, report, _ in office.bus.sent]
    office.bus.connected = False
    office.turn(20)
    assert office.world.cloud.batches == 0
    office.turn(20)
    assert action in office.world.cloud.reports
    assert office.outbox.waiting() == 0
    office.bus.connected = True
    office.outbox.add("action", pb.Action(state="probation"))
    office.turn(1)
    assert office.bus.sent[-1][1].action.state == "probation"


def test_a_bus_that_takes_reports_and_never_acknowledges_them_is_left_for_http(office: Office) -> None:
    office.outbox.add("action", pb.Action(state="staged"))
    for _ in range(5):
        office.turn(11)
    assert office.world.cloud.batches == 1
    assert office.outbox.waiting() == 0


def test_with_nobody_there_the_outbox_does_not_grow_by_time_alone(office: Office) -> None:
    office.bus.connected = False
    office.world.cloud.refuse_tokens = True
    for number in range(40):
        office.collected.append(([counter(number + 1, start=60 * number)], "serve-a"))
        office.turn(31)
    assert office.outbox.waiting() <= 4, "one status, and full rows of counters"
    office.world.cloud.refuse_tokens = False
    office.turn(31)
    office.turn(31)
    assert office.outbox.waiting() == 0
    assert len(office.world.cloud.counters()) == 40


def test_a_wrong_clock_is_found_by_the_answer_of_the_server(office: Office) -> None:
    clock = HandClock()
    clock.seconds = -10_000_000
    server_clock = ServerClock(clock)
    server = Server(office.world.cloud.url, server_clock)
    identity = IdentityStore(office.folder / "identity").load("")
    assert identity is not None
    assert server.access(identity).token
    assert abs(server_clock.now().timestamp() - _Now().now().timestamp()) < 60
    server.close()
