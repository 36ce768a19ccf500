"""Answer as a bare ``grpc.aio`` handler does: parse the request, build a reply, run no model. The yardstick."""

import argparse
import asyncio

import grpc

from bench.serving.machine import SERVER_CORE, pin
from onecode_serving.oip.wire import pb

WIDTH = 10
ANSWER = bytes(4 * WIDTH)


async def _infer(request: pb.ModelInferRequest, _context: object) -> pb.ModelInferResponse:
    reply = pb.ModelInferResponse(model_name=request.model_name, model_version="1", raw_output_contents=[ANSWER])
    reply.outputs.add(name="y", datatype="FP32", shape=[request.inputs[0].shape[0], WIDTH])
    return reply


async def serve() -> None:
    """Serve until terminated; print the port."""
    server = grpc.aio.server()
    method = grpc.unary_unary_rpc_method_handler(
        _infer, pb.ModelInferRequest.FromString, pb.ModelInferResponse.SerializeToString
    )
    service = grpc.method_handlers_generic_handler("inference.GRPCInferenceService", {"ModelInfer": method})
    server.add_generic_rpc_handlers((service,))
    print(server.add_insecure_port("127.0.0.1:0"), flush=True)
    await server.start()
    await server.wait_for_termination()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--core", type=int, default=SERVER_CORE)
    pin(parser.parse_args().core)
    asyncio.run(serve())
