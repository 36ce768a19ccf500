"""Trace settings change what is written, for real; nobody can choose a file from outside."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oip_face import Face, features, request, tensor
from tritonclient.grpc import service_pb2

from onecode_common.errors import OnecodeError
from onecode_serving.domain import trace_settings
from onecode_serving.domain.trace_settings import TraceSettings
from onecode_serving.oip.options import OipOptions

FULL = {"trace_file", "trace_level", "trace_rate", "trace_count", "log_frequency", "trace_mode"}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "traces.jsonl"


@pytest.fixture
def face(file: Path) -> Face:
    return Face(OipOptions(trace_file=file))


def trace(face: Face, model: str = "", /, **settings: Any) -> dict[str, list[str]]:
    """Change settings: text or a list is a value, None is none; return the full set."""
    message = service_pb2.TraceSettingRequest(model_name=model)
    for name, value in settings.items():
        message.settings[name].value.extend([] if value is None else [value] if isinstance(value, str) else value)
    return {name: list(one.value) for name, one in face.ask("TraceSetting", message).settings.items()}


def predict(face: Face, times: int = 1, model: str = "plus") -> None:
    for number in range(times):
        face.infer(request(model, tensor("features", features(), "FP32"), id=str(number)))


def written(face: Face, file: Path) -> list[dict[str, Any]]:
    face.service.traces.flush()
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def refusal(face: Face, model: str = "", /, **settings: Any) -> tuple[str, str]:
    before = trace(face)
    with pytest.raises(OnecodeError) as caught:
        trace(face, model, **settings)
    assert trace(face) == before
    return caught.value.kind, caught.value.code


def test_the_full_set_is_the_answer(face: Face, file: Path) -> None:
    assert trace(face) == {
        "trace_file": [str(file)],
        "trace_level": ["OFF"],
        "trace_rate": ["1000"],
        "trace_count": ["-1"],
        "log_frequency": ["0"],
        "trace_mode": ["triton"],
    }
    assert set(trace(face, "plus")) == FULL


def test_sampled_requests_are_written_with_their_times(face: Face, file: Path) -> None:
    trace(face, trace_level="TIMESTAMPS", trace_rate="3")
    predict(face, 10)
    found = written(face, file)
    assert [one["request_id"] for one in found] == ["2", "5", "8"]
    assert {(one["model_name"], one["model_version"], one["outcome"]) for one in found} == {("plus", "2", "ok")}
    for one in found:
        start, end = one["timestamps"]
        assert (start["name"], end["name"]) == ("REQUEST_START", "REQUEST_END")
        assert start["ns"] <= end["ns"]
        assert "tensors" not in one


def test_refused_requests_are_traced_with_their_code(face: Face, file: Path) -> None:
    trace(face, trace_level="TIMESTAMPS", trace_rate="1")
    with pytest.raises(OnecodeError):
        face.infer(request("plus"))
    assert [one["outcome"] for one in written(face, file)] == ["input.tensor"]


def test_tensors_are_described_and_their_values_are_not_written(face: Face, file: Path) -> None:
    trace(face, trace_level=["TENSORS"], trace_rate="1")
    predict(face)
    (found,) = written(face, file)
    assert found["tensors"] == [
        {"kind": "input", "name": "features", "datatype": "FP32", "shape": [1, 4]},
        {"kind": "output", "name": "prediction", "datatype": "FP32", "shape": [1, 4]},
    ]


def test_streams_are_traced_too(face: Face, file: Path) -> None:
    trace(face, trace_level="TIMESTAMPS", trace_rate="1")
    stream, _ = face.stream("/inference.GRPCInferenceService/ModelStreamInfer")
    for number in range(4):
        stream.message(request("plus", tensor("features", features(), "FP32"), id=str(number)).SerializeToString())
        face.turns.run()
    assert len(written(face, file)) == 4


def test_a_count_ends_by_itself(face: Face, file: Path) -> None:
    trace(face, trace_level="TIMESTAMPS", trace_rate="1", trace_count="2")
    predict(face, 5)
    assert len(written(face, file)) == 2
    assert trace(face)["trace_count"] == ["0"]
    assert not face.service.traces.active


def test_a_model_has_its_own_settings_until_they_are_cleared(face: Face, file: Path) -> None:
    assert trace(face, "plus", trace_level="TIMESTAMPS", trace_rate="1")["trace_rate"] == ["1"]
    assert trace(face)["trace_level"] == ["OFF"]
    predict(face, 2)
    predict(face, 2, "labelled")
    assert {one["model_name"] for one in written(face, file)} == {"plus"}
    trace(face, trace_count="7")
    assert trace(face, "plus")["trace_count"] == ["7"]
    assert trace(face, "plus", trace_level=None, trace_rate=None)["trace_rate"] == ["1000"]
    assert trace(face, "plus") == trace(face)
    assert not face.service.traces.active


def test_clearing_for_all_is_the_default(face: Face) -> None:
    trace(face, trace_rate="7", trace_level="TIMESTAMPS")
    assert trace(face, trace_rate=None, trace_level=None) == trace(Face(face.service.options))


def test_a_number_of_traces_is_written_at_once(face: Face, file: Path) -> None:
    trace(face, trace_level="TIMESTAMPS", trace_rate="1", log_frequency="3")
    predict(face, 2)
    assert not file.exists()
    predict(face, 1)
    assert len(file.read_text().splitlines()) == 3


def test_a_full_file_drops_traces_and_counts_them(face: Face, file: Path) -> None:
    face.service.traces._most = 1000
    trace(face, trace_level="TIMESTAMPS", trace_rate="1")
    predict(face, 20)
    kept = len(written(face, file))
    assert 0 < kept < 20
    assert file.stat().st_size <= 1000
    assert face.service.traces.dropped == 20 - kept


def test_a_file_that_cannot_be_written_costs_traces_and_no_answers(tmp_path: Path) -> None:
    face = Face(OipOptions(trace_file=tmp_path / "no" / "where"))
    trace(face, trace_level="TIMESTAMPS", trace_rate="1", log_frequency="1")
    predict(face, 3)
    assert face.service.traces.dropped == 3


@pytest.mark.parametrize(
    ("settings", "kind"),
    [
        ({"strange": "1"}, "invalid"),
        ({"trace_file": "/etc/passwd"}, "invalid"),
        ({"trace_mode": "opentelemetry"}, "invalid"),
        ({"trace_level": "LOUD"}, "invalid"),
        ({"trace_level": ["OFF", "TIMESTAMPS"]}, "invalid"),
        ({"trace_rate": "0"}, "invalid"),
        ({"trace_rate": "-1"}, "invalid"),
        ({"trace_rate": "1.5"}, "invalid"),
        ({"trace_rate": "9" * 19}, "invalid"),
        ({"trace_rate": ["1", "2"]}, "invalid"),
        ({"trace_count": "-2"}, "invalid"),
        ({"log_frequency": "x"}, "invalid"),
        ({"trace_rate": "1" * 1025}, "invalid"),
        ({"trace_rate": "1", "trace_level": "LOUD"}, "invalid"),
    ],
)
def test_what_cannot_be_set_is_refused_and_changes_nothing(face: Face, settings: dict[str, Any], kind: str) -> None:
    assert refusal(face, **settings)[0] == kind
    assert refusal(face, "plus", **settings)[0] == kind


def test_an_unchanged_set_can_be_sent_back(face: Face) -> None:
    trace(face, trace_level="TIMESTAMPS")
    before = trace(face)
    assert trace(face, **before) == before


def test_without_a_file_only_off_is_possible() -> None:
    face = Face()
    assert refusal(face, trace_level="TIMESTAMPS") == ("precondition", "trace.no_file")
    assert trace(face, trace_level="OFF", trace_rate="5")["trace_rate"] == ["5"]
    assert trace(face)["trace_file"] == [""]


def test_a_model_that_is_not_here_has_no_settings(face: Face) -> None:
    assert refusal(face, "nobody", trace_rate="1")[0] == "not_found"


@given(
    st.dictionaries(
        st.sampled_from([*FULL, "x"]), st.one_of(st.none(), st.text(max_size=6), st.lists(st.text(max_size=6)))
    )
)
def test_any_trace_change_is_taken_whole_or_refused(changes: Any) -> None:
    settings = TraceSettings(trace_file="f")
    try:
        found = trace_settings.changed(settings, changes, settings)
    except OnecodeError:
        return
    assert (found.trace_file, found.trace_mode) == ("f", "triton")
    assert found.trace_rate >= 1
    assert found.trace_count >= -1
