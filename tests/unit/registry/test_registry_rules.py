"""Rules of the registry that need nothing from outside."""

import json
import math
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.canonical import digest_of
from onecode_common.errors import ConflictError, InvalidError
from onecode_registry.domain.contract import (
    Contract,
    Graph,
    Tensor,
    check_contract,
    contract_document,
    derive,
    guess_task,
    read_contract,
    require_graph,
)
from onecode_registry.domain.formats import require_accepted_name, require_onnx_head
from onecode_registry.domain.numbers import json_object, number_text
from onecode_registry.domain.policy import read_policy
from onecode_registry.domain.ranges import Range, requested_range
from onecode_registry.domain.run import Point, RunLog, check_log, merge
from onecode_registry.domain.version import Draft, File, check_alias, make_version, require_same_request

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
FEATURES = Tensor("features", "FP32", (-1, 3), ("a", "b", "c"), (0.1, 0.2, math.nan), (1.0, 2.0, 3.0), (), True)  # noqa: FBT003
LABEL = Tensor("label", "INT64", (-1,))
SCORES = Tensor("probabilities", "FP32", (-1, 2), labels=("0", "1"))
CONTRACT = Contract((FEATURES,), (LABEL, SCORES), "classification")


def bare(tensor: Tensor) -> Tensor:
    return Tensor(tensor.name, tensor.datatype, tensor.shape)


GRAPH = Graph((bare(FEATURES),), (bare(LABEL), bare(SCORES)), 10, 18, 3)


def test_a_contract_survives_the_manifest_unchanged() -> None:
    document = json.loads(json.dumps(contract_document(CONTRACT)))
    found = read_contract(document)
    assert repr(found) == repr(CONTRACT)
    assert document["inputs"][0]["minimum"] == ["0.1", "0.2", ""]


def test_a_graph_may_leave_open_what_the_contract_states_but_not_the_reverse() -> None:
    open_outputs = (Tensor("label", "INT64", ()), Tensor("probabilities", "FP32", (-1, -1)))
    require_graph(CONTRACT, Graph(GRAPH.inputs, open_outputs, 10, 18))
    with pytest.raises(InvalidError):
        require_graph(Contract((Tensor("features", "FP32", (-1, -1)),), CONTRACT.outputs), GRAPH)


def test_a_foreign_contract_takes_meaning_from_its_example_only_where_tensors_are_the_same() -> None:
    assert derive(GRAPH, CONTRACT, frozenset()) == CONTRACT
    other = Graph((Tensor("features", "FP32", (-1, 4)),), GRAPH.outputs, 10, 18)
    derived = derive(other, CONTRACT, frozenset())
    assert derived.inputs[0] == Tensor("features", "FP32", (-1, 4))
    assert derived.outputs[1].labels == ("0", "1")
    assert derive(GRAPH, None, frozenset({"features"})).inputs[0].allow_nan


def test_a_task_is_guessed_from_the_outputs() -> None:
    assert guess_task([LABEL, SCORES]) == "classification"
    assert guess_task([Tensor("prediction", "FP32", (-1, 1))]) == "regression"
    assert guess_task([SCORES]) == "unknown"


@pytest.mark.parametrize(
    "contract",
    [
        Contract((), (LABEL,)),
        Contract((FEATURES, FEATURES), (LABEL,)),
        Contract((FEATURES,), (LABEL,), "magic"),
        Contract((Tensor("", "FP32", (-1,)),), (LABEL,)),
        Contract((Tensor("a\x00", "FP32", (-1,)),), (LABEL,)),
        Contract((Tensor("a", "FP32", ()),), (LABEL,)),
        Contract((Tensor("a", "FP32", (-1, -2)),), (LABEL,)),
        Contract((Tensor("a", "FP8", (-1,)),), (LABEL,)),
        Contract((Tensor("a", "FP32", (-1, 2), minimum=(1.0,)),), (LABEL,)),
    ],
)
def test_a_contract_that_nobody_can_keep_is_refused(contract: Contract) -> None:
    with pytest.raises(InvalidError):
        check_contract(contract)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", Range(0, 1)),
        ("bytes=0-", Range(0, 100)),
        ("bytes=99-", Range(99, 100)),
        ("bytes=100-", Range(0, 0)),
        ("bytes=-1", Range(99, 100)),
        ("bytes=-0", Range(0, 0)),
        ("bytes=-1000", Range(0, 100)),
        ("bytes=10-5", None),
        ("bytes=-", None),
        ("bytes=a-b", None),
        ("bytes=0-1,3-4", None),
        ("bytes=" + "9" * 19 + "-", None),
        ("items=0-1", None),
        ("", None),
    ],
)
def test_a_range_is_understood_or_ignored(header: str, expected: Range | None) -> None:
    assert requested_range(header, 100) == expected


@given(st.integers(0, 300), st.integers(0, 300), st.integers(0, 200))
def test_a_range_lies_within_the_file(first: int, last: int, size: int) -> None:
    found = requested_range(f"bytes={first}-{last}", size)
    if found is not None:
        assert 0 <= found.start <= found.end <= size
        assert found.length <= last - first + 1


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_itself(value: float) -> None:
    assert float(number_text(value, "x")) == value


def test_a_document_keeps_fractions_as_they_were_written() -> None:
    assert json_object('{"a": 0.10, "b": 1, "c": [1e-7]}', "x") == {"a": "0.10", "b": 1, "c": ["1e-7"]}
    assert json_object("", "x") == {}


def draft(request_id: str = "r1", body: str = "b") -> Draft:
    files = (File("model.onnx", "0" * 64, 10), File("golden.jsonl", "1" * 64, 20))
    return Draft(
        "default", request_id, body, "shuttle", files, CONTRACT, {"rows": 64}, {}, {}, {}, {"opset": 18}, "1.5"
    )


def test_a_version_is_its_manifest_and_nothing_else() -> None:
    version = make_version(draft(), 3, "register", "alice", NOW)
    assert version.digest == digest_of(json.loads(version.manifest))
    assert version.document()["created"] == "2026-01-01T12:00:00Z"
    assert version.files() == draft().files
    assert make_version(draft("r2"), 3, "register", "alice", NOW).digest != version.digest


def test_a_request_id_belongs_to_one_content() -> None:
    version = make_version(draft(), 1, "register", "alice", NOW)
    require_same_request(version, "register", "b")
    for kind, body in (("register", "c"), ("import", "b")):
        with pytest.raises(ConflictError):
            require_same_request(version, kind, body)


def policy(**changes: Any) -> bytes:
    arms = [{"digest": f"sha256:{'a' * 64}"}, {"digest": f"sha256:{'b' * 64}"}]
    models = [{"arms": arms, "rollback_to": [f"sha256:{'c' * 64}"]}, {"arms": []}]
    return json.dumps({"tenant": "default", "segment": "s", "models": models, **changes}).encode()


def test_a_policy_names_what_serves_and_what_to_go_back_to() -> None:
    named = read_policy("fleet/s/policy.json", policy(), "default")
    assert named.segment == "s"
    assert named.digests == {f"sha256:{letter * 64}" for letter in "abc"}


@pytest.mark.parametrize(
    "content",
    [
        policy(tenant="x"),
        policy(segment="t"),
        policy(models=None),
        policy(models=[1]),
        policy(models=[{}]),
        b"",
        b"[]",
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_a_policy_for_others_or_of_another_shape_is_refused(content: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        read_policy("fleet/s/policy.json", content, "default")
    assert caught.value.code == "policy.invalid"


@pytest.mark.parametrize(
    "path",
    [
        "fleet/policy.json",
        "fleet/a/b/policy.json",
        "/fleet/a/policy.json",
        "fleet/../policy.json",
        "fleet/A/policy.json",
        "fleet/a/policy.json\n",
    ],
)
def test_a_policy_has_one_path_for_each_segment(path: str) -> None:
    with pytest.raises(InvalidError) as caught:
        read_policy(path, policy(), "default")
    assert caught.value.code == "policy.path"


def run_log(batch: int, **changes: Any) -> RunLog:
    fields: dict[str, Any] = {"state": "running", "parameters": {}, "tags": {}, "points": [], **changes}
    return RunLog("default", "r", batch, **fields)


def test_a_parameter_keeps_its_first_value_and_a_tag_its_last() -> None:
    run = merge(None, run_log(1, parameters={"a": "1"}, tags={"t": "1"}), NOW)
    run = merge(run, run_log(2, parameters={"a": "2", "b": "3"}, tags={"t": "2"}, state="failed"), NOW)
    assert (run.parameters, run.tags) == ({"a": "1", "b": "3"}, {"t": "2"})
    assert list(run.parameters) == ["a", "b"]
    assert (run.state, run.last_batch, run.revision) == ("failed", 2, 2)


@pytest.mark.parametrize(
    "log",
    [
        run_log(1, state="done"),
        run_log(1, parameters={"": "x"}),
        run_log(1, parameters={"a" * 251: "x"}),
        run_log(1, tags={"a\n": "x"}),
        run_log(1, points=[Point("../x", 1.0, 0, NOW)]),
        run_log(1, points=[Point("/x", 1.0, 0, NOW)]),
        run_log(1, parameters={str(number): "x" for number in range(1001)}),
        run_log(1, points=[Point("x", 1.0, number, NOW) for number in range(10_001)]),
    ],
)
def test_what_mlflow_would_refuse_is_refused_at_once(log: RunLog) -> None:
    with pytest.raises(InvalidError):
        check_log(log)


@pytest.mark.parametrize("alias", ["champion", "challenger", "a_b-c1"])
def test_names_that_are_no_version_may_be_aliases(alias: str) -> None:
    check_alias(alias)


@pytest.mark.parametrize("name", ["m.pkl", "M.PT", "dir/m.joblib", "m.onnx.zip", "saved_model.pb"])
def test_other_formats_are_known_by_their_name(name: str) -> None:
    with pytest.raises(InvalidError) as caught:
        require_accepted_name(name)
    assert caught.value.code == "model.format_not_accepted"


@pytest.mark.parametrize("name", ["m.onnx", "m", "", "m.bin"])
def test_a_name_that_tells_nothing_is_no_reason_to_refuse(name: str) -> None:
    require_accepted_name(name)


@pytest.mark.parametrize(
    "head", [b"", b"PK\x03\x04", b"\x80\x04\x95", b"\x89HDF\r\n", b"\x1f\x8b\x08", b"{}", b"<html>"]
)
def test_bytes_that_begin_like_something_else_are_not_onnx(head: bytes) -> None:
    with pytest.raises(InvalidError) as caught:
        require_onnx_head(head)
    assert caught.value.code == "model.not_onnx"
