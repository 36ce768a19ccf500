"""A gateway installs a shadow as it does any version, has it answer nobody, and proves it again before it does."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_bench import Bench
from edge_world import World, arm, model, until

from onecode.edge.v1 import edge_pb2 as pb
from onecode_edge.adapters.database import Database
from onecode_edge.adapters.outbox import Outbox
from onecode_edge.domain.observed import Observed
from onecode_edge.seal import read_seal

FULL = ["downloading", "verified", "staged", "switching", "probation", "committed"]


@pytest.fixture
def bench(quick_path: Path) -> Iterator[Bench]:
    made = Bench(quick_path / "gateway")
    made.all_to(1, made.one)
    made.committed()
    yield made
    assert made.database is not None
    made.database.close()


def shadowed(bench: Bench | World, digest: str, release: int = 2, **changes: Any) -> None:
    """Publish a policy under which version one answers everybody and another one is its shadow."""
    named = {"release": release, "digest": digest}
    bench.publish(model("shuttle", 1, arm(0, 10_000, 1, bench.one), shadow=named, **changes))


def test_a_shadow_is_loaded_with_the_set_and_has_no_bucket(bench: Bench) -> None:
    shadowed(bench, bench.two)
    bench.committed()
    assert bench.states(bench.two) == FULL
    assert bench.served() == {"shuttle": {bench.one: 10_000}}
    seal = read_seal(bench.layout, bench.sets.linked_id("current"))
    assert [arm.role for arm in seal.models.entries[0].arms] == ["stable", "shadow"]
    bench.restart()
    bench.run(3)
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_a_shadow_that_begins_to_answer_is_on_trial_again(bench: Bench) -> None:
    shadowed(bench, bench.two)
    bench.committed()
    started = len(bench.processes.started)
    bench.split(1_000, bench.two)
    bench.committed()
    assert bench.states(bench.two) == FULL * 2
    assert len(bench.processes.started) == started + 1
    assert bench.served() == {"shuttle": {bench.two: 1_000, bench.one: 9_000}}


def test_a_first_step_does_not_wait_for_the_end_of_a_shadows_probation(bench: Bench) -> None:
    shadowed(bench, bench.two, probation_s=3600)
    while "probation" not in bench.states(bench.two):
        bench.turn()
    bench.split(1_000, bench.two)
    bench.committed()
    assert bench.states(bench.two)[-2:] == FULL[-2:]
    assert "superseded" in bench.states(bench.two)
    assert bench.served() == {"shuttle": {bench.two: 1_000, bench.one: 9_000}}


def test_a_version_that_was_good_in_shadow_can_still_be_convicted_by_answers(bench: Bench) -> None:
    shadowed(bench, bench.two)
    bench.committed()
    bench.split(5_000, bench.two, probation_s=3600)
    while bench.states(bench.two)[-1] != "probation":
        bench.turn()
    bench.processes.behave[bench.two] = Observed(100, 50, 50)
    bench.run(6)
    assert bench.states(bench.two)[-1] == "rolled_back"
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_a_shadow_that_is_rejected_leaves_what_is_served(bench: Bench) -> None:
    bench.refuse[bench.two] = "golden"
    shadowed(bench, bench.two)
    bench.run()
    assert bench.states(bench.two)[-1] in {"rejected", "refused"}
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_a_shadow_that_takes_its_process_down_is_taken_out_of_the_set(bench: Bench) -> None:
    shadowed(bench, bench.two, probation_s=3600)
    while "probation" not in bench.states(bench.two):
        bench.turn()
    for _ in range(40):
        if "rolled_back" in bench.states(bench.two):
            break
        if bench.situation.serving() is not None and bench.situation.transition is not None:
            bench.processes.die("crash")
        bench.turn(30.0)
    assert "rolled_back" in bench.states(bench.two)
    bench.run()
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def test_when_the_stable_version_is_bad_a_shadow_does_not_take_its_place(bench: Bench) -> None:
    shadowed(bench, bench.two)
    bench.committed()
    assert bench.sets.present.without([bench.one]).entries == ()


def test_the_end_of_a_shadow_takes_it_out_of_the_set(bench: Bench) -> None:
    shadowed(bench, bench.two)
    bench.committed()
    bench.all_to(1, bench.one, revision=1)
    bench.committed()
    assert bench.sets.present.digests == {bench.one}
    assert bench.served() == {"shuttle": {bench.one: 10_000}}


def counter(role: str, requests: int, **more: Any) -> pb.Counter:
    known = pb.Counter(
        model="shuttle", rollout="r_1", revision=1, digest="sha256:" + "2" * 64, role=role, interval_start=60,
        interval_seconds=60, requests=requests, **more,
    )  # fmt: skip
    known.latency.counts.extend([0] * 29)
    return known


def told(outbox: Outbox, now: float) -> list[pb.Counter]:
    return [one for report in outbox.take_due(now) for one in report.report.counters.counters]


def test_what_shadows_found_adds_up_over_processes_and_is_no_history(quick_path: Path) -> None:
    database = Database(quick_path / "state.db", quick_path / "sequence")
    outbox = Outbox(database, "gw", "boot")
    found = {"errors": 1, "different": 2, "dropped": 7, "largest_difference": 0.5}
    outbox.add_counters([counter("shadow", 10, **found)], "one")
    outbox.add_counters([counter("shadow", 5, different=1, dropped=1, largest_difference=0.25)], "two")
    (sent,) = told(outbox, 100.0)
    assert (sent.requests, sent.errors, sent.different, sent.dropped) == (15, 1, 3, 8)
    assert sent.largest_difference == 0.5
    outbox.add_counters([counter("shadow", 10, **found)], "one")
    assert outbox.waiting() == 1
    outbox.add_counters([counter("shadow", 10, **{**found, "dropped": 8})], "one")
    (grown,) = told(outbox, 100.0)
    assert grown.dropped == 9
    assert outbox.observed([grown.digest], 0.0) == Observed()
    database.close()


def test_records_of_an_agent_before_shadows_are_read_and_extended(quick_path: Path) -> None:
    database = Database(quick_path / "state.db", quick_path / "sequence")
    with database.transaction() as connection:
        connection.execute("ALTER TABLE counters DROP COLUMN shadow")
        connection.execute(
            "INSERT INTO counters (model, rollout, revision, digest, role, start, seconds, instance, requests, errors,"
            " non_finite, unassigned, latency, sequence) VALUES"
            " ('m', 'r', 1, 'd', 'stable', 0, 60, 'i', 3, 0, 0, 0, '[]', 1)"
        )
    database.close()
    again = Database(quick_path / "state.db", quick_path / "sequence")
    assert Outbox(again, "gw", "boot").observed(["d"], 0.0) == Observed(3)
    assert again.renewed == ""
    again.close()


def test_a_real_gateway_compares_and_tells_and_answers_with_the_stable_version(world: World) -> None:
    agent, cloud = world.agent, world.cloud
    world.all_to(1, world.one)
    agent.start()
    until(lambda: "committed" in cloud.states(world.one), f"v1 committed; {agent.log()}")
    shadowed(world, world.two)
    until(lambda: "committed" in cloud.states(world.two), "the set with the shadow is served")
    answers = {agent.digest() for _ in range(30)}
    assert answers == {world.one}

    def rows() -> list[pb.Counter]:
        return [one for one in cloud.counters().values() if one.role == "shadow"]

    until(lambda: (agent.digest(), sum(one.requests for one in rows()) >= 10)[1], "pairs are told")
    assert {(one.digest, one.errors) for one in rows()} == {(world.two, 0)}
    assert all(one.different == one.requests and one.largest_difference == pytest.approx(0.5) for one in rows())
    world.split(5_000, (2, world.two))
    until(lambda: {agent.digest() for _ in range(20)} == {world.one, world.two}, "it begins to answer")
