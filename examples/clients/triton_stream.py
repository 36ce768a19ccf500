"""Send many rows on one stream with the stock client: ``python triton_stream.py 127.0.0.1:8001 MODEL 0.1 0.2``."""

import argparse
import queue

import numpy as np
import tritonclient.grpc as client

ROWS = 5

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("address")
parser.add_argument("model")
parser.add_argument("values", nargs="+", type=float, help="one row")
parser.add_argument("--token-file", type=argparse.FileType())
options = parser.parse_args()
headers = {"authorization": f"Bearer {options.token_file.read().strip()}"} if options.token_file else {}
answers: queue.Queue[tuple[client.InferResult | None, Exception | None]] = queue.Queue()

with client.InferenceServerClient(options.address) as server:
    inputs = server.get_model_metadata(options.model, headers=headers).inputs
    server.start_stream(lambda result, error: answers.put((result, error)), headers=headers)
    for number in range(ROWS):
        row = np.array([options.values], np.float32) * number
        features = client.InferInput(inputs[0].name, row.shape, inputs[0].datatype)
        features.set_data_from_numpy(row)
        server.async_stream_infer(options.model, [features], request_id=str(number))
    for _ in range(ROWS):
        result, error = answers.get(timeout=10)
        if error is not None or result is None:
            raise SystemExit(f"refused: {error}")
        reply = result.get_response()
        print(reply.id, {output.name: result.as_numpy(output.name).tolist() for output in reply.outputs})
    server.stop_stream()
