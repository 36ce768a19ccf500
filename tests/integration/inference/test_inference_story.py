"""The inference server follows signed policies, proves versions itself, and tells what it did, once."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import serving_models as make
from inference_world import Distribution, Inference, Rollout, arm, broker, entry, eventually, free_port

V1 = make.built("m", 1, make.plus(1))
V2 = make.built("m", 2, make.plus(2))
WRONG = make.built("m", 3, make.plus(3), golden=make.golden_set(make.plus(4)))
NAN = make.built("m", 4, make.root_of())
FIRST = entry(1, arm(0, 10_000, V1, "stable"))


@dataclass
class World:
    """Everything around one server."""

    distribution: Distribution
    rollout: Rollout
    server: Inference
    generation: int = 0

    def publish(self, *entries: dict[str, object], report_s: float = 0.3) -> None:
        """Publish a policy and tell of it."""
        self.generation += 1
        self.distribution.publish(self.generation, *entries, report_s=report_s)
        self.rollout.wake(self.generation)


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    port = free_port()
    distribution = Distribution()
    for built in (V1, V2, WRONG, NAN):
        distribution.add(built)
    distribution.start()
    (tmp_path / "root.json").write_bytes(distribution.root)
    with broker(tmp_path / "nats", port):
        rollout = Rollout(port)
        server = Inference(tmp_path / "home", distribution, port)
        try:
            server.start()
            rollout.start()
            eventually(lambda: rollout._bus.connected, "the bus does not connect")
            yield World(distribution, rollout, server)
        finally:
            server.stop()
            rollout.stop()
            distribution.stop()
            # Shown by pytest where a test failed.
            print((tmp_path / "log").read_text())  # noqa: T201
            print([(number, one.WhichOneof("body"), one.action.state) for number, one in rollout.reports.items()])  # noqa: T201


def _committed(world: World, built: make.Built, revision: int) -> bool:
    actions = world.rollout.actions(built.digest)
    return any(action.state == "committed" and action.revision == revision for action in actions)


def _first_release(world: World) -> None:
    world.publish(FIRST)
    eventually(lambda: _committed(world, V1, 1), "the first release is not committed")


def test_a_server_without_a_policy_is_ready_and_knows_no_model(world: World) -> None:
    eventually(world.server.ready, "it is not ready")
    assert world.server.ask()["code"] == "model.unknown"


def test_a_fresh_server_is_not_ready_before_the_registry_has_said_what_to_serve(world: World) -> None:
    port = world.distribution.port
    world.distribution.stop()
    world.server.stop(kill=True)
    world.server.start()
    eventually(lambda: "no policy yet" in world.server.reason(), "it does not say what it waits for")
    assert not world.server.ready()
    world.distribution.start(port)
    eventually(world.server.ready, "it is not ready when the registry has said that there is nothing")


def test_a_first_release_is_proven_served_and_told_step_by_step(world: World) -> None:
    _first_release(world)
    assert world.server.ready()
    assert world.rollout.states(V1.digest) == ["verified", "staged", "switching", "probation", "committed"]
    last = world.rollout.actions(V1.digest)[-1]
    assert (last.served_digest, last.evidence, last.rollout) == (V1.digest, "golden", "r_1")
    assert world.server.ask(5.0)["outputs"][0]["data"] == [6.0] * 4
    eventually(lambda: dict(world.rollout.status().serving) == {"m": V1.digest}, "the status does not say so")
    status = world.rollout.status()
    assert (status.generation, status.health) == (1, "ok")
    assert status.rss_bytes > 1 << 20


def test_a_canary_takes_its_share_and_a_wider_ramp_is_no_new_switch(world: World) -> None:
    _first_release(world)
    world.publish(entry(2, arm(0, 3000, V2, "candidate"), arm(3000, 10_000, V1, "stable")))
    eventually(lambda: world.rollout.states(V2.digest)[-1:] == ["committed"], "the candidate is not committed")
    answers = [world.server.served() for _ in range(300)]
    assert 40 < answers.count(V2.digest) < 160
    world.publish(entry(2, arm(0, 10_000, V2, "candidate"), arm(10_000, 10_000, V1, "stable")))
    eventually(lambda: {world.server.served() for _ in range(20)} == {V2.digest}, "the ramp does not widen")
    world.publish(entry(3, arm(0, 10_000, V2, "stable")))
    eventually(lambda: _committed(world, V2, 3), "the new stable version is not committed")
    states = ["verified", "staged", "switching", "probation", "committed", "committed"]
    assert world.rollout.states(V2.digest) == states


def test_every_request_is_counted_once_for_its_arm_whatever_the_acknowledgements_do(world: World) -> None:
    _first_release(world)
    world.rollout.answering = False
    world.publish(entry(2, arm(0, 5000, V2, "candidate"), arm(5000, 10_000, V1, "stable")))
    eventually(lambda: "probation" in world.rollout.states(V2.digest), "the candidate is not served")
    answers: list[str] = []
    threads = [
        threading.Thread(target=lambda: answers.extend(world.server.served() for _ in range(50))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(3):
        world.server.ask(version=f"/versions/{number % 2 + 1}")
    world.rollout.answering = True
    expected = {built.digest: answers.count(built.digest) for built in (V1, V2)}
    assert sum(expected.values()) == 200
    eventually(
        lambda: {built.digest: world.rollout.requests(built) for built in (V1, V2)} == expected,
        f"the counters do not become {expected}",
    )


def test_a_version_that_fails_its_golden_set_never_answers(world: World) -> None:
    _first_release(world)
    world.publish(entry(2, arm(0, 5000, WRONG, "candidate"), arm(5000, 10_000, V1, "stable")))
    eventually(lambda: "rejected" in world.rollout.states(WRONG.digest), "it is not rejected")
    last = world.rollout.actions(WRONG.digest)[-1]
    assert (last.state, last.cause) == ("rejected", "golden")
    assert "row 1" in last.detail
    assert {world.server.served() for _ in range(40)} == {V1.digest}
    assert world.server.ready()
    assert world.server.ask(version="/versions/3")["code"] == "version.unknown"


def test_a_version_that_answers_nan_is_rolled_back_here_without_being_told_to(world: World) -> None:
    _first_release(world)
    world.publish(entry(2, arm(0, 5000, NAN, "candidate"), arm(5000, 10_000, V1, "stable"), probation_s=600))
    eventually(lambda: "probation" in world.rollout.states(NAN.digest), "it is not served")

    def failing() -> bool:
        world.server.ask(-1.0)
        return "rolled_back" in world.rollout.states(NAN.digest)

    eventually(failing, "it is not rolled back")
    last = world.rollout.actions(NAN.digest)[-1]
    assert (last.cause, last.served_digest) == ("non_finite", V1.digest)
    assert {world.server.served() for _ in range(40)} == {V1.digest}

    def counted() -> bool:
        rows = [row for (_, _, digest), row in world.rollout.counters().items() if digest == NAN.digest]
        return bool(rows) and rows[0].requests == rows[0].errors == rows[0].non_finite >= 3

    eventually(counted, "its wrong answers are not counted")


def test_bytes_that_are_not_the_signed_ones_are_refused_and_the_old_version_serves(world: World) -> None:
    _first_release(world)
    key = f"objects/{V2.manifest['files'][0]['sha256']}"
    right = world.distribution.files[key]
    world.distribution.files[key] = right[:-1] + bytes([right[-1] ^ 1])
    second = entry(2, arm(0, 10_000, V2, "candidate"))
    world.publish(second)
    eventually(lambda: "refused" in world.rollout.states(V2.digest), "it is not refused")
    assert world.server.served() == V1.digest
    world.distribution.files[key] = right
    eventually(lambda: world.server.served() == V2.digest, "it is not taken when it is right")


def test_after_a_restart_it_serves_from_its_disk_with_everybody_gone(world: World) -> None:
    _first_release(world)
    port = world.distribution.port
    world.distribution.stop()
    world.server.stop(kill=True)
    world.server.start()
    eventually(world.server.ready, "it is not ready")
    assert world.server.served() == V1.digest
    eventually(lambda: len({one.boot_id for one in list(world.rollout.reports.values())}) == 2, "it tells nothing")
    boots = [world.rollout.reports[number].boot_id for number in sorted(world.rollout.reports)]
    assert len(set(boots[: boots.count(boots[0])])) == 1, "numbers of two lives are mixed"
    world.distribution.start(port)
    world.publish(entry(2, arm(0, 10_000, V2, "candidate")))
    eventually(lambda: world.server.served() == V2.digest, "it does not follow any more")


def test_a_switch_that_is_held_waits(world: World) -> None:
    _first_release(world)
    world.publish(entry(2, arm(0, 10_000, V2, "candidate"), hold=True))
    eventually(lambda: "staged" in world.rollout.states(V2.digest), "it is not staged")
    eventually(lambda: world.rollout.status().generation == world.generation, "the policy is not taken")
    assert world.server.served() == V1.digest
    world.publish(entry(2, arm(0, 10_000, V2, "candidate")))
    eventually(lambda: world.server.served() == V2.digest, "it still waits")


def test_a_model_that_the_policy_no_longer_names_is_not_served(world: World) -> None:
    _first_release(world)
    world.publish()
    eventually(lambda: world.server.ask().get("code") == "model.unknown", "it is still served")


def test_it_stops_cleanly(world: World) -> None:
    _first_release(world)
    assert world.server.stop() == 0
    world.server.start()
