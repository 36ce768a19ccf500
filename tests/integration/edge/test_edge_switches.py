"""A gateway changes what serves while people ask, and nobody notices: the listening sockets outlive the processes."""

import http.client
import json
import socket
import threading
import time
from collections.abc import Callable

import numpy as np
import tritonclient.grpc as triton_grpc
from edge_world import World, until

ROW = np.array([[1.0, 2.0, 3.0]], np.float32)
BODY = json.dumps({"inputs": [{"name": "features", "datatype": "FP32", "shape": [1, 3], "data": [1, 2, 3]}]})


class Crowd:
    """Callers that ask until they are told to stop; a call without an answer is noted."""

    def __init__(self) -> None:
        self.stop = threading.Event()
        self.lost: list[str] = []
        self.seen: set[str] = set()
        self.answers = 0
        self._lock = threading.Lock()

    def keep(self, ask: Callable[[], str]) -> None:
        while not self.stop.is_set():
            try:
                digest = ask()
            except Exception as error:  # noqa: BLE001 - told by the test
                self.lost.append(repr(error))
                return
            with self._lock:
                self.seen.add(digest)
                self.answers += 1
            time.sleep(0.002)

    def over_rest(self, port: int, *, again: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)

        def ask() -> str:
            connection.request("POST", "/v2/models/shuttle/infer", BODY)
            answer = connection.getresponse()
            document = json.loads(answer.read())
            if again:
                connection.close()
            return str(document["parameters"]["onecode_model_digest"])

        self.keep(ask)
        connection.close()

    def over_grpc(self, port: int) -> None:
        with triton_grpc.InferenceServerClient(f"127.0.0.1:{port}") as client:
            tensor = triton_grpc.InferInput("features", [1, 3], "FP32").set_data_from_numpy(ROW)

            def ask() -> str:
                reply = client.infer("shuttle", [tensor]).get_response()
                return str(reply.parameters["onecode_model_digest"].string_param)

            self.keep(ask)


def test_switches_of_the_model_set_lose_no_request(world: World) -> None:
    agent, crowd = world.agent, Crowd()
    world.all_to(1, world.one)
    agent.start()
    agent.serves(world.one)
    jobs = [
        threading.Thread(target=crowd.over_grpc, args=(agent.grpc,)),
        threading.Thread(target=crowd.over_rest, args=(agent.rest,), kwargs={"again": False}),
        threading.Thread(target=crowd.over_rest, args=(agent.rest,), kwargs={"again": True}),
    ]
    for job in jobs:
        job.start()
    for release, digest in ((2, world.two), (1, world.one), (2, world.two)):
        before = set(agent.children("onecode_edge.serve"))
        world.all_to(release, digest, probation_s=0)
        agent.serves(digest)
        until(lambda: not before & set(agent.children("onecode_edge.serve")), "the old process has ended")  # noqa: B023
    crowd.stop.set()
    for job in jobs:
        job.join()
    assert (crowd.lost, crowd.seen) == ([], {world.one, world.two})
    assert crowd.answers > 100


def test_callers_wait_for_a_process_that_comes_back_and_are_refused_by_a_gateway_without_one(world: World) -> None:
    agent = world.agent
    agent.start()
    until(agent.ready, "ready before the first policy")
    with_nothing = socket.socket()
    assert with_nothing.connect_ex(("127.0.0.1", agent.rest)) != 0, "nothing is served yet"
    with_nothing.close()
    world.all_to(1, world.one)
    agent.serves(world.one)
    assert agent.kill("serve") == 1
    assert agent.predict()[0] == 200, "the connection waited for the next process"
    world.publish()
    until(lambda: not agent.children("onecode_edge.serve"), "nothing is served any more")

    def refused() -> bool:
        with socket.socket() as caller:
            return caller.connect_ex(("127.0.0.1", agent.rest)) != 0

    until(refused, "the ports are closed again")
    world.all_to(1, world.one)
    agent.serves(world.one)
