"""Sampled calls are written in columns; inputs and outputs only where that was allowed, and never more than fits."""

from pathlib import Path

import numpy as np
import pytest
import serving_models as make
from execution_bench import Bench, loaded, rows_of

from onecode_common.clock import SystemClock
from onecode_serving.call_log import CallLog, LoggedCall, columns, file_name
from onecode_serving.data_plane import full_route
from onecode_serving.domain.options import LogOptions, ModelOptions


def logged_bench(tmp_path: Path, options: LogOptions, content: bytes) -> tuple[Bench, CallLog]:
    log = CallLog(tmp_path, SystemClock(), draw=lambda: 0.5)
    bench = Bench(call_log=log)
    version = loaded(content)
    bench.plane.set_options({"m": ModelOptions(log=options)})
    bench.plane.install(version)
    bench.plane.set_routes({"m": full_route("m", version.digest, 1)})
    log.start()
    return bench, log


def read(tmp_path: Path) -> list[dict[str, np.ndarray]]:
    found = []
    for path in sorted(tmp_path.glob("m/*.npz")):
        with np.load(path, allow_pickle=False) as archive:
            found.append(dict(archive))
    return found


def test_a_captured_call_has_its_rows_and_its_answer(tmp_path: Path) -> None:
    bench, log = logged_bench(tmp_path, LogOptions(fraction=1.0, capture=True), make.plus(1))
    bench.ask(1, rows_of(1, 2))
    bench.ask(2, rows_of(3))
    bench.ask_general(rows_of(4))
    bench.turns.until_quiet()
    log.stop()
    (one,) = read(tmp_path)
    assert one["rows"].tolist() == [2, 1, 1]
    assert one["call"].tolist() == [0, 0, 1, 2]
    assert one["input.features"][:, 0].tolist() == [1, 2, 3, 4]
    assert one["output.prediction"][:, 0].tolist() == [2, 3, 4, 5]
    assert one["arm"].tolist() == ["stable"] * 3
    assert set(one["code"].tolist()) == {"ok"}


def test_without_permission_no_value_is_written(tmp_path: Path) -> None:
    bench, log = logged_bench(tmp_path, LogOptions(fraction=1.0), make.plus(1))
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()
    log.stop()
    (one,) = read(tmp_path)
    assert set(one) == {"time", "digest", "arm", "rows", "seconds", "code"}


def test_a_failed_call_is_written_with_its_code_and_without_its_rows(tmp_path: Path) -> None:
    bench, log = logged_bench(tmp_path, LogOptions(fraction=1.0, capture=True), make.root_of())
    bench.ask(1, rows_of(-1))
    bench.turns.until_quiet()
    log.stop()
    (one,) = read(tmp_path)
    assert one["code"].tolist() == ["model.non_finite_output"]
    assert "input.features" not in one


def test_calls_outside_of_the_sample_leave_no_trace(tmp_path: Path) -> None:
    bench, log = logged_bench(tmp_path, LogOptions(fraction=0.4), make.plus(1))
    bench.ask(1, rows_of(1))
    bench.turns.until_quiet()
    log.stop()
    assert read(tmp_path) == []


def call(**more: object) -> LoggedCall:
    facts = {"time": 1.0, "model": "m", "digest": "d", "arm": "", "rows": 1, "seconds": 0.1, "code": "ok"}
    return LoggedCall(**{**facts, "inputs": {}, "outputs": {}, **more})  # type: ignore[arg-type]


def test_the_oldest_files_go_when_the_bound_is_reached(tmp_path: Path) -> None:
    log = CallLog(tmp_path, SystemClock(), keep_bytes=4000)
    for number in range(12):
        log._folder.mkdir(exist_ok=True)
        log._write([call(digest=f"sha256:{number}")])
    kept = [one["digest"][0] for one in read(tmp_path)]
    assert 0 < len(kept) < 12
    assert sum(path.stat().st_size for path in tmp_path.glob("m/*")) <= 4000
    assert "sha256:11" in kept


def test_more_calls_than_the_disk_takes_are_lost_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecode_serving.call_log._WAITING", 3)
    log = CallLog(tmp_path, SystemClock())
    for _ in range(5):
        log.add(call())
    assert log.lost == 2


def test_texts_are_written_without_code_to_read_them_back() -> None:
    texts = np.array(["a", "bc"], object)
    written = columns([call(rows=2, inputs={"x": texts}, outputs={"y": texts})])
    assert written["input.x"].dtype.kind == "U"


@pytest.mark.parametrize("model", ["../up", "a/b", "线", "a.b"])
def test_a_models_name_never_leaves_the_folder(model: str) -> None:
    assert "/" not in file_name(model)
    assert "." not in file_name(model)
