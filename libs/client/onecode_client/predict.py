"""Predict in the Open Inference Protocol's JSON, from rows as people have them."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from onecode_client.nouns import Noun, part
from onecode_client.predictor import Answer, Predictor
from onecode_client.results import Prediction
from onecode_common.errors import InvalidError

Rows = Sequence[Sequence[Any]] | Sequence[Mapping[str, Any]] | Any


class Predict(Noun):
    """Predictions by the cloud, through the console, or by any OIP server."""

    def predict(self, model: str, rows: Rows, *, unit: str = "", url: str = "", token: str = "") -> Prediction:
        """Return the outputs for some rows.

        Args:
            model: Name.
            rows: Lists of numbers in the model's order, mappings by column name, or an array or frame of these.
            unit: Who asks, for a sticky assignment; empty lets the server draw.
            url: Address of a gateway or of the cloud's own model server, see
                :class:`~onecode_client.predictor.Predictor`; empty asks the cloud through the console.
            token: Bearer token for that address, where it wants one.

        Raises:
            InvalidError: The rows do not fit the model.
        """
        plain = as_rows(rows)
        if plain and isinstance(plain[0], Mapping):
            plain = self._in_order(model, plain)
        if url:
            # The console's token is nobody else's business.
            with Predictor(url, token=token) as other:
                return told(other.predict(model, plain, unit=unit))
        body = request_of(plain)
        if unit:
            body["parameters"] = {"onecode_unit": unit}
        return read_answer(self._rest.send("POST", f"/predict/{part(model)}", json=body).json())

    def _in_order(self, model: str, rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
        version = self._rest.get(f"/models/{part(model)}")["version"]
        names = [name for tensor in version["contract"]["inputs"] for name in tensor.get("columns", [])]
        if not names:
            # An imported model names no columns: the rows' own order is all there is.
            return [list(row.values()) for row in rows]
        missing = sorted(set(names) - set(rows[0]))
        if missing:
            message = f"the rows have no column {missing[0]!r}, which model {model} wants"
            raise InvalidError(message, code="client.column", params={"column": missing[0]})
        return [[row.get(name) for name in names] for row in rows]


def as_rows(rows: Rows) -> list[Any]:
    """Return rows as lists or mappings, from lists, a numpy array or a pandas frame."""
    if hasattr(rows, "to_dict") and hasattr(rows, "columns"):
        return list(rows.to_dict("records"))
    listed = rows.tolist() if hasattr(rows, "tolist") else list(rows)
    if listed and not isinstance(listed[0], list | tuple | Mapping):
        listed = [listed]
    return [row if isinstance(row, Mapping) else list(row) for row in listed]


def request_of(rows: Sequence[Sequence[Any]]) -> dict[str, Any]:
    """Return the request: numbers go into ``features``, texts into ``categories``, each in its order.

    Raises:
        InvalidError: There are no rows, or they are of different lengths.
    """
    if not rows or any(len(row) != len(rows[0]) for row in rows):
        message = "rows must be of one length, and at least one"
        raise InvalidError(message, code="client.rows")
    texts = [index for index in range(len(rows[0])) if any(isinstance(row[index], str) for row in rows)]
    numbers = [index for index in range(len(rows[0])) if index not in texts]
    inputs = []
    if numbers:
        data = [_number(row[index]) for row in rows for index in numbers]
        inputs.append({"name": "features", "datatype": "FP32", "shape": [len(rows), len(numbers)], "data": data})
    if texts:
        words = ["" if row[index] is None else str(row[index]) for row in rows for index in texts]
        inputs.append({"name": "categories", "datatype": "BYTES", "shape": [len(rows), len(texts)], "data": words})
    return {"inputs": inputs}


def read_answer(answer: Mapping[str, Any]) -> Prediction:
    """Return the prediction of an OIP answer."""
    parameters = answer.get("parameters", {})
    return Prediction(
        outputs={output["name"]: output["data"] for output in answer["outputs"]},
        shapes={output["name"]: output["shape"] for output in answer["outputs"]},
        digest=str(parameters.get("onecode_model_digest", "")),
        release=int(parameters.get("onecode_release", 0) or 0),
        arm=str(parameters.get("onecode_arm", "")),
        document=answer,
    )


def told(answer: Answer) -> Prediction:
    """Return what a model server answered in the same form as the console's answers: flat lists with shapes."""
    outputs = {name: array.ravel().tolist() for name, array in answer.outputs.items()}
    shapes = {name: list(array.shape) for name, array in answer.outputs.items()}
    document = {
        "model_name": answer.model,
        "model_version": answer.version,
        "parameters": dict(answer.parameters),
        "outputs": [{"name": name, "shape": shapes[name], "data": data} for name, data in outputs.items()],
    }
    return Prediction(outputs, shapes, answer.digest, answer.release, answer.arm, document=document)


def _number(value: Any) -> float | None:
    # JSON has no NaN: a missing value travels as null.
    if value is None:
        return None
    number = float(value)
    return number if math.isfinite(number) else None
