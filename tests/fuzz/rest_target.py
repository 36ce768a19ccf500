"""Try to make the REST face lose its composure with any body: for hypothesis, atheris, or a loop of one's own.

The first byte chooses model, encoding and where the JSON ends; the rest is the body.
"""

import sys
import zlib
from functools import cache
from pathlib import Path
from typing import Any

MODELS = ("plus", "dense", "types", "gaps")
STATUSES = {200, 400, 404, 413}
TIMES = 3
"""First sight, plan, and use of the plan."""


def fuzz_rest_body(data: bytes) -> None:
    """Ask with any body, three times.

    Raises:
        AssertionError: The face broke its word: it failed by its own fault, or the same request got another answer when
            it came again.
    """
    mode, split = (data[0], data[1]) if len(data) > 1 else (0, 0)
    body = data[2:]
    fields: dict[str, str] = {}
    if mode & 4:
        fields["Inference_Header_Content_Length"] = str(split if mode & 8 else max(0, len(body) - split))
    if mode & 16:
        fields["Content_Encoding"] = "deflate"
        body = body if mode & 32 else zlib.compress(body)
    wire = _house().wire()
    seen = set()
    for _ in range(TIMES):
        answer = wire.infer(body, MODELS[mode & 3], **fields)
        # A model that takes missing numbers may answer with one, which is its fault and told as such.
        own = answer.status == 500 and answer.json["code"] == "model.non_finite_output"
        assert answer.status in STATUSES or own, answer
        assert answer.status == 200 or answer.json["error"]
        seen.add((answer.status, answer.body))
    assert len(seen) == 1, seen
    assert _house().plane.idle()


@cache
def _house() -> Any:
    unit = Path(__file__).parents[1] / "unit" / "serving"
    sys.path[:0] = [str(unit), str(unit / "rest")]
    from serving_rest_wire import House

    return House()


def seeds() -> list[bytes]:
    """Return bodies that get far."""
    tensor = b'{"name":"features","datatype":"FP32","shape":[1,4],%b}'
    numbers = tensor % b'"data":[1,2.5,-3e2,0]'
    rows = tensor % b'"data":[[1,2,3,4]]'
    raw = tensor % b'"parameters":{"binary_data_size":16}'
    wanted = b'"outputs":[{"name":"prediction","parameters":{"binary_data":true}}]'
    head = b'{"id":"7","inputs":[%b],' + wanted + b',"parameters":{}}'
    plain = b'{"inputs":[%b]}'
    text = b'{"inputs":[{"name":"s","datatype":"BYTES","shape":[1,2],"data":["a","b"]}]}'
    return [
        b"\0\0" + head % numbers,
        b"\0\0" + head % rows,
        b"\1\0" + plain % numbers,
        b"\4\x10" + head % raw + bytes(16),
        b"\x14\0" + head % numbers,
        b"\x0c\0" + bytes(16),
        b"\2\0" + text,
        b"\3\0" + plain % numbers,
    ]
