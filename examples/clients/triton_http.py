"""Ask with the stock client over REST, tensors as bytes: ``python triton_http.py 127.0.0.1:8000 MODEL 0.1 0.2``."""

import argparse

import numpy as np
import tritonclient.http as client

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("address")
parser.add_argument("model")
parser.add_argument("values", nargs="+", type=float, help="one row")
parser.add_argument("--token-file", type=argparse.FileType())
options = parser.parse_args()
headers = {"authorization": f"Bearer {options.token_file.read().strip()}"} if options.token_file else {}

server = client.InferenceServerClient(options.address)
metadata = server.get_model_metadata(options.model, headers=headers)
row = np.array([options.values], np.float32)
features = client.InferInput(metadata["inputs"][0]["name"], row.shape, metadata["inputs"][0]["datatype"])
features.set_data_from_numpy(row, binary_data=True)
reply = server.infer(options.model, [features], headers=headers)
for output in metadata["outputs"]:
    print(output["name"], reply.as_numpy(output["name"]).tolist())
print("version", reply.get_response()["model_version"])
server.close()
