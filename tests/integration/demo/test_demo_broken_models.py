"""The two broken models of the demo are broken in the way the story says, and in no other."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from onnxruntime import InferenceSession
from skl2onnx import to_onnx
from sklearn.linear_model import LogisticRegression

from onecode_standalone.demo.broken_models import fail_on_rare_readings, scores_of, swap_scores
from onecode_standalone.demo.readings import Readings, write_readings

PROBES = np.concatenate([np.zeros((1, 9)), np.ones((1, 9))]).astype(np.float32)


@pytest.fixture(scope="module")
def readings(tmp_path_factory: pytest.TempPathFactory) -> Readings:
    return write_readings(tmp_path_factory.mktemp("demo") / "readings.csv")


@pytest.fixture(scope="module")
def model(readings: Readings) -> bytes:
    trained = LogisticRegression().fit(readings.features[:2000, :3], readings.labels[:2000])
    trained.coef_ = np.concatenate([trained.coef_, np.zeros((1, 6))], axis=1)
    trained.n_features_in_ = 9
    converted = to_onnx(
        trained,
        readings.features[:1],
        initial_types=None,
        options={"zipmap": False},
        target_opset={"": 18, "ai.onnx.ml": 3},
    )
    converted.graph.input[0].name = "features"
    for node in converted.graph.node:
        node.input[:] = ["features" if name == "X" else name for name in node.input]
    return bytes(converted.SerializeToString())


def rows_of(readings: Readings) -> NDArray[np.float32]:
    return readings.features[:1500]


def test_the_file_holds_every_reading_and_the_dirty_rows_that_it_names(readings: Readings) -> None:
    lines = Path(readings.path).read_text(encoding="utf-8").splitlines()
    assert len(lines) == 1 + readings.rows + readings.ragged
    assert sum(line.count(",") > 9 for line in lines) == readings.ragged
    assert sum("ERR" in line for line in lines) == readings.bad_cells


def test_swapped_scores_are_wrong_on_every_row_that_is_not_a_draw(readings: Readings, model: bytes) -> None:
    good, bad = scores_of(model, rows_of(readings)), scores_of(swap_scores(model), rows_of(readings))
    np.testing.assert_array_equal(bad, good[:, ::-1])


def test_the_silent_fault_spares_golden_rows_and_probes_and_hits_about_three_percent(
    readings: Readings, model: bytes
) -> None:
    golden = readings.features[-64:]
    fault = fail_on_rare_readings(model, readings.features, golden, PROBES)
    assert 0.005 < fault.share < 0.06
    session = InferenceSession(fault.content, providers=["CPUExecutionProvider"])
    for spared in (golden, PROBES):
        assert np.isfinite(session.run(["probabilities"], {"features": spared})[0]).all()


def test_the_silent_fault_changes_no_other_answer(readings: Readings, model: bytes) -> None:
    rows = rows_of(readings)
    fault = fail_on_rare_readings(model, readings.features, readings.features[-64:], PROBES)
    good, bad = scores_of(model, rows), scores_of(fault.content, rows)
    finite = np.isfinite(bad).all(axis=1)
    np.testing.assert_array_equal(bad[finite], good[finite])
    sensor = rows[:, fault.sensor]
    inside = (sensor > np.float32(fault.above)) & (sensor < np.float32(fault.below))
    np.testing.assert_array_equal(finite, ~inside)
