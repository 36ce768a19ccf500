"""Keep a hundred calls in flight from asyncio: ``python fast_asyncio.py 127.0.0.1:8001 MODEL 0.1 0.2``."""

import argparse
import asyncio
import time

import numpy as np

from onecode_serving.client import OipClient

CALLS = 100


async def main() -> None:
    """Ask for the same row a hundred times at once."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("address")
    parser.add_argument("model")
    parser.add_argument("values", nargs="+", type=float, help="one row")
    parser.add_argument("--token-file", type=argparse.FileType())
    options = parser.parse_args()
    token = options.token_file.read().strip() if options.token_file else ""
    async with OipClient(options.address, token=token) as server:
        name, _, _ = (await server.metadata(options.model)).inputs[0]
        row = {name: np.array([options.values], np.float32)}
        began = time.perf_counter()
        answers = await server.infer_many(options.model, [row] * CALLS, unit="pump-7", timeout=1.0)
        spent = time.perf_counter() - began
    print({output: array.tolist() for output, array in answers[0].outputs.items()})
    print(f"{CALLS} answers of release {answers[0].release} in {spent * 1000:.1f} ms")


asyncio.run(main())
