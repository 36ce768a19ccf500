"""Whatever is killed, whenever: the gateway serves the old or the new, all of it ends together, and comes back."""

import os
import random
import signal
import stat
import subprocess
import sys
import time

from edge_world import GATEWAY, World, until

from onecode_edge.unix_http import ask


def test_kills_at_any_moment_leave_the_old_or_the_new(world: World) -> None:
    agent, cloud = world.agent, world.cloud
    chance = random.Random(20261121)
    world.all_to(1, world.one)
    agent.start()
    until(lambda: "committed" in cloud.states(world.one), f"v1 committed; {agent.log()}")
    allowed = {world.one, world.two}
    for number, victim in enumerate(["sync", "supervisor", "serve", "sync", "supervisor"]):
        world.all_to(*((2, world.two) if number % 2 == 0 else (1, world.one)), probation_s=0)
        time.sleep(chance.random() * 1.5)
        agent.kill(victim)
        if victim == "supervisor":
            until(lambda: not agent.children(), "all children end with the supervisor")
            agent.start()
        found = until(agent.digest, f"an answer after the kill of {victim}; {agent.log()}")
        assert found in allowed
    agent.serves(world.two)
    until(lambda: agent.status()["action"] is None, "the last change has ended")
    assert agent.status()["bad"] == {}, "kills from outside convict no version that was found good"
    sequences = [sequence for _, sequence in cloud.deliveries]
    assert len(set(sequences)) == len(cloud.reports)


def test_a_serving_process_that_dies_is_back_and_one_model_that_kills_it_goes_back(world: World) -> None:
    agent, cloud = world.agent, world.cloud
    world.all_to(1, world.one)
    agent.start()
    until(lambda: "committed" in cloud.states(world.one), f"v1 committed; {agent.log()}")
    agent.kill("serve")
    agent.serves(world.one)
    world.all_to(2, world.two, probation_s=600)
    agent.serves(world.two)
    for _ in range(3):
        before = until(lambda: agent.status()["action"] or {}, "an action")["starts"]
        victims = until(lambda: agent.children("onecode_edge.serve"), "a serving process")
        os.kill(victims[-1], signal.SIGKILL)
        until(
            lambda: (
                (agent.status()["action"] or {"starts": 99})["starts"] > before  # noqa: B023 - asked in this turn
                or "rolled_back" in cloud.states(world.two)
            ),
            "the death is counted",
        )
    until(lambda: "rolled_back" in cloud.states(world.two), "three starts without a commit")
    assert next(action.cause for action in cloud.actions() if action.state == "rolled_back") == "crash"
    agent.serves(world.one)


def test_people_and_tools_ask_the_agent_over_its_own_socket(world: World) -> None:
    agent, cloud = world.agent, world.cloud
    world.all_to(1, world.one)
    agent.start()
    until(lambda: "committed" in cloud.states(world.one), f"v1 committed; {agent.log()}")
    control = agent.home / "run" / "control.sock"
    assert stat.S_IMODE(control.stat().st_mode) == 0o600
    assert stat.S_IMODE(agent.home.stat().st_mode) == 0o700
    assert stat.S_IMODE((agent.home / "identity" / "gateway.key").stat().st_mode) == 0o600
    world.all_to(2, world.two)
    ask(control, "POST /v1/sync", {})
    until(lambda: "committed" in cloud.states(world.two), "v2 committed")
    assert ask(control, "GET /v1/models")["serving"] == {"shuttle": world.two}

    def command(*arguments: str) -> "subprocess.CompletedProcess[str]":
        line = [sys.executable, "-c", "from onecode_edge.cli import main; main()", "--home", str(agent.home)]
        return subprocess.run([*line, *arguments], capture_output=True, text=True, check=False, timeout=60)

    assert command("test").returncode == 0
    assert GATEWAY in command("status").stdout
    assert command("rollback", "--reason", "sounds wrong").returncode == 0
    agent.serves(world.one)
    until(lambda: "rolled_back" in cloud.states(world.two), "the operator's way back is reported")
    world.all_to(2, world.two, revision=2)
    until(lambda: cloud.statuses()[-1].generation == world.generation, "the same revision again is held")
    assert agent.digest() == world.one
    world.all_to(2, world.two)
    agent.serves(world.two)
    agent.stop()
    assert command("status").returncode == 3
    assert command("sync").returncode == 3
    sound = command("doctor")
    assert (sound.returncode, sound.stdout.count("ok  ")) == (0, 7), sound.stdout


def test_what_does_not_fit_is_said_at_once(world: World) -> None:
    agent = world.agent
    agent.extra = {"ROOT_SHA256": "0" * 64}
    agent.start()
    until(lambda: "sync.root_mismatch" in agent.status()["problem"], "another root of trust is refused")
    assert not (agent.home / "identity").exists()

    def second(**extra: str) -> tuple[int, str]:
        before, agent.extra = agent.extra, extra
        arguments = [sys.executable, "-m", "onecode_edge"]
        environment = agent.environment()
        agent.extra = before
        done = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False, timeout=60)
        return done.returncode, done.stderr

    assert second()[0] == 2
    assert "another agent runs" in second()[1]
    agent.stop()
    status, said = second(OPS_ADRESS="127.0.0.1:1")
    assert (status, "ONECODE_EDGE_OPS_ADRESS" in said) == (2, True)
    status, said = second(REST_ADDRESS=world.cloud.url.removeprefix("http://"))
    assert (status, "cannot listen" in said) == (2, True)


def test_what_decides_holds_no_model_runtime_and_no_grpc() -> None:
    heavy = ("grpc", "onnxruntime", "numpy", "fastapi", "sqlalchemy")
    for module, unwanted in (("onecode_edge.sync", heavy), ("onecode_edge.supervisor", (*heavy, "pydantic", "tuf"))):
        code = f"import sys, {module}; print([m for m in {unwanted!r} if m in sys.modules])"
        answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == "[]"
