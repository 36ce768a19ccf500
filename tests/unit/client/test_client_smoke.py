"""The model of `onecode smoke` is what its questions say."""

import json
from base64 import b64decode
from typing import Any

import numpy as np
import onnxruntime

from onecode_client import smoke


def test_the_golden_answers_are_those_of_the_model() -> None:
    session = onnxruntime.InferenceSession(b64decode(smoke._ONNX), providers=["CPUExecutionProvider"])
    header, *lines = [json.loads(line) for line in smoke.golden_set().splitlines()]
    assert header["rows"] == len(lines) == 64
    for line in lines:
        row = np.array([values(line["inputs"])], np.float32)
        (scores,) = session.run(["scores"], {"features": row})
        assert scores[0].tolist() == values(line["outputs"])


def values(tensors: list[dict[str, Any]]) -> list[float]:
    found: list[float] = tensors[0]["data"]
    return found
