"""Log settings change what is written, for real; nobody can choose a file from outside."""

import io
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from oip_face import Face
from tritonclient.grpc import service_pb2

from onecode_common.errors import OnecodeError
from onecode_serving.domain import log_settings
from onecode_serving.domain.log_settings import LogSettings


@pytest.fixture
def face() -> Face:
    return Face()


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
