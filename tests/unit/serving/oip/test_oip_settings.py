"""Trace and log settings change what is written, for real; nobody can choose a file from outside."""

import io
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oip_face import Face, features, request, tensor
from tritonclient.grpc import service_pb2

from onecode_common.errors import OnecodeError
from onecode_serving.domain import log_settings, trace_settings
from onecode_serving.domain.log_settings import LogSettings
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


@pytest.fixture
def output(face: Face) -> Iterator[io.StringIO]:
    """Return what the program logs, with times."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    root = logging.getLogger()
    before, level = root.handlers[:], root.level
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    yield stream
    face.service.close()
    root.handlers[:] = before
    root.setLevel(level)


def log(face: Face, **settings: Any) -> dict[str, Any]:
    message = service_pb2.LogSettingsRequest()
    for name, value in settings.items():
        kind = "bool_param" if isinstance(value, bool) else "uint32_param" if isinstance(value, int) else "string_param"
        setattr(message.settings[name], kind, value)
    return {
        name: getattr(one, one.WhichOneof("parameter_choice"))
        for name, one in face.ask("LogSettings", message).settings.items()
    }


def said(output: io.StringIO, name: str = "onecode_serving.x") -> list[str]:
    """Log one record of each level and return those that were written."""
    output.seek(0)
    output.truncate()
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logging.getLogger(name).log(level, "word")
    return [line.split()[-3] for line in output.getvalue().splitlines() if line.endswith("word")]


def test_the_log_settings_are_those_of_the_program(output: io.StringIO) -> None:
    expected = {
        "log_file": "", "log_info": True, "log_warning": True, "log_error": True, "log_verbose_level": 0,
        "log_format": "default",
    }  # fmt: skip
    assert log(Face()) == expected
    assert said(output) == ["INFO", "WARNING", "ERROR"]


def test_each_level_can_be_off_by_itself(face: Face, output: io.StringIO) -> None:
    log(face, log_info=True, log_warning=False, log_error=True)
    assert said(output) == ["INFO", "ERROR"]
    log(face, log_info=False, log_warning=True)
    assert said(output) == ["WARNING", "ERROR"]
    log(face, log_warning=False, log_error=False)
    assert said(output) == []
    assert said(output, "somebody.else") == ["INFO", "WARNING", "ERROR"]


def test_a_verbose_level_brings_details(face: Face, output: io.StringIO) -> None:
    log(face, log_verbose_level=1, log_info=True, log_warning=True, log_error=True)
    assert said(output) == ["DEBUG", "INFO", "WARNING", "ERROR"]
    log(face, log_verbose_level=0)
    assert said(output) == ["INFO", "WARNING", "ERROR"]


def test_the_form_of_times_can_be_changed_and_back(face: Face, output: io.StringIO) -> None:
    log(face, log_format="ISO8601", log_info=True)
    said(output)
    stamp = output.getvalue().split()[0]
    assert (stamp[10], stamp[-1]) == ("T", "Z")
    log(face, log_format="default")
    said(output)
    assert "T" not in output.getvalue().split()[0]


def test_closing_logs_as_before(face: Face, output: io.StringIO) -> None:
    log(face, log_info=False, log_warning=False, log_error=False, log_format="ISO8601")
    face.service.close()
    assert said(output) == ["INFO", "WARNING", "ERROR"]


@pytest.mark.parametrize(
    "settings",
    [
        {"strange": True},
        {"log_info": 1},
        {"log_info": "true"},
        {"log_verbose_level": True},
        {"log_verbose_level": "1"},
        {"log_format": "JSON"},
        {"log_format": True},
        {"log_file": "/etc/passwd"},
        {"log_file": 7},
        {"log_info": False, "strange": 1},
    ],
)
def test_a_log_change_that_cannot_be_is_refused_and_changes_nothing(
    face: Face, output: io.StringIO, settings: dict[str, Any]
) -> None:
    before = log(face)
    with pytest.raises(OnecodeError) as caught:
        log(face, **settings)
    assert caught.value.kind == "invalid"
    assert log(face) == before
    assert said(output) == ["INFO", "WARNING", "ERROR"]


@given(
    st.dictionaries(
        st.sampled_from([*LogSettings().document(), "x"]), st.one_of(st.booleans(), st.integers(), st.text())
    )
)
def test_any_log_change_is_taken_whole_or_refused(changes: Any) -> None:
    try:
        found = log_settings.changed(LogSettings(), changes)
    except OnecodeError:
        return
    assert found.log_file == ""
    assert {name: found.document()[name] for name in changes} == changes
