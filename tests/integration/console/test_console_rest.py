"""REST says what the services say, takes nothing it does not know, and speaks problem documents."""

import hashlib
import json
from typing import Any

import pytest

VERSION = "sha256:" + "d" * 64
JSON = {"content-type": "application/json"}
PLAN = {"model": "shuttle", "candidate": "sha256:" + "2" * 64, "segments": ["cloud"], "steps": [{"share": 10_000}]}


@pytest.mark.parametrize(
    ("path", "keys"),
    [
        ("/version", {"version", "api"}),
        ("/datasets", {"datasets", "next_page_token"}),
        ("/datasets/shuttle", {"name", "version", "versions"}),
        (f"/dataset-versions/{VERSION}", {"version"}),
        (f"/dataset-versions/{VERSION}/profile", {"profile"}),
        (f"/dataset-versions/{VERSION}/rows?offset=10&limit=2", {"columns", "rows", "total"}),
        ("/runs", {"runs", "next_page_token"}),
        ("/runs/r_done", {"run"}),
        ("/models", {"models"}),
        ("/models/shuttle", {"name", "version", "versions", "aliases"}),
        ("/models/shuttle/versions/2", {"version"}),
        ("/segments", {"segments"}),
        ("/gateways?segment=line-1", {"gateways"}),
        ("/gateways/gw-1", {"gateway"}),
        ("/rollouts?model=shuttle&page_size=10", {"rollouts", "next_page_token"}),
        ("/rollouts/r_live", {"rollout"}),
        ("/rollouts/r_live/explain", {"decisions", "sentence"}),
        ("/audit", {"audit", "next_before"}),
    ],
)
def test_what_is_asked_is_answered_with_the_names_of_the_contracts(stand: Any, path: str, keys: Any) -> None:
    with stand.program() as program:
        answer = program.get(f"/api/v1{path}")
    assert answer.status_code == 200, answer.text
    assert set(answer.json()) == keys


def test_numbers_and_states_are_what_programs_expect(stand: Any) -> None:
    with stand.program() as program:
        run = program.get("/api/v1/runs/r_done").json()["run"]
        rows = program.get(f"/api/v1/dataset-versions/{VERSION}/rows?offset=0&limit=1").json()
        rollout = program.get("/api/v1/rollouts/r_live").json()["rollout"]
    assert (run["state"], run["model_release"], run["trials"][0]["bytes"]) == ("RUN_STATE_SUCCEEDED", 2, 9000)
    assert rows["rows"][0]["cells"][2] == {}
    assert rollout["candidate_count"]["requests"] == 9000
    assert rollout["created"].endswith("Z")


def test_the_newest_version_comes_first(stand: Any) -> None:
    with stand.program() as program:
        model = program.get("/api/v1/models/shuttle").json()
    assert [one["release"] for one in model["versions"]] == [2, 1]
    assert (model["version"]["release"], sorted(model["aliases"])) == (2, ["challenger", "champion"])


def test_a_call_reaches_the_service_in_the_callers_name(stand: Any, plant: Any) -> None:
    with stand.program() as program:
        program.get("/api/v1/datasets?page_size=7&page_token=t")
    method, principal, request = plant.calls[-1]
    assert (method, principal, request.project, request.page_size) == ("ListDatasets", "token:admin", "default", 7)
    with stand.browser() as browser:
        browser.get("/api/v1/datasets")
    assert plant.calls[-1][1] == "admin"


def test_a_recipe_is_taken_as_text_and_as_an_object(stand: Any, plant: Any) -> None:
    body = {"run_id": "r_new", "dataset_version": VERSION, "model": "shuttle"}
    with stand.program() as program:
        assert program.post("/api/v1/runs", json={**body, "recipe": "task: x"}).status_code == 200
        assert plant.last("StartRun").recipe == "task: x"
        assert program.post("/api/v1/runs", json={**body, "recipe": {"task": "x"}}).json()["run"]["run_id"] == "r_new"
        assert json.loads(plant.last("StartRun").recipe) == {"task": "x"}
        found = program.post("/api/v1/recipes/validate", json={"recipe": {"task": "x"}}).json()
        assert found["problems"] == [{"path": "budget.max_bytes", "message": "is negative", "value": ""}]


def test_a_plan_travels_whole(stand: Any, plant: Any) -> None:
    body = {"rollout_id": "r_plan", "plan": {**PLAN, "preset": {"alpha": 0.05, "probation_seconds": 20}}}
    with stand.program() as program:
        assert program.post("/api/v1/rollouts", json=body).json()["rollout"]["rollout_id"] == "r_plan"
        sent = plant.last("CreateRollout")
        assert (sent.plan.preset.alpha, sent.plan.steps[0].share, sent.project) == (0.05, 10_000, "default")
        planned = program.post("/api/v1/rollouts/plan", json={"plan": PLAN, "requests_per_second": 3.5}).json()
        assert planned["estimate"]["sentence"] == "about 40 min"
        assert plant.last("PlanRollout").requests_per_second == 3.5


def test_each_action_carries_its_own_switch(stand: Any, plant: Any) -> None:
    with stand.program() as program:
        first = program.post("/api/v1/rollouts/r_live/pause", json={"reason": "look"})
        assert first.json()["rollout"]["state"] == "paused"
        again = program.post("/api/v1/rollouts/r_live/pause", json={"reason": "look"})
        assert (again.status_code, again.json()["code"]) == (409, "rollout.state")
        assert program.post("/api/v1/rollouts/r_live/resume", json={"override": True}).status_code == 200
        assert plant.last("ResumeRollout").override
        assert program.post("/api/v1/rollouts/r_live/pause").status_code == 200
        assert program.post("/api/v1/rollouts/r_live/resume").status_code == 200
        assert not plant.last("ResumeRollout").override
        refused = program.post("/api/v1/rollouts/r_live/pause", json={"force": True})
        assert (refused.status_code, refused.json()["code"]) == (422, "request.unknown_field")


def test_a_model_version_is_deleted_by_its_number(stand: Any, plant: Any) -> None:
    with stand.program() as program:
        assert program.request("DELETE", "/api/v1/models/shuttle/versions/2").status_code == 200
        assert plant.last("DeleteVersion").digest == "sha256:" + "2" * 64
        assert program.request("DELETE", "/api/v1/models/shuttle/versions/9").status_code == 404
        assert program.request("DELETE", "/api/v1/models/shuttle/versions/x").status_code == 422


def test_an_alias_is_set_by_compare_and_set(stand: Any, plant: Any) -> None:
    digest = "sha256:" + "1" * 64
    with stand.program() as program:
        body = {"digest": digest, "expected_digest": ""}
        assert program.put("/api/v1/models/shuttle/aliases/champion", json=body).status_code == 200
    sent = plant.last("SetAlias")
    assert (sent.model, sent.alias, sent.digest, sent.expected_digest) == ("shuttle", "champion", digest, "")


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/runs/none", 404, "run.unknown"),
        ("GET", "/datasets/none", 404, "dataset.unknown"),
        ("DELETE", f"/dataset-versions/{VERSION}", 409, "version.held"),
        ("GET", "/models/shuttle/versions/77", 404, "version.unknown"),
        ("GET", "/models/shuttle/versions/one", 422, "request.invalid"),
        ("GET", "/runs?page_size=1&page_size=x", 422, "request.invalid"),
        ("GET", "/runs?limit=1", 422, "request.unknown_parameter"),
        ("GET", "/runs?page_size=99999999999", 422, "request.invalid"),
        ("GET", "/audit?limit=0x10", 422, "request.invalid"),
        ("GET", "/events?after=yesterday", 422, "request.invalid"),
        ("GET", "/objects/zz", 422, "digest.invalid"),
        ("GET", "/nothing", 404, "http.404"),
        ("PATCH", "/runs", 405, "http.405"),
        ("GET", "/runs/r_now/progress?after=-1", 422, "request.invalid"),
        ("GET", "/runs/none/progress", 404, "run.unknown"),
        ("HEAD", "/uploads/..%2f..%2fetc", 404, ""),
        ("POST", "/predict/Shuttle", 422, "name.invalid"),
        ("POST", "/predict/..", 404, ""),
    ],
)
def test_a_refusal_is_a_problem_document(stand: Any, method: str, path: str, status: int, code: str) -> None:
    with stand.program() as program:
        answer = program.request(method, f"/api/v1{path}")
    assert answer.status_code == status, answer.text
    if code:
        problem = answer.json()
        assert answer.headers["content-type"] == "application/problem+json"
        assert (problem["status"], problem["code"]) == (status, code)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "request.missing_field"),
        (b"{}", "request.missing_field"),
        (b"[]", "request.invalid"),
        (b"null", "request.invalid"),
        (b"{", "json.invalid"),
        (b'{"plan":{},"plan":{}}', "json.invalid"),
        (b'{"rollout_id":"r","plan":{"preset":{"alpha":NaN}}}', "json.invalid"),
        (b'{"rollout_id":"r","plan":{"preset":{"alpha":1e999}}}', "json.invalid"),
        (b'{"rollout_id":"r","plan":{"preset":{"alpha":"0.1"}}}', "request.invalid"),
        (b'{"rollout_id":"\\ud800","plan":{}}', "json.invalid"),
        (b'{"rollout_id":"r","plan":{"steps":[{"share":99999999999999999999999}]}}', "json.invalid"),
        (b'{"rollout_id":"r","plan":{"steps":[{"share":9999999999}]}}', "request.invalid"),
        (b'{"rollout_id":"r","plan":{"x":1}}', "request.unknown_field"),
        (b'{"rollout_id":"r","plan":{},"project":"other"}', "request.unknown_field"),
        (b'{"rollout_id":7,"plan":{}}', "request.invalid"),
        (b"[" * 5000 + b"]" * 5000, "json.invalid"),
        (b'{"rollout_id":"' + b"x" * (1 << 20) + b'","plan":{}}', "body.too_large"),
        (b"\xff\xfe", "json.invalid"),
    ],
)
def test_a_hostile_body_is_refused_before_any_service_hears_of_it(
    stand: Any, plant: Any, body: bytes, code: str
) -> None:
    calls = len(plant.calls)
    with stand.program() as program:
        answer = program.post("/api/v1/rollouts", content=body, headers=JSON)
    assert answer.status_code in (413, 422)
    assert answer.json()["code"] == code
    assert len(plant.calls) == calls


def test_a_body_that_is_not_sent_as_json_is_refused(stand: Any) -> None:
    with stand.program() as program:
        answer = program.post("/api/v1/segments", content=b'{"name":"a"}', headers={"content-type": "text/plain"})
        assert answer.json()["code"] == "request.content_type"
        conflict = program.post("/api/v1/segments", json={"name": "line-1"})
        assert (conflict.status_code, conflict.json()["code"]) == (409, "segment.conflict")


def test_objects_are_stored_and_fetched_unchanged(stand: Any, plant: Any) -> None:
    content = bytes(range(256)) * 1000
    name = hashlib.sha256(content).hexdigest()
    with stand.program() as program:
        assert program.put(f"/api/v1/objects/{name}", content=content).status_code == 201
        assert plant.objects[name] == content
        back = program.get(f"/api/v1/objects/{name}")
        assert (back.content, back.headers["etag"]) == (content, f'"{name}"')
        wrong = program.put(f"/api/v1/objects/{'0' * 64}", content=content)
        assert (wrong.status_code, wrong.json()["code"]) == (422, "object.digest_mismatch")


def test_a_prediction_passes_through_with_its_unit(stand: Any) -> None:
    with stand.program() as program:
        answer = program.post("/api/v1/predict/shuttle", content=b'{"inputs":[]}', headers={"x-onecode-unit": "pump-7"})
    assert answer.json() == {"model_name": "shuttle", "echo": {"inputs": []}, "unit": "pump-7"}
    assert answer.headers["x-onecode-arm"] == "stable"
    assert "x-secret" not in answer.headers


def test_status_names_every_service(stand: Any) -> None:
    with stand.program() as program:
        seen = program.get("/api/v1/status").json()
    assert {one["name"]: one["ready"] for one in seen["services"]} == {
        "ingestion": True,
        "training": True,
        "registry": True,
        "rollout": True,
        "inference": True,
        "bus": False,
    }
    assert seen["ready"] is False


def test_the_description_is_openapi_31_and_covers_every_route(stand: Any) -> None:
    with stand.program() as program:
        document = program.get("/api/v1/openapi.json").json()
    assert document["openapi"] == "3.1.0"
    assert len(document["paths"]) >= 36
    start = document["paths"]["/api/v1/rollouts"]["post"]
    body = start["requestBody"]["content"]["application/json"]["schema"]
    assert (body["required"], body["additionalProperties"]) == (["rollout_id", "plan"], False)
    assert body["properties"]["plan"] == {"$ref": "#/components/schemas/onecode.rollout.v1.Plan"}
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    used = set(json.dumps(document).split('"#/components/schemas/')[1:])
    assert {one.split('"')[0] for one in used} <= set(document["components"]["schemas"])
    assert not any(path.startswith("/p/") for path in document["paths"])
