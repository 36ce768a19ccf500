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
