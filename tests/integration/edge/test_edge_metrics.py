"""The gateway's one ops port tells what its serving processes do, and sums do not fall when the processes change."""

from edge_world import Agent, World, until
from prometheus_client.parser import text_string_to_metric_families


def samples(agent: Agent) -> dict[str, float]:
    """Return the sums of all samples by name."""
    status, text = agent._get(agent.ops, "/metrics")
    assert status == 200
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text.decode()):
        for one in family.samples:
            found[one.name] = found.get(one.name, 0.0) + one.value
    return found


def answered(agent: Agent) -> float:
    return samples(agent)["nv_inference_request_success"]


def test_the_ops_port_tells_what_all_serving_processes_have_done(world: World) -> None:
    agent = world.agent
    world.all_to(1, world.one)
    agent.start()
    agent.serves(world.one)
    before = answered(agent)
    for _ in range(20):
        assert agent.predict(1.0, 2.0, 3.0)[0] == 200
    assert answered(agent) == before + 20
    found = samples(agent)
    for name in (
        "onecode_inference_request_seconds_count",
        "onecode_inference_compute_seconds_bucket",
        "onecode_inference_connections",
        "onecode_inference_connection_events_total",
        "onecode_inference_guard_total",
    ):
        assert name in found
    assert found["process_resident_memory_bytes"] > 0, "those of the deciding process are there, too"

    world.all_to(2, world.two)
    agent.serves(world.two)
    until(lambda: len(agent.children("onecode_edge.serve")) == 1, "the old process is gone")
    switched = answered(agent)
    assert switched >= before + 20, "what an ended process counted stays"
    agent.kill("serve")
    agent.serves(world.two)
    assert answered(agent) >= switched, "also of one that was killed, as it was told last"
