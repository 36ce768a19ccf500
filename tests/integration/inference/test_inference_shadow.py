"""The inference server shows a shadow what its stable version is asked, tells what that found, and answers nobody."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import serving_models as make
from inference_world import Distribution, Inference, Rollout, arm, broker, entry, eventually, free_port
from prometheus_client.parser import text_string_to_metric_families

from onecode.edge.v1 import edge_pb2

V1 = make.built("m", 1, make.plus(1))
V2 = make.built("m", 2, make.plus(2))
NAN = make.built("m", 4, make.root_of())
WRONG = make.built("m", 3, make.plus(3), golden=make.golden_set(make.plus(4)))
STABLE = arm(0, 10_000, V1, "stable")


def shadow(revision: int, built: make.Built, **more: Any) -> dict[str, Any]:
    """Return an entry whose stable version is compared with another one."""
    named = {"release": built.manifest["release"], "digest": built.digest}
    return entry(revision, STABLE, rollout="r_s", shadow=named, **more)


World = tuple[Distribution, Rollout, Inference]


@pytest.fixture(params=["1", "2"], ids=["one process", "two processes"])
def world(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    port = free_port()
    distribution = Distribution()
    for built in (V1, V2, NAN, WRONG):
        distribution.add(built)
    distribution.start()
    distribution.publish(1, entry(1, STABLE))
    (tmp_path / "root.json").write_bytes(distribution.root)
    with broker(tmp_path / "nats", port):
        rollout = Rollout(port)
        server = Inference(tmp_path / "home", distribution, port, PROCESSES=request.param)
        try:
            server.start()
            rollout.start()
            eventually(server.ready, "ready")
            yield distribution, rollout, server
        finally:
            server.stop()
            rollout.stop()
            distribution.stop()
            print((tmp_path / "log").read_text())  # noqa: T201 - shown by pytest where a test failed


def found(rollout: Rollout, built: make.Built) -> edge_pb2.Counter:
    """Return the newest totals of a shadow."""
    rows = [row for row in rollout.counters().values() if row.digest == built.digest and row.role == "shadow"]
    return rows[-1] if rows else edge_pb2.Counter()


def shown(server: Inference) -> dict[str, float]:
    """Return the metric by outcome."""
    families = text_string_to_metric_families(server.metrics())
    samples = [one for family in families for one in family.samples if one.name == "onecode_inference_shadow_total"]
    return {one.labels["outcome"]: one.value for one in samples}


def test_a_shadow_is_proven_compared_and_told_and_answers_nobody(world: World) -> None:
    distribution, rollout, server = world
    before = [server.ask(float(number))["outputs"] for number in range(20)]
    distribution.publish(2, shadow(1, V2))
    rollout.wake(2)
    eventually(lambda: rollout.states(V2.digest) == ["verified", "staged"], "it is staged and no more")
    eventually(lambda: (server.ask(), found(rollout, V2).requests)[1] > 0, "nothing is compared")
    asked = [server.ask(float(number)) for number in range(20)]
    assert [one["outputs"] for one in asked] == before
    assert {one["parameters"]["onecode_model_digest"] for one in asked} == {V1.digest}
    eventually(lambda: found(rollout, V2).largest_difference == pytest.approx(0.5), "1 and 2 are told to be far apart")
    row = found(rollout, V2)
    assert (row.errors, row.rollout, row.role) == (0, "r_s", "shadow")
    assert 0 < row.different <= row.requests
    stable = [one for one in rollout.counters().values() if one.digest == V1.digest and one.rollout == "r_s"]
    assert {one.role for one in stable} == {"stable"}
    eventually(lambda: shown(server).get("different", 0) > 0, "monitoring knows")
    assert server.ask(version="/versions/2")["outputs"][0]["data"] == [3.0] * 4

    distribution.publish(3, entry(3, arm(0, 10_000, V2, "candidate"), rollout="r_s"))
    rollout.wake(3)
    eventually(lambda: server.served() == V2.digest, "it begins to answer")
    states = ["verified", "staged", "switching", "probation", "committed"]
    eventually(lambda: rollout.states(V2.digest) == states, "probation begins when it answers")


def test_a_shadow_that_gives_nan_fails_and_hurts_nobody(world: World) -> None:
    distribution, rollout, server = world
    distribution.publish(2, shadow(1, NAN))
    rollout.wake(2)
    eventually(lambda: "staged" in rollout.states(NAN.digest), "it is staged")
    eventually(lambda: (server.ask(-1.0), found(rollout, NAN).errors)[1] >= 3, "its failures are told")
    row = found(rollout, NAN)
    assert row.non_finite == row.errors <= row.requests
    assert server.ask(-1.0)["outputs"][0]["data"] == [0.0] * 4
    assert "rolled_back" not in rollout.states(NAN.digest)
    distribution.publish(3, entry(1, STABLE, rollout="r_s"))
    rollout.wake(3)
    eventually(lambda: server.ask(version="/versions/4").get("code") == "version.unknown", "it is let go of")
    assert server.ready()


def test_a_shadow_that_fails_its_golden_set_is_never_shown_anything(world: World) -> None:
    distribution, rollout, server = world
    distribution.publish(2, shadow(1, WRONG))
    rollout.wake(2)
    eventually(lambda: "rejected" in rollout.states(WRONG.digest), "it is rejected")
    assert {server.served() for _ in range(10)} == {V1.digest}
    assert found(rollout, WRONG).requests == 0
    assert server.ready()


@pytest.mark.parametrize("world", ["1"], indirect=True)
def test_a_shadow_that_takes_the_server_down_is_not_loaded_again(world: World) -> None:
    distribution, rollout, server = world
    distribution.publish(2, shadow(1, V2))
    rollout.wake(2)
    for _ in range(3):
        eventually(lambda: server.ask(version="/versions/2").get("outputs"), "the shadow is loaded")
        eventually(lambda: (server.ask(), found(rollout, V2).requests)[1] > 0, "it is shown requests")
        server.stop(kill=True)
        server.start()
        eventually(lambda: server.served() == V1.digest, "it serves again")
    eventually(lambda: rollout.states(V2.digest)[-1:] == ["rolled_back"], "it is told")
    assert rollout.actions(V2.digest)[-1].cause == "crash"
    assert server.ask(version="/versions/2")["code"] == "version.unknown"
    assert server.served() == V1.digest
