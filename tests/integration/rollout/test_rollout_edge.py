"""The edge face under hostile hands: each attempt gets its typed error, and nothing is changed."""

import base64
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


@pytest.fixture(scope="module")
def gateway(platform: Any) -> Any:
    """One enrolled gateway of the module."""
    return platform.gateway("gw-1")


def test_a_token_makes_one_gateway(gateway: Any) -> None:
    assert gateway.enrol()[0] == 200, "the same device may ask again: the answer may have been lost"
    status, answer = gateway.enrol(key=Ed25519PrivateKey.generate())
    assert (status, answer["code"]) == (409, "enrol.used")


def test_of_racing_devices_one_wins(platform: Any, gateway: Any) -> None:
    token = invite(platform, "gw-race")
    with ThreadPoolExecutor(8) as pool:
        keys = [Ed25519PrivateKey.generate() for _ in range(8)]
        answers = list(pool.map(lambda key: gateway.enrol(token, key)[0], keys))
    assert sorted(answers) == [200] + [409] * 7


@pytest.mark.parametrize("spoil", ["last digit", "unknown", "short", "long", "unicode"])
def test_a_wrong_token_is_refused(gateway: Any, spoil: str) -> None:
    token = gateway.token
    wrong = {
        "last digit": token[:-1] + ("0" if token[-1] != "0" else "1"),
        "unknown": "oce_000000000000_" + token.split("_", 2)[2],
        "short": "x",
        "long": token * 1000,
        "unicode": "oce_网" + token[5:],
    }[spoil]
    status, answer = gateway.enrol(wrong)
    assert (status, answer["code"]) == (401, "enrol.malformed")


def test_a_signature_of_another_key_is_refused_and_the_token_stays_good(platform: Any, gateway: Any) -> None:
    token = invite(platform, "gw-2")
    body = {"token": token, "public_key": base64.urlsafe_b64encode(bytes(32)).decode(), "signature": "AAAA"}
    status, answer = gateway.post("/edge/v1/enrol", json.dumps(body).encode())
    assert (status, json.loads(answer)["code"]) == (401, "enrol.signature")
    assert gateway.enrol(token)[0] == 200


def test_a_gateway_waits_until_it_is_accepted(platform: Any, gateway: Any) -> None:
    waiting = type(gateway)(gateway.url, "gw-wait", invite(platform, "gw-wait", accept=False))
    status, answer = waiting.enrol()
    assert (status, answer["state"]) == (200, "pending")
    status, answer = waiting.get_access()
    assert (status, answer["code"]) == (403, "gateway.pending")
    invite(platform, "gw-wait", accept=True)
    assert waiting.get_access()[0] == 200


def test_an_assertion_works_once_and_only_now(gateway: Any) -> None:
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
    stranger = type(gateway)(gateway.url, "gw-unknown", "")
    assert stranger.get_access()[1]["code"] == "auth.unknown_gateway"


def test_a_revoked_gateway_is_refused_at_once(platform: Any) -> None:
    stolen = platform.gateway("gw-stolen")
    platform.stub.RevokeGateway(pb.RevokeGatewayRequest(gateway_id="gw-stolen", reason="stolen"))
    assert stolen.report()[0] == 403
    assert stolen.get_access()[1]["code"] == "gateway.revoked"
    found = platform.stub.GetGateway(pb.GetGatewayRequest(gateway_id="gw-stolen")).gateway
    assert found.state == "revoked"


@pytest.mark.parametrize("body", [b"", b"[]", b'{"token":1}', b'{"token":"a","token":"b"}', b"{" * 5000, b"\xff"])
def test_a_body_that_is_no_request_is_refused(gateway: Any, body: bytes) -> None:
    assert gateway.post("/edge/v1/enrol", body)[0] == 422


def test_reports_need_a_token_and_a_size(gateway: Any) -> None:
    kind = "application/x-protobuf"
    assert gateway.post("/edge/v1/reports", b"", kind)[0] == 401
    assert gateway.post("/edge/v1/reports", b"", kind, "nonsense")[0] == 401
    assert gateway.post("/edge/v1/reports", bytes(1_060_000), kind, gateway.access)[0] == 413
    assert gateway.post("/edge/v1/reports", b"\xff\xff", kind, gateway.access)[0] == 422
    assert gateway.post("/edge/v1/nothing", b"", kind, gateway.access)[0] == 404
    assert gateway.post("/edge/v1/reports", bytes(10 << 20), kind, gateway.access)[0] in {413, CUT_OFF}
    assert gateway.report()[0] == 200


CUT_OFF = 0
"""Status of a request whose sender was cut off while it went on sending."""


def test_the_body_of_a_report_cannot_speak_for_somebody_else(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Plan
) -> None:
    release_first()
    plan = fast_plan(2, 1000, 10_000)
    platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id="r-open", plan=plan))
    liar, now = members.gateways[0], int(time.time())
    first = edge.Counter(
        model=members.model, rollout="r-open", digest=plan.candidate, interval_start=now - 5, interval_seconds=1,
        requests=3, errors=9,
    )  # fmt: skip
    lie = edge.Report(source=members.gateways[1].name, sequence=1 << 40, sent_at=now)
    lie.counters.counters.append(first)
    assert liar.report(lie) == (200, [1 << 40])
    members.mute = True
    held = members.drive("r-open", "paused")
    assert held.reason == "invalid"
    (hold,) = [
        one
        for one in platform.stub.ExplainRollout(pb.ExplainRolloutRequest(rollout_id="r-open")).decisions
        if one.kind == "hold"
    ]
    assert f"{liar.name}: 9 errors in 3 requests" in hold.sentence
