"""A trial ends with a named cause whatever the model does, and this process never notices."""

import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import serving_models as make

from onecode_serving.trial import TrialLimits, TrialReport, try_model

SHORT = TrialLimits(cpu_s=1, wall_s=15)
GOOD = make.built("dense", 1, make.dense())


def test_a_good_version_passes_with_its_shapes_and_its_time() -> None:
    report = try_model(GOOD.onnx, GOOD.manifest, GOOD.golden)
    assert (report.ok, report.cause) == (True, "")
    assert report.inputs == ({"name": "features", "datatype": "FP32", "shape": [-1, 4]},)
    assert [entry["name"] for entry in report.outputs] == ["label", "probabilities"]
    assert report.p95_us > 0


def test_a_foreign_file_without_manifest_passes_and_is_described() -> None:
    report = try_model(make.plus(1))
    assert report.ok
    assert report.outputs == ({"name": "prediction", "datatype": "FP32", "shape": [-1, 4]},)


def _cause(onnx: bytes, golden: bytes | None = None, limits: TrialLimits = SHORT, **manifest: object) -> TrialReport:
    report = try_model(onnx, {**GOOD.manifest, **manifest} if manifest else None, golden, limits)
    assert not report.ok
    assert report.detail
    return report


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\x00" * 1000,
        b"not a model",
        GOOD.onnx[: len(GOOD.onnx) // 2],
        GOOD.onnx[:-1],
        bytes([GOOD.onnx[0] ^ 1]) + GOOD.onnx[1:],
    ],
)
def test_broken_bytes_do_not_load(content: bytes) -> None:
    assert _cause(content).cause == "load"


def test_another_contract_than_the_graphs_does_not_load() -> None:
    contract = make.built("plus", 1, make.plus(1)).manifest["contract"]
    assert "manifest states names" in _cause(GOOD.onnx, contract=contract).detail


def test_wrong_golden_answers_are_told_with_the_first_row() -> None:
    report = _cause(GOOD.onnx, make.golden_set(make.dense(seed=2)))
    assert report.cause == "golden"
    assert "row 1" in report.detail


def test_a_golden_set_that_cannot_be_read_is_a_golden_failure() -> None:
    assert _cause(GOOD.onnx, b"{}").cause == "golden"


def test_a_model_that_answers_nan_to_zeros_is_told() -> None:
    nodes = [make.helper.make_node("Div", ["features", "features"], ["prediction"])]
    value = make.value("features", make.TensorProto.FLOAT, ["N", 4])
    content = make.serialized(nodes, [value], [make.value("prediction", make.TensorProto.FLOAT, ["N", 4])])
    assert _cause(content).cause == "nan_on_probe"


def test_a_small_file_that_wants_gigabytes_ends_at_the_limit() -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert _cause(make.memory_bomb()).cause == "memory"
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100_000


def test_a_model_that_never_ends_is_stopped_by_its_processor_time() -> None:
    assert _cause(make.endless_loop()).cause == "timeout"


def test_a_model_that_never_ends_is_stopped_by_the_wall_clock_too() -> None:
    assert _cause(make.endless_loop(), limits=replace(SHORT, cpu_s=60, wall_s=1)).cause == "timeout"


def test_a_sequence_output_is_refused() -> None:
    nodes = [make.helper.make_node("SequenceConstruct", ["features", "features"], ["both"])]
    value = make.value("features", make.TensorProto.FLOAT, ["N", 4])
    output = make.helper.make_tensor_sequence_value_info("both", make.TensorProto.FLOAT, None)
    report = _cause(make.serialized(nodes, [value], [output]))
    assert "only plain tensors" in report.detail


def test_weights_outside_of_the_file_are_never_looked_for() -> None:
    import onnx

    model = onnx.load_from_string(make.plus(1))
    weight = model.graph.initializer[0]
    onnx.external_data_helper.set_external_data(weight, "etc/hostname", offset=0, length=4)
    weight.ClearField("raw_data")
    weight.data_location = onnx.TensorProto.EXTERNAL
    assert _cause(model.SerializeToString()).cause == "load"


def _children(parent: int) -> list[int]:
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent and fields[0] != "Z":
            found.append(int(entry.parent.name))
    return found


def test_a_trial_does_not_outlive_its_parent() -> None:
    """The parent is killed in the middle of a trial that would go on for a minute."""
    script = (
        "import sys; from onecode_serving.trial import TrialLimits, try_model;"
        "try_model(sys.stdin.buffer.read(), limits=TrialLimits(cpu_s=60, wall_s=60))"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE) as parent:
        assert parent.stdin is not None
        parent.stdin.write(make.endless_loop())
        parent.stdin.close()
        ends = time.monotonic() + 20
        while not (children := _children(parent.pid)) or _cpu_s(children[0]) < 1:
            assert time.monotonic() < ends
        parent.kill()
    while any(Path(f"/proc/{child}").exists() and _state(child) != "Z" for child in children):
        assert time.monotonic() < ends


def _cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"
