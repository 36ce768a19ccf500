"""Build the two broken models that the story must stop: one answers wrongly, one only sometimes.

Both are honest ONNX files made from a good one, as a careless hand in a real plant would make them.
"""

from dataclasses import dataclass

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

INPUT = "features"
SCORES = "probabilities"
_WANTED_SHARE = 0.03


@dataclass(frozen=True, slots=True)
class SilentFault:
    """A model whose scores are no numbers for some readings.

    Attributes:
        content: The ONNX file.
        share: Share of the held-out readings it fails on, 0..1.
        sensor: Index of the sensor that it cannot take.
        above, below: It fails on readings between these two.
    """

    content: bytes
    share: float
    sensor: int
    above: float
    below: float


def swap_scores(content: bytes) -> bytes:
    """Return the model with its class scores in the wrong order: loads, runs, and is wrong on every row."""
    model = onnx.load_from_string(content)
    inner = _rename_output(model, SCORES)
    order = numpy_helper.from_array(np.array([1, 0], np.int64), "demo_wrong_order")
    model.graph.initializer.append(order)
    model.graph.node.append(helper.make_node("Gather", [inner, "demo_wrong_order"], [SCORES], axis=1))
    return bytes(model.SerializeToString())


def fail_on_rare_readings(
    content: bytes, readings: NDArray[np.float32], golden: NDArray[np.float32], probes: NDArray[np.float32]
) -> SilentFault:
    """Return the model with a division that goes wrong in a part of one sensor's range.

    The part is chosen so that about 3 % of the readings fail and none of the golden rows does: exactly the
    fault that no test before the release can see.

    Raises:
        ValueError: No sensor of these readings allows that.
    """
    sensor, above, below = _rare(readings, np.concatenate([golden, probes]))
    model = onnx.load_from_string(content)
    inner = _rename_output(model, SCORES)
    constants: dict[str, NDArray[np.int64] | NDArray[np.float32]] = {
        "demo_sensor": np.array([sensor], np.int64),
        "demo_above": np.array([above], np.float32),
        "demo_below": np.array([below], np.float32),
        "demo_zero": np.array([0.0], np.float32),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    # 0 / 0 inside the part, 0 / 1 outside: added to the scores it is NaN or nothing.
    model.graph.node.extend(
        [
            helper.make_node("Gather", [INPUT, "demo_sensor"], ["demo_reading"], axis=1),
            helper.make_node("Greater", ["demo_reading", "demo_above"], ["demo_is_above"]),
            helper.make_node("Less", ["demo_reading", "demo_below"], ["demo_is_below"]),
            helper.make_node("And", ["demo_is_above", "demo_is_below"], ["demo_inside"]),
            helper.make_node("Not", ["demo_inside"], ["demo_outside"]),
            helper.make_node("Cast", ["demo_outside"], ["demo_divisor"], to=TensorProto.FLOAT),
            helper.make_node("Div", ["demo_zero", "demo_divisor"], ["demo_fault"]),
            helper.make_node("Add", [inner, "demo_fault"], [SCORES]),
        ]
    )
    fault = bytes(model.SerializeToString())
    failing = ~np.isfinite(scores_of(fault, readings)).all(axis=1)
    return SilentFault(fault, float(failing.mean()), sensor, above, below)


def scores_of(content: bytes, readings: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the scores of ONNX Runtime in this process, row by row as requests would; float32 [n, classes]."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    rows = [session.run([SCORES], {INPUT: readings[index : index + 1]})[0] for index in range(len(readings))]
    return np.concatenate(rows)


def _rare(readings: NDArray[np.float32], spared: NDArray[np.float32]) -> tuple[int, float, float]:
    """Return the sensor and the gap between spared values that holds closest to 3 % of the readings."""
    best: tuple[float, int, float, float] | None = None
    for sensor in range(readings.shape[1]):
        column = np.sort(readings[:, sensor])
        edges = np.concatenate([[-np.inf], np.unique(spared[:, sensor]), [np.inf]]).astype(np.float32)
        inside = np.searchsorted(column, edges[1:], "left") - np.searchsorted(column, edges[:-1], "right")
        distances = np.abs(inside / len(column) - _WANTED_SHARE)
        gap = int(distances.argmin())
        if best is None or distances[gap] < best[0]:
            best = (float(distances[gap]), sensor, float(edges[gap]), float(edges[gap + 1]))
    if best is None or best[0] > _WANTED_SHARE * 0.7:
        message = "no sensor has about 3 % of its readings in a gap between the golden rows"
        raise ValueError(message)
    return best[1:]


def _rename_output(model: onnx.ModelProto, name: str) -> str:
    inner = f"demo_{name}"
    for node in model.graph.node:
        for index, output in enumerate(node.output):
            if output == name:
                node.output[index] = inner
        for index, source in enumerate(node.input):
            if source == name:
                node.input[index] = inner
    return inner
