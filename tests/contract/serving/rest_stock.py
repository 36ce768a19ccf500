"""Stock HTTP clients in every way that they can be used."""

import asyncio
from typing import Any

import numpy as np
import tritonclient.http as stock
import tritonclient.http.aio as stock_aio
from oip_stock import headers
from tritonclient.http import InferInput, InferRequestedOutput

FORMS = (
    "bytes", "bytes as json", "json as bytes", "json", "all bytes", "gzip", "deflate", "json gzip", "asks gzip",
    "asks deflate", "both gzip", "async", "async json", "aio", "aio json", "aio gzip", "aio asks gzip",
)  # fmt: skip
"""Ways to make a prediction: the tensors' form, who packs what, which client."""

WAIT_S = 30


class HttpStock:
    """One HTTP client of each kind, asking in any form.

    Args:
        address: host:port of the server.
    """

    def __init__(self, address: str) -> None:
        self.client = stock.InferenceServerClient(address, connection_timeout=WAIT_S, network_timeout=WAIT_S)
        self._loop = asyncio.new_event_loop()
        self.aio: Any = self.run(self._make(address))

    def run(self, coroutine: Any) -> Any:
        """Run a coroutine on the loop of the asyncio client."""
        return self._loop.run_until_complete(asyncio.wait_for(coroutine, WAIT_S))

    def close(self) -> None:
        """End both clients."""
        self.client.close()
        self.run(self.aio.close())
        self._loop.close()

    def infer(
        self,
        form: str,
        model: str,
        arrays: dict[str, tuple[str, Any]],
        wanted: dict[str, int] | None = None,
        key: str = "caller",
        **more: Any,
    ) -> Any:
        """Predict in one of :data:`FORMS`; raises the stock client's error.

        Args:
            form: How.
            model: Name.
            arrays: Datatype and array by input.
            wanted: Outputs with their number of top classes (0: numbers); None: all, as the form has it.
            key: Principal.
            more: For the client.
        """
        client_words, out_json = form.split(), form in ("json", "bytes as json", "async json", "aio json")
        in_json = form in ("json", "json as bytes", "async json", "aio json", "json gzip")
        inputs = [tensor(name, array, kind, binary=not in_json) for name, (kind, array) in arrays.items()]
        outputs = (
            None
            if wanted is None
            else [
                InferRequestedOutput(name, binary_data=not out_json, class_count=classes)
                for name, classes in wanted.items()
            ]
        )
        more = {"headers": headers(key), "outputs": outputs, **more}
        packed = "deflate" if "deflate" in client_words else "gzip"
        if "asks" not in client_words and ("gzip" in client_words or "deflate" in client_words):
            more["request_compression_algorithm"] = packed
        if "asks" in client_words or "both" in client_words:
            more["response_compression_algorithm"] = packed
        if "aio" in client_words:
            return self.run(self.aio.infer(model, inputs, **more))
        if "async" in client_words:
            return self.client.async_infer(model, inputs, **more).get_result(timeout=WAIT_S)
        return self.client.infer(model, inputs, **more)

    async def _make(self, address: str) -> Any:
        return stock_aio.InferenceServerClient(address)


def tensor(name: str, array: Any, datatype: str = "FP32", *, binary: bool = True) -> InferInput:
    """Return an input of the stock client."""
    made = InferInput(name, list(array.shape), datatype)
    made.set_data_from_numpy(array, binary_data=binary)
    return made


def texts(array: Any) -> list[str]:
    """Return the texts of a BYTES output, which one form gives as bytes and the other as text."""
    return [item.decode() if isinstance(item, bytes) else str(item) for item in np.asarray(array).ravel()]
