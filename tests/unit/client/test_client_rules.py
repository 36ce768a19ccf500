"""What the client makes of words, rows and events."""

import math

import numpy as np
import pandas as pd
import pytest

from onecode_client.cli.options import key_values
from onecode_client.cli.predict import read_rows
from onecode_client.predict import as_rows, read_answer, request_of
from onecode_client.results import ModelVersion, Run
from onecode_client.rollouts import make_plan
from onecode_client.sse import Frame, frames
from onecode_common.errors import InvalidError, OnecodeError


def test_numbers_and_texts_go_into_the_tensors_of_the_contract() -> None:
    request = request_of([[1, "red", 2.5, None], [3, "blue", 4, 5]])
    assert request["inputs"] == [
        {"name": "features", "datatype": "FP32", "shape": [2, 3], "data": [1.0, 2.5, None, 3.0, 4.0, 5.0]},
        {"name": "categories", "datatype": "BYTES", "shape": [2, 1], "data": ["red", "blue"]},
    ]


@pytest.mark.parametrize("missing", [None, math.nan, math.inf, np.float32("nan")])
def test_a_missing_value_travels_as_null(missing: float | None) -> None:
    assert request_of([[missing]])["inputs"][0]["data"] == [None]


@pytest.mark.parametrize(
    "rows",
    [
        [[1.0, 2.0], [3.0, 4.0]],
        ((1.0, 2.0), (3.0, 4.0)),
        np.array([[1.0, 2.0], [3.0, 4.0]]),
    ],
)
def test_rows_may_be_lists_or_an_array(rows: object) -> None:
    assert as_rows(rows) == [[1.0, 2.0], [3.0, 4.0]]


def test_one_row_needs_no_second_bracket() -> None:
    assert as_rows([1.0, 2.0]) == [[1.0, 2.0]]


def test_a_frame_becomes_rows_by_column_name() -> None:
    assert as_rows(pd.DataFrame({"a": [1.0], "b": [2.0]})) == [{"a": 1.0, "b": 2.0}]


@pytest.mark.parametrize("rows", [[], [[1.0], [1.0, 2.0]]])
def test_no_rows_and_ragged_rows_are_refused(rows: list[list[float]]) -> None:
    with pytest.raises(InvalidError, match="one length"):
        request_of(rows)


def test_an_answer_says_which_version_gave_it() -> None:
    prediction = read_answer(
        {
            "outputs": [{"name": "label", "datatype": "INT64", "shape": [1], "data": [1]}],
            "parameters": {"onecode_model_digest": "sha256:ab", "onecode_release": "3", "onecode_arm": "candidate"},
        }
    )
    assert (prediction.outputs["label"], prediction.release, prediction.arm) == ([1], 3, "candidate")


def test_events_are_read_and_heartbeats_are_not() -> None:
    lines = ["retry: 1000", ": hello", "", "id: 7", "event: progress", 'data: {"a":', "data: 1}", "", ": still", ""]
    assert list(frames(lines)) == [Frame("progress", "7", {"a": 1})]


def test_an_event_that_is_cut_off_is_not_read() -> None:
    assert list(frames(["event: run", 'data: {"a": 1}'])) == []


def test_an_event_that_is_no_json_is_refused() -> None:
    with pytest.raises(OnecodeError, match="not JSON"):
        list(frames(["data: {", ""]))


def test_a_result_keeps_what_this_release_does_not_know() -> None:
    run = Run.read({"run_id": "r_1", "state": "RUN_STATE_FAILED", "invented_later": 1})
    assert run.ended
    assert not run.succeeded
    assert run.document["invented_later"] == 1


def test_results_are_equal_by_what_they_say() -> None:
    assert ModelVersion.read({"model": "m", "release": 1}) == ModelVersion.read({"model": "m", "release": 1, "new": 2})


def test_a_plan_is_written_in_basis_points_and_names_of_the_contract() -> None:
    plan = make_plan("m", "sha256:1", ["cloud", "line-1"], unit="gateway", preset={"min_observe_seconds": 5})
    assert plan == {
        "model": "m",
        "candidate": "sha256:1",
        "segments": ["cloud", "line-1"],
        "unit": "UNIT_GATEWAY",
        "steps": [{"share": 1000}, {"share": 5000}, {"share": 10000}],
        "preset": {"min_observe_seconds": 5},
    }


def test_settings_of_a_preset_keep_their_types() -> None:
    assert key_values(["a=1", "b=0.5", "c=fast", "d=true"]) == {"a": 1, "b": 0.5, "c": "fast", "d": True}


def test_rows_to_predict_are_csv_with_a_header_or_json() -> None:
    assert read_rows("a,b\n1,x\n,y\n") == [{"a": 1.0, "b": "x"}, {"a": None, "b": "y"}]
    assert read_rows("[[1, 2]]") == [[1, 2]]
    assert read_rows('{"a": 1}') == [{"a": 1}]
    with pytest.raises(InvalidError, match="not JSON"):
        read_rows("[1,")
