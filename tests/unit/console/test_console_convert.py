"""JSON of REST and messages of the contracts say the same, and nothing unknown passes."""

import json
import math
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from onecode.ingestion.v1 import ingestion_pb2 as ing
from onecode.registry.v1 import registry_pb2 as reg
from onecode.rollout.v1 import rollout_pb2 as ro
from onecode.training.v1 import training_pb2 as tr
from onecode_common.errors import InvalidError
from onecode_console.convert import from_json, from_query, to_json

PLAN = {
    "model": "shuttle",
    "candidate": "sha256:" + "1" * 64,
    "segments": ["cloud", "line-1"],
    "unit": "UNIT_REQUEST",
    "steps": [{"share": 1000, "min_observe_seconds": 5}, {"share": 10000, "manual_gate": True}],
    "preset": {"name": "fast", "alpha": 0.05, "probation_seconds": 20},
    "metrics": [{"metric": "errors", "must_pass": True, "on_bad": "rollback"}],
    "supersede": False,
}


def test_a_plan_survives_the_way_in_and_out() -> None:
    plan = ro.Plan()
    from_json(PLAN, plan)
    again = ro.Plan()
    from_json(json.loads(json.dumps(to_json(plan))), again)
    assert again == plan
    assert to_json(plan)["steps"][1] == {"share": 10000, "manual_gate": True, "min_observe_seconds": 0}


def test_integers_are_numbers_times_are_text_and_bytes_are_base64() -> None:
    version = ing.Version(rows=1 << 53, bytes=-1)
    version.created.FromJsonString("2026-11-21T08:00:00Z")
    document = to_json(version)
    assert (document["rows"], document["created"]) == (1 << 53, "2026-11-21T08:00:00Z")
    assert to_json(reg.GetDistributionResponse(root_metadata=b"\x00\xff"))["root_metadata"] == "AP8="


def test_unset_optional_fields_are_left_out_and_set_zeroes_stay() -> None:
    assert "score" not in to_json(tr.Trial())
    assert to_json(tr.Trial(score=0.0))["score"] == 0.0
    assert to_json(tr.Trial())["number"] == 0
    assert "text" not in to_json(ing.Cell())


def test_what_is_not_finite_is_text() -> None:
    point = ro.EvidencePoint(log_e_worse=math.inf, log_e_better=-math.inf, log_e_floor=math.nan)
    document = to_json(point)
    assert [document[name] for name in ("log_e_worse", "log_e_better", "log_e_floor")] == [
        "Infinity",
        "-Infinity",
        "NaN",
    ]


def test_an_enum_value_of_a_newer_service_is_its_number() -> None:
    run = tr.Run()
    run.state = 77
    assert to_json(run)["state"] == 77


@pytest.mark.parametrize(
    ("document", "path"),
    [
        ({"model": 1}, "model"),
        ({"segments": "cloud"}, "segments"),
        ({"segments": ["a", None]}, "segments[1]"),
        ({"steps": [{"share": "1000"}]}, "steps[0].share"),
        ({"steps": [{"share": True}]}, "steps[0].share"),
        ({"steps": [{"share": 1 << 31}]}, "steps[0].share"),
        ({"steps": [{"share": 1.0}]}, "steps[0].share"),
        ({"steps": [[]]}, "steps[0]"),
        ({"preset": {"alpha": "0.05"}}, "preset.alpha"),
        ({"preset": {"alpha": False}}, "preset.alpha"),
        ({"supersede": "yes"}, "supersede"),
        ({"supersede": 1}, "supersede"),
        ({"unit": "UNIT_MOON"}, "unit"),
        ({"unit": 1}, "unit"),
        ({"modell": "x"}, "modell"),
        ({"preset": {"Alpha": 1}}, "preset.Alpha"),
        ({"../../etc": 1}, "../../etc"),
        ([], ""),
        (None, ""),
    ],
)
def test_a_wrong_value_is_refused_with_its_path(document: Any, path: str) -> None:
    with pytest.raises(InvalidError) as refused:
        from_json(document, ro.Plan())
    assert refused.value.params["field"] == path


def test_a_value_that_is_refused_is_quoted_short_and_in_ascii() -> None:
    with pytest.raises(InvalidError) as refused:
        from_json({"model": ["\ud800" * 1000]}, ro.Plan())
    assert refused.value.message.isascii()
    assert len(refused.value.message) < 200


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01T00:00:00Z", 7, {}, "9999999-01-01T00:00:00Z"])
def test_a_time_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidError):
        from_json({"created": text}, ing.Version())


def test_a_time_is_read() -> None:
    version = ing.Version()
    from_json({"created": "2026-11-21T08:00:00.5Z"}, version)
    assert version.created == Timestamp(seconds=1795248000, nanos=500_000_000)


def test_maps_and_bytes_are_read() -> None:
    request = reg.PublishPolicyRequest()
    from_json({"policies": {"fleet/a/policy.json": "AP8="}, "fleet_metadata": "e30="}, request)
    assert (request.policies["fleet/a/policy.json"], request.fleet_metadata) == (b"\x00\xff", b"{}")
    for wrong in ({"policies": []}, {"policies": {"a": "%%"}}, {"fleet_metadata": "é"}):
        with pytest.raises(InvalidError):
            from_json(wrong, request)


@pytest.mark.parametrize("text", ["", "x", "1e3", "--1", "٣", " 1", "9" * 30, "2147483648"])
def test_a_query_number_that_is_none_is_refused(text: str) -> None:
    field = ing.ListDatasetsRequest.DESCRIPTOR.fields_by_name["page_size"]
    with pytest.raises(InvalidError):
        from_query(field, text)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*PLAN, "x"]), inner, max_size=4),
        max_leaves=12,
    )
)
def test_any_document_is_read_or_refused_with_our_error(document: Any) -> None:
    refused = ""
    try:
        from_json(document, ro.Plan())
    except InvalidError as error:
        refused = error.code
    assert refused in ("", "request.invalid", "request.unknown_field")
