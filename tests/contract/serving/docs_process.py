"""The inference server as its settings make it, with the models of the how-to pages and without a registry.

Run with settings in the environment. It prints its ports, in the order of its addresses, and serves until standard
input ends.
"""

import json
import sys

import serving_models as make
from onnx import TensorProto, helper

from onecode_common.clock import SystemClock
from onecode_inference.__main__ import open_access
from onecode_inference.service import SOURCE, new_faces
from onecode_inference.settings import InferenceSettings
from onecode_serving.assembly import new_plane
from onecode_serving.counters import Counters
from onecode_serving.data_plane import full_route
from onecode_serving.loading import load_version
from onecode_serving.version import ServedVersion

WINDOW = 3
CLASSES = ["ok", "worn", "broken"]


def pump_fault() -> ServedVersion:
    """Return a classifier of four numbers whose classes have names."""
    built = make.built("pump-fault", 3, make.dense())
    for output in built.manifest["contract"]["outputs"]:
        if output["name"] == "probabilities":
            output["labels"] = CLASSES
    return load_version(built.manifest, built.onnx)


def bearing_wear() -> ServedVersion:
    """Return the largest of the last three readings of two sensors."""
    content = make.serialized(
        [helper.make_node("ReduceMax", ["readings", "axes"], ["wear"], keepdims=0)],
        [make.value("readings", TensorProto.FLOAT, ["N", WINDOW, 2])],
        [make.value("wear", TensorProto.FLOAT, ["N", 2])],
        [make.numpy_helper.from_array(make.np.array([1], make.np.int64), "axes")],
    )
    built = make.built("bearing-wear", 1, content, golden=b"")
    return load_version(built.manifest, built.onnx)


def main() -> None:
    """Serve until standard input ends."""
    settings = InferenceSettings.load()
    clock = SystemClock()
    plane = new_plane(settings, Counters(), clock, SOURCE)
    versions = [pump_fault(), bearing_wear()]
    for version in versions:
        plane.install(version)
    plane.set_routes({one.model: full_route(one.model, one.digest, one.release) for one in versions})
    faces, _ = new_faces(settings, plane, open_access(settings, clock))
    faces.start()
    print(json.dumps(faces.ports), flush=True)  # noqa: T201 - the answer to the test
    sys.stdin.read()
    faces.stop()


if __name__ == "__main__":
    main()
