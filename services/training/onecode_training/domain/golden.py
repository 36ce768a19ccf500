"""Write the questions with known answers that travel with a model."""

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

ATOL, RTOL = 1e-4, 1e-3
_FORMAT = 1

Feeds = Mapping[str, NDArray[Any]]


def golden_file(questions: Sequence[Feeds], answers: Sequence[Feeds]) -> bytes:
    """Return a ``golden.jsonl``: a header, then one row a line.

    Args:
        questions: Inputs by name, one row each.
        answers: What the file itself answered.
    """
    header: dict[str, Any] = {
        "format": _FORMAT,
        "rows": len(questions),
        "atol": ATOL,
        "rtol": RTOL,
        "allowed_mismatch": 0,
    }
    lines = [header]
    for question, answer in zip(questions, answers, strict=True):
        lines.append({"inputs": _tensors(question), "outputs": _tensors(answer)})
    return b"".join(_line(line) for line in lines)


def datatype_of(array: NDArray[Any]) -> str:
    """Return the protocol's name of an array's type."""
    return {"f": "FP32", "i": "INT64"}.get(array.dtype.kind, "BYTES")


def _line(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _tensors(feeds: Feeds) -> list[dict[str, Any]]:
    return [
        {"name": name, "datatype": datatype_of(array), "shape": list(array.shape), "data": _data(array)}
        for name, array in feeds.items()
    ]


def _data(array: NDArray[Any]) -> list[Any]:
    flat = array.reshape(-1)
    if array.dtype.kind == "f":
        # Nine digits bring a float32 back exactly.
        return [None if math.isnan(value) else float(f"{value:.9g}") for value in flat.tolist()]
    return [int(value) for value in flat] if array.dtype.kind == "i" else [str(value) for value in flat]
