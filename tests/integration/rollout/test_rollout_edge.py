"""The edge face under hostile hands: each attempt gets its typed error, and nothing is changed."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from onecode.edge.v1 import edge_pb2 as edge
from onecode.rollout.v1 import rollout_pb2 as pb

Plan = Callable[..., pb.Plan]


def invite(platform: Any, name: str, *, accept: bool = True) -> str:
    platform.stub.CreateSegment(pb.CreateSegmentRequest(name="line-1"))
    answer = platform.stub.CreateGateway(pb.CreateGatewayRequest(name=name, segment="line-1", accept=accept))
    token: str = answer.token
    return token


def counter(plan: pb.Plan, **changes: Any) -> edge.Report:
    now = int(time.time())
    fields = {
        "model": "shuttle", "rollout": "r-open", "revision": 2, "digest": plan.candidate, "role": "candidate",
        "interval_start": now, "interval_seconds": 1, "requests": 10, "errors": 0,
    }  # fmt: skip
    batch = edge.CounterBatch(counters=[edge.Counter(**{**fields, **changes})])
    return edge.Report(boot_id="b", sent_at=now, counters=batch)


@pytest.fixture
def open_rollout(members: Any, release_first: Callable[[], None], fast_plan: Plan) -> pb.Plan:
    """A rollout that runs, with members that have installed it and fall silent then."""
    release_first()
    plan = fast_plan(2, 1000, 10_000, preset={"floor": 0.0001})
    members.platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id="r-open", plan=plan))
    members.mute = True
    members.drive("r-open", "running")
    return plan


def test_a_token_makes_one_gateway(platform: Any) -> None:
    gateway = platform.gateway("gw-1")
    assert gateway.enrol()[0] == 200, "the same device may ask again: the answer may have been lost"
    status, answer = gateway.enrol(key=Ed25519PrivateKey.generate())
    assert (status, answer["code"]) == (409, "enrol.used")


def test_of_racing_devices_one_wins(platform: Any) -> None:
    gateway = platform.gateway("gw-0")
    token = invite(platform, "gw-race")
    with ThreadPoolExecutor(8) as pool:
        keys = [Ed25519PrivateKey.generate() for _ in range(8)]
        answers = list(pool.map(lambda key: gateway.enrol(token, key)[0], keys))
    assert sorted(answers) == [200] + [409] * 7


@pytest.mark.parametrize("spoil", ["last digit", "unknown", "empty", "long", "unicode"])
def test_a_wrong_token_is_refused(platform: Any, spoil: str) -> None:
    gateway = platform.gateway("gw-1")
    token = gateway.token
    wrong = {
        "last digit": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "unknown": "oce_000000000000_" + token.split("_", 2)[2],
        "empty": "x",
        "long": token * 1000,
        "unicode": "oce_网" + token[5:],
    }[spoil]
    status, answer = gateway.enrol(wrong)
    assert (status, answer["code"]) == (401, "enrol.malformed")


def test_a_signature_of_another_key_is_refused(platform: Any) -> None:
    import base64

    gateway = platform.gateway("gw-1")
    token = invite(platform, "gw-2")
    body = {"token": token, "public_key": base64.urlsafe_b64encode(bytes(32)).decode(), "signature": "AAAA"}
    status, answer = gateway.post("/edge/v1/enrol", json.dumps(body).encode())
    assert (status, json.loads(answer)["code"]) == (401, "enrol.signature")


def test_a_gateway_waits_until_it_is_accepted(platform: Any) -> None:
    gateway = platform.gateway("gw-1")
    gateway.name, gateway.token = "gw-wait", invite(platform, "gw-wait", accept=False)
    status, answer = gateway.enrol()
    assert (status, answer["state"]) == (200, "pending")
    status, answer = gateway.get_access()
    assert (status, answer["code"]) == (403, "gateway.pending")
    invite(platform, "gw-wait", accept=True)
    assert gateway.get_access()[0] == 200


def test_an_assertion_works_once_and_only_now(platform: Any) -> None:
    gateway = platform.gateway("gw-1")
    assertion = gateway.assertion()
    assert gateway.get_access(assertion)[0] == 200
    assert gateway.get_access(assertion)[1]["code"] == "auth.replayed"
    late = int(time.time()) - 3600
    status, answer = gateway.get_access(gateway.assertion(iat=late, exp=late + 60))
    assert (status, answer["code"]) == (401, "auth.clock_skew")
    assert abs(int(answer["params"]["server_time"]) - time.time()) < 60
    assert gateway.get_access(gateway.assertion(exp=int(time.time()) + 3600))[1]["code"] == "auth.lifetime"
    assert gateway.get_access(gateway.assertion(sub="gw-2"))[1]["code"] == "auth.issuer"
    assert gateway.get_access(gateway.assertion(aud="onecode:registry"))[1]["code"] == "auth.invalid"
    gateway.name = "gw-unknown"
    assert gateway.get_access()[1]["code"] == "auth.unknown_gateway"


def test_a_revoked_gateway_is_refused_at_once(platform: Any) -> None:
    gateway = platform.gateway("gw-1")
    platform.stub.RevokeGateway(pb.RevokeGatewayRequest(gateway_id="gw-1", reason="stolen"))
    assert gateway.report()[0] == 403
    assert gateway.get_access()[1]["code"] == "gateway.revoked"
    found = platform.stub.GetGateway(pb.GetGatewayRequest(gateway_id="gw-1")).gateway
    assert found.state == "revoked"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token":1}', b'{"token":"a","token":"b"}', b"{" * 5000, b"\xff"])
def test_a_body_that_is_no_request_is_refused(platform: Any, body: bytes) -> None:
    gateway = platform.gateway("gw-1")
    assert gateway.post("/edge/v1/enrol", body)[0] == 422


def test_reports_need_a_token_and_a_size(platform: Any) -> None:
    gateway = platform.gateway("gw-1")
    kind = "application/x-protobuf"
    assert gateway.post("/edge/v1/reports", b"", kind)[0] == 401
    assert gateway.post("/edge/v1/reports", b"", kind, "nonsense")[0] == 401
    assert gateway.post("/edge/v1/reports", bytes(10 << 20), kind, gateway.access)[0] == 413
    assert gateway.post("/edge/v1/reports", b"\xff\xff", kind, gateway.access)[0] == 422
    assert gateway.post("/edge/v1/nothing", b"", kind, gateway.access)[0] == 404


def test_the_body_cannot_speak_for_somebody_else(platform: Any, members: Any, open_rollout: pb.Plan) -> None:
    liar = members.gateways[0]
    report = counter(open_rollout, errors=9)
    report.source, report.sequence = "gw-2", 10_000
    assert liar.report(report) == (200, [10_000])
    again = counter(open_rollout, requests=50, errors=0)
    again.source, again.sequence = "gw-2", 9_000
    assert liar.report(again) == (200, [9_000]), "an older report of another interval is welcome"
    heard = {one.gateway_id: one for one in platform.stub.ListGateways(pb.ListGatewaysRequest()).gateways}
    assert heard["gw-1"].last_heard.ToDatetime() > heard["gw-2"].last_heard.ToDatetime()


def test_a_stale_counter_does_not_replace_a_newer_one(platform: Any, members: Any, open_rollout: pb.Plan) -> None:
    gateway = members.gateways[0]
    start = int(time.time()) - 20
    for sequence, requests in ((20_000, 30), (20_002, 70), (20_001, 50), (20_002, 70)):
        report = counter(open_rollout, interval_start=start, requests=requests)
        report.sequence = sequence
        assert gateway.report(report)[0] == 200
    assert platform.get("r-open").candidate_count.requests == 70


@pytest.mark.parametrize(
    "changes",
    [
        {"errors": 11},
        {"requests": -1},
        {"requests": 1 << 60},
        {"non_finite": 3},
        {"interval_start": int(time.time()) + 4000},
        {"interval_seconds": 0},
        {"interval_seconds": 7},
        {"digest": "sha256:" + "9" * 64},
        {"role": "stable"},
    ],
)
def test_an_impossible_counter_holds_the_release_and_drops_its_source(
    platform: Any, members: Any, open_rollout: pb.Plan, changes: dict[str, Any], until: Any
) -> None:
    report = counter(open_rollout, **changes)
    report.sequence = 30_000
    assert members.gateways[0].report(report) == (200, [30_000])
    until(lambda: platform.get("r-open").state == "paused")
    held = platform.get("r-open")
    assert held.reason == "invalid"
    assert held.candidate_count.requests == 0
    assert not held.evidence


@pytest.mark.parametrize("changes", [{"rollout": "r-unknown"}, {"rollout": ""}, {"model": "other"}])
def test_a_counter_of_nothing_is_taken_and_dropped(
    platform: Any, members: Any, open_rollout: pb.Plan, changes: dict[str, Any]
) -> None:
    report = counter(open_rollout, **changes)
    report.sequence = 40_000
    assert members.gateways[0].report(report) == (200, [40_000])
    assert platform.get("r-open").candidate_count.requests == 0
    assert platform.get("r-open").state == "running"


def test_a_sequence_that_is_none_is_not_acknowledged(platform: Any, members: Any, open_rollout: pb.Plan) -> None:
    for sequence in (0, -5):
        report = counter(open_rollout)
        report.sequence = sequence
        assert members.gateways[0].report(report) == (200, [])
