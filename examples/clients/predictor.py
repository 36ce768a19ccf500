"""Ask with OneCode's own client, rows as people have them: ``python predictor.py 127.0.0.1:8000 MODEL 0.1 0.2``."""

import argparse

from onecode_client import Predictor

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("address")
parser.add_argument("model")
parser.add_argument("values", nargs="+", type=float, help="one row")
parser.add_argument("--token-file", type=argparse.FileType())
options = parser.parse_args()

with Predictor(options.address, token=options.token_file.read().strip() if options.token_file else "") as server:
    answer = server.predict(options.model, [options.values], unit="pump-7")
    for name, array in answer.outputs.items():
        print(name, array.tolist())
    print("release", answer.release, answer.arm, answer.digest)
