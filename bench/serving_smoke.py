"""Tell what the protocol costs: requests a second over gRPC and REST, as shares of onnxruntime in process.

Only ratios within one run travel between machines and hours. Each round measures all three one after the other on the
same small network (64-128-64-10), one row a request, 32 requests in flight. Every answer is checked once before and
counted by its status afterwards. Run: ``python bench/serving_smoke.py [seconds a measurement]``.
"""

import argparse
import asyncio
import json
import statistics
import struct
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from onecode.oip.v2 import open_inference_pb2 as pb
from onecode_common.canonical import sha256_hex
from onecode_common.clock import SystemClock
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane, full_route
from onecode_serving.faces.access import Access
from onecode_serving.faces.grpc_face import GrpcFace
from onecode_serving.faces.rest_face import RestFace
from onecode_serving.version import load_version

WIDTHS = (64, 128, 64, 10)
IN_FLIGHT = 32
ROUNDS = 3
ROW = np.random.default_rng(3).normal(size=(1, WIDTHS[0])).astype(np.float32)


def network() -> bytes:
    """Return a small dense network as ONNX."""
    rng = np.random.default_rng(7)
    nodes, weights, last = [], [], "features"
    for layer, (fan_in, fan_out) in enumerate(pairwise(WIDTHS)):
        final = layer == len(WIDTHS) - 2
        weights.append(numpy_helper.from_array(rng.normal(size=(fan_in, fan_out)).astype(np.float32) / 8, f"w{layer}"))
        weights.append(numpy_helper.from_array(np.zeros(fan_out, np.float32), f"b{layer}"))
        dense = "prediction" if final else f"d{layer}"
        nodes.append(helper.make_node("Gemm", [last, f"w{layer}", f"b{layer}"], [dense]))
        if not final:
            nodes.append(helper.make_node("Relu", [dense], [f"r{layer}"]))
        last = f"r{layer}"
    features = helper.make_tensor_value_info("features", TensorProto.FLOAT, ["N", WIDTHS[0]])
    prediction = helper.make_tensor_value_info("prediction", TensorProto.FLOAT, ["N", WIDTHS[-1]])
    graph = helper.make_graph(nodes, "network", [features], [prediction], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return bytes(model.SerializeToString())


def serve() -> None:
    """Serve the network until standard input ends; print the ports."""
    onnx = network()
    contract = {
        "inputs": [{"name": "features", "datatype": "FP32", "shape": [-1, WIDTHS[0]]}],
        "outputs": [{"name": "prediction", "datatype": "FP32", "shape": [-1, WIDTHS[-1]]}],
    }
    files = [{"name": "model.onnx", "sha256": sha256_hex(onnx), "length": len(onnx)}]
    version = load_version({"model": "network", "release": 1, "files": files, "contract": contract}, onnx)
    plane = DataPlane(Counters(), SystemClock())
    plane.install(version)
    plane.set_routes({"network": full_route("network", version.digest, 1)})
    address = "127.0.0.1:0"
    access = Access(anonymous=True, addresses=(address,), tokens_file=None, clock=SystemClock())
    rest, rpc = RestFace(plane, access, address), GrpcFace(plane, access, address)
    rest.start()
    rpc.start()
    print(json.dumps({"rest": rest.port, "grpc": rpc.port}), flush=True)
    sys.stdin.read()
    rpc.stop()
    rest.stop()


def raw(seconds: float) -> float:
    """Return runs a second of onnxruntime in this process, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(network(), options, providers=["CPUExecutionProvider"])
    ends = time.perf_counter() + seconds
    count = 0
    while time.perf_counter() < ends:
        session.run(["prediction"], {"features": ROW})
        count += 1
    return count / seconds


def over_grpc(port: int, seconds: float) -> float:
    """Return answers a second over one channel with all requests in flight."""
    request = pb.ModelInferRequest(model_name="network", raw_input_contents=[ROW.tobytes()])
    request.inputs.add(name="features", datatype="FP32", shape=ROW.shape)
    body = request.SerializeToString()

    async def run() -> float:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            call: Any = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")
            check(np.frombuffer(pb.ModelInferResponse.FromString(await call(body)).raw_output_contents[0], np.float32))
            return await in_flight([partial(call, body)] * IN_FLIGHT, seconds)

    return asyncio.run(run())


def over_rest(port: int, seconds: float) -> float:
    """Return answers a second over 32 connections, binary both ways."""
    tensor = {"name": "features", "datatype": "FP32", "shape": list(ROW.shape)}
    document = {"inputs": [{**tensor, "parameters": {"binary_data_size": ROW.nbytes}}]}
    head = json.dumps({**document, "parameters": {"binary_data_output": True}}).encode()
    body = head + ROW.tobytes()
    request = (
        f"POST /v2/models/network/infer HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n"
        f"Inference-Header-Content-Length: {len(head)}\r\n\r\n"
    ).encode() + body

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
        writer.write(request)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise SystemExit(answer.decode())
        length = int(answer.lower().split(b"\r\ncontent-length: ")[1].split(b"\r\n")[0])
        return await reader.readexactly(length)

    async def run() -> float:
        pairs = [await asyncio.open_connection("127.0.0.1", port) for _ in range(IN_FLIGHT)]
        tail = (await one(*pairs[0]))[-4 * WIDTHS[-1] :]
        check(np.array(struct.unpack(f"<{WIDTHS[-1]}f", tail), np.float32))
        rate = await in_flight([partial(one, *pair) for pair in pairs], seconds)
        for _, writer in pairs:
            writer.close()
        return rate

    return asyncio.run(run())


async def in_flight(calls: list[Callable[[], Any]], seconds: float) -> float:
    """Keep each call in flight for a while and return answers a second."""
    ends = time.perf_counter() + seconds
    count = 0

    async def worker(call: Callable[[], Any]) -> None:
        nonlocal count
        while time.perf_counter() < ends:
            await call()
            count += 1

    await asyncio.gather(*(worker(call) for call in calls))
    return count / seconds


def check(answer: np.ndarray) -> None:
    """Stop unless the answer is that of onnxruntime, bit for bit."""
    session = onnxruntime.InferenceSession(network(), providers=["CPUExecutionProvider"])
    if answer.tobytes() != session.run(None, {"features": ROW})[0].tobytes():
        message = "the server's answer is not that of onnxruntime"
        raise SystemExit(message)


def main() -> None:
    """Measure, print, and keep the medians beside this file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seconds", nargs="?", type=float, default=2.0)
    parser.add_argument("--serve", action="store_true")
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    command = [sys.executable, __file__, "--serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:  # noqa: S603 - this file
        ports = json.loads(server.stdout.readline()) if server.stdout else {}
        rounds = [
            {
                "raw": raw(arguments.seconds),
                "grpc": over_grpc(ports["grpc"], arguments.seconds),
                "rest": over_rest(ports["rest"], arguments.seconds),
            }
            for _ in range(ROUNDS)
        ]
    median = {name: round(statistics.median(one[name] for one in rounds)) for name in rounds[0]}
    ratios = {name: round(statistics.median(one[name] / one["raw"] for one in rounds), 4) for name in ("grpc", "rest")}
    result = {"in_flight": IN_FLIGHT, "rate": median, "ratio_to_raw": ratios}
    Path(__file__).with_suffix(".json").write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
