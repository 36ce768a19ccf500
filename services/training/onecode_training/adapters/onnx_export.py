"""Convert a fitted pipeline to one ONNX file with its preprocessing inside."""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import onnx
from lightgbm import LGBMClassifier, LGBMRegressor
from onnx import helper, numpy_helper
from onnxmltools.convert.lightgbm.operator_converters.LightGbm import convert_lightgbm
from skl2onnx import convert_sklearn, update_registered_converter
from skl2onnx.common.data_types import FloatTensorType, StringTensorType
from skl2onnx.common.shape_calculator import (
    calculate_linear_classifier_output_shapes,
    calculate_linear_regressor_output_shapes,
)
from sklearn.pipeline import Pipeline

from onecode_training.adapters.onnx_file import finalise_onnx
from onecode_training.domain.names import CATEGORIES, FEATURES, LABEL, PREDICTION, PROBABILITIES
from onecode_training.domain.tabledata import TableData

TARGET_OPSET = {"": 18, "ai.onnx.ml": 3}
_PLACE = "onecode_label_place"
_CLASSES = "onecode_classes"


def export(pipeline: Pipeline, data: TableData) -> bytes:
    """Return the finalised file of a fitted pipeline.

    Raises:
        InvalidError: It cannot be served; see :func:`finalise_onnx`.
    """
    _register_lightgbm()
    inputs: list[tuple[str, Any]] = []
    if data.numbers.shape[1]:
        inputs.append((FEATURES, FloatTensorType([None, data.numbers.shape[1]])))
    if data.texts.shape[1]:
        inputs.append((CATEGORIES, StringTensorType([None, data.texts.shape[1]])))
    options = {} if data.is_regression else {id(pipeline[-1]): {"zipmap": False}}
    model = convert_sklearn(
        pipeline, name="model", initial_types=inputs, target_opset=TARGET_OPSET, options=options or None
    )
    if data.is_regression:
        _rename(model, model.graph.output[0].name, PREDICTION)
        _state_shape(model.graph.output[0], 1)
    else:
        _name_classes(model, data.classes)
    return finalise_onnx(model)


@cache
def _register_lightgbm() -> None:
    kinds: list[tuple[Any, str, Callable[..., Any], dict[str, Any]]] = [
        (
            LGBMClassifier,
            "LightGbmLGBMClassifier",
            calculate_linear_classifier_output_shapes,
            {"nocl": [True, False], "zipmap": [True, False, "columns"]},
        ),
        (LGBMRegressor, "LightGbmLGBMRegressor", calculate_linear_regressor_output_shapes, {"split": None}),
    ]
    for kind, name, shapes, options in kinds:
        update_registered_converter(kind, name, shapes, convert_lightgbm, options=options)


def _name_classes(model: onnx.ModelProto, classes: tuple[Any, ...]) -> None:
    """Make the file answer with the classes themselves: estimators were fitted on their places 0, 1, ..."""
    label, scores = model.graph.output
    _rename(model, scores.name, PROBABILITIES)
    _state_shape(scores, len(classes))
    if list(classes) == list(range(len(classes))):
        _rename(model, label.name, LABEL)
        _state_shape(label)
        return
    _rename(model, label.name, _PLACE)
    values = np.array(classes, np.int64) if isinstance(classes[0], int) else np.array(classes, object)
    model.graph.initializer.append(numpy_helper.from_array(values, _CLASSES))
    model.graph.node.append(helper.make_node("Gather", [_CLASSES, _PLACE], [LABEL], axis=0))
    kind = onnx.TensorProto.INT64 if isinstance(classes[0], int) else onnx.TensorProto.STRING
    label.CopyFrom(helper.make_tensor_value_info(LABEL, kind, [None]))


def _rename(model: onnx.ModelProto, old: str, new: str) -> None:
    if old == new:
        return
    for node in model.graph.node:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
    for output in model.graph.output:
        if output.name == old:
            output.name = new


def _state_shape(output: onnx.ValueInfoProto, *tail: int) -> None:
    kind = output.type.tensor_type.elem_type
    output.CopyFrom(helper.make_tensor_value_info(output.name, kind, [None, *tail]))
