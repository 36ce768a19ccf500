"""Ask a server again and again until it is gone, in a process of its own: two clients cannot share one.

Run with ``fast`` or ``stock`` and the server's host:port. It prints a line once every caller was answered often, and
when nobody listens any more, as JSON, how many requests were answered and what became of the others.
"""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

CALLERS = 8
BEFORE_END = 60
"""Answers of each caller before the server is told to end."""

PATIENCE_S = 5.0
"""Our client looks for a server so long before it says that there is none."""

ROW = [[1.0, 2.0, 3.0, 4.0]]
ANSWER = [[2.0, 3.0, 4.0, 5.0]]

Ask = Callable[[], Awaitable[str]]
"""Makes one request; returns nothing if it was answered right, ``refused`` if nobody took it, else what happened."""


class Tally:
    """What became of the requests of all callers."""

    def __init__(self) -> None:
        self.answered = 0
        self.lost: list[str] = []
        self._warm = 0

    async def keep(self, ask: Ask) -> None:
        """Ask until the server does not take requests any more."""
        number = 0
        while True:
            outcome = await ask()
            if outcome == "refused":
                return
            if outcome:
                self.lost.append(f"after {number}: {outcome}")
                return
            self.answered += 1
            number += 1
            if number == BEFORE_END:
                self._warm += 1
                if self._warm == CALLERS:
                    print("warm", flush=True)  # noqa: T201 - what the test waits for


async def fast(address: str, tally: Tally) -> None:
    """Ask with our own client."""
    import numpy as np

    from onecode_common.errors import OnecodeError
    from onecode_serving.client import OipClient

    row = np.array(ROW, np.float32)

    async with OipClient(address) as client:

        async def ask() -> str:
            try:
                answer = (await client.infer("m", {"features": row}, timeout=PATIENCE_S)).outputs["prediction"]
            except OnecodeError as error:
                return "refused" if error.code == "client.unreachable" else f"{error.code}: {error.message}"
            return "" if answer.tolist() == ANSWER else f"wrong: {answer}"

        await asyncio.gather(*[tally.keep(ask) for _ in range(CALLERS)])


async def stock(address: str, tally: Tally) -> None:
    """Ask with the stock client."""
    import numpy as np
    from tritonclient.grpc.aio import InferenceServerClient, InferInput
    from tritonclient.utils import InferenceServerException

    tensor = InferInput("features", [1, 4], "FP32").set_data_from_numpy(np.array(ROW, np.float32))

    async with InferenceServerClient(address) as client:

        async def ask() -> str:
            try:
                answer = (await client.infer("m", [tensor], client_timeout=PATIENCE_S)).as_numpy("prediction")
            except InferenceServerException as error:
                return "refused" if "failed to connect" in str(error) else str(error)
            return "" if answer.tolist() == ANSWER else f"wrong: {answer}"

        await asyncio.gather(*[tally.keep(ask) for _ in range(CALLERS)])


def main() -> None:
    """Ask, and tell."""
    tally = Tally()
    asyncio.run({"fast": fast, "stock": stock}[sys.argv[1]](sys.argv[2], tally))
    print(json.dumps({"answered": tally.answered, "lost": tally.lost}), flush=True)  # noqa: T201 - as above


if __name__ == "__main__":
    main()
