"""Ask with the stock client over gRPC: ``python triton_grpc.py 127.0.0.1:8001 MODEL 0.1 0.2 0.3 0.4``."""

import argparse

import numpy as np
import tritonclient.grpc as client

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("address")
parser.add_argument("model")
parser.add_argument("values", nargs="+", type=float, help="one row")
parser.add_argument("--token-file", type=argparse.FileType())
options = parser.parse_args()
headers = {"authorization": f"Bearer {options.token_file.read().strip()}"} if options.token_file else {}

with client.InferenceServerClient(options.address) as server:
    metadata = server.get_model_metadata(options.model, headers=headers)
    row = np.array([options.values], np.float32)
    features = client.InferInput(metadata.inputs[0].name, row.shape, metadata.inputs[0].datatype)
    features.set_data_from_numpy(row)
    # The unit travels as a parameter: a header that differs from call to call would cost the server more.
    reply = server.infer(options.model, [features], headers=headers, parameters={"onecode_unit": "pump-7"})
    for output in metadata.outputs:
        print(output.name, reply.as_numpy(output.name).tolist())
    print("version", reply.get_response().model_version)
