"""A gateway installs, splits, promotes and takes back versions as its signed policy says, and proves what it serves."""

from edge_world import GATEWAY, World, arm, golden, linear, model, until


def test_a_gateway_enrols_installs_splits_and_promotes(world: World) -> None:
    world.start_nats()
    agent, cloud = world.agent, world.cloud
    agent.start()
    until(agent.ready, "ready before the first policy")
    world.all_to(1, world.one)
    agent.serves(world.one)
    until(lambda: "committed" in cloud.states(world.one), "v1 committed")
    want = ["downloading", "verified", "staged", "switching", "probation", "committed"]
    assert cloud.states(world.one) == want
    committed = cloud.actions()[-1]
    assert (committed.served_digest, committed.revision) == (world.one, 1)
    assert agent.predict(1.0, 2.0, 3.0)[1]["outputs"][0]["data"] == [6.0]

    world.split(5_000, (2, world.two))
    until(lambda: "committed" in cloud.states(world.two), "the split committed")
    serve = agent.children("onecode_edge.serve")
    answers = {agent.digest() for _ in range(60)}
    assert answers == {world.one, world.two}
    world.split(10_000, (2, world.two), revision=2)
    until(lambda: {agent.digest() for _ in range(30)} == {world.two}, "all requests at v2")
    assert agent.children("onecode_edge.serve") == serve, "new shares of the same versions restart nothing"

    world.all_to(2, world.two)
    until(lambda: cloud.states(world.two).count("committed") == 2, "v2 alone committed")
    until(lambda: len(agent.children("onecode_edge.serve")) == 1, "the old process has ended")
    assert agent.children("onecode_edge.serve") != serve
    agent.serves(world.two)
    until(lambda: cloud.counted(world.one) and cloud.counted(world.two) > 60, "counters of both arms")
    assert agent.status()["gateway"] == GATEWAY


def test_a_version_that_fails_its_golden_set_never_serves_and_one_that_gives_nan_is_taken_back(world: World) -> None:
    agent, cloud = world.agent, world.cloud
    wrong = world.version(3, linear(3.0), golden(linear(3.0), shift=0.5))
    broken = world.version(4, linear(1.0, log=True))
    world.all_to(1, world.one)
    agent.start()
    until(lambda: "committed" in cloud.states(world.one), f"v1 committed; {agent.log()}")

    world.split(5_000, (3, wrong))
    until(lambda: "rejected" in cloud.states(wrong), "v3 rejected")
    assert cloud.states(wrong) == ["downloading", "verified", "rejected"]
    assert next(action.cause for action in cloud.actions() if action.state == "rejected") == "golden"
    assert {agent.digest() for _ in range(20)} == {world.one}

    world.split(10_000, (4, broken), probation_s=600)
    until(lambda: "probation" in cloud.states(broken), "v4 in probation")
    seen = until(lambda: [agent.predict(-1.0, -1.0, -1.0) for _ in range(8)], "answers")
    assert {answer["code"] for status, answer in seen if status == 500} <= {"model.non_finite_output"}
    until(lambda: "rolled_back" in cloud.states(broken), "v4 rolled back")
    back = next(action for action in cloud.actions() if action.state == "rolled_back")
    assert (back.cause, back.served_digest) == ("non_finite", world.one)
    agent.serves(world.one)
    assert {agent.digest() for _ in range(20)} == {world.one}
    until(lambda: sum(one.non_finite for one in cloud.counters().values()) >= 3, "its errors are counted")
    assert set(agent.status()["bad"]) == {wrong, broken}

    world.split(10_000, (4, broken), salt="again")
    until(lambda: "refused" in cloud.states(broken), "a version in quarantine is refused")
    assert agent.digest() == world.one
    assert not [status for status in cloud.statuses() if wrong in status.serving.values()]


def test_a_gateway_serves_without_its_cloud_and_after_its_own_restart(world: World) -> None:
    agent, cloud = world.agent, world.cloud
    world.all_to(1, world.one)
    agent.start()
    until(lambda: "committed" in cloud.states(world.one), f"v1 committed; {agent.log()}")
    until(lambda: cloud.statuses() and cloud.statuses()[-1].serving == {"shuttle": world.one}, "a status")
    with world.offline():
        asked = sum(agent.digest() == world.one for _ in range(20))
        agent.stop()
        assert agent.children() == []
        agent.start()
        agent.serves(world.one)
        until(agent.ready, "ready without the cloud")
        asked += 1 + sum(agent.digest() == world.one for _ in range(10))
        assert asked == 31
        until(lambda: agent.status()["problem"], "the problem is named")
    until(lambda: cloud.counted(world.one) >= asked, "all that was counted offline arrives")
    until(lambda: agent.status()["outbox"] == 0, "everything was acknowledged")
    world.all_to(2, world.two)
    until(lambda: "committed" in cloud.states(world.two), "the next version goes on as usual")
    assert cloud.states(world.one).count("committed") == 1


def test_two_models_change_one_after_the_other(world: World) -> None:
    agent, cloud = world.agent, world.cloud
    other = world.version(1, linear(5.0), name="pump")
    entries = [model(name, 1, arm(0, 10_000, 1, digest)) for name, digest in (("shuttle", world.one), ("pump", other))]
    world.publish(*entries)
    agent.start()
    until(lambda: "committed" in cloud.states(other), f"both committed; {agent.log()}")
    order = [action.digest for action in cloud.actions() if action.state in ("switching", "committed")]
    assert order == [world.one, world.one, other, other]
    assert agent.predict(1.0, 1.0, 1.0, name="pump")[1]["outputs"][0]["data"] == [15.0]
    assert agent.digest() == world.one
    world.publish(entries[1])
    until(lambda: agent.predict()[0] == 404, "a model that the policy no longer names is gone")
    assert agent.predict(name="pump")[0] == 200
