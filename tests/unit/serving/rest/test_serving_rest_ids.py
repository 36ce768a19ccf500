"""An id that differs from request to request costs no look at the rest, and comes back exactly."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from serving_rest_wire import Answer, House, Wire, binary

from onecode_serving.rest import app
from onecode_serving.rest.ids import cut_id

ROW = [1.5, -2.25, 0.125, 3.0]
FLAT = {"name": "features", "datatype": "FP32", "shape": [1, 4], "data": ROW}
BYTES = {"name": "features", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}
TAIL = bytes(range(64, 80))
CALM = settings(
    deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture], max_examples=60
)


@pytest.fixture(scope="module")
def house() -> Iterator[House]:
    opened = House()
    yield opened
    opened.close()


@pytest.fixture
def wire(house: House) -> Wire:
    house.face._plans.clear()
    return house.wire()


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Count requests that are looked at as a whole."""
    seen: list[int] = []
    read = app.read_request

    def counted(*arguments: Any) -> Any:
        seen.append(1)
        return read(*arguments)

    monkeypatch.setattr(app, "read_request", counted)
    return seen


DOCUMENTS = [
    '{"id":"ID","inputs":[INPUT]}',
    '{"id": "ID", "inputs": [INPUT]}',
    '{"inputs":[INPUT],"id":"ID"}',
    '{ "inputs" : [INPUT],\n  "id"\t:\n "ID" }',
    '{"parameters":{"a":"1"},"id":"ID","inputs":[INPUT],"outputs":[{"name":"label"}]}',
    '{"id":"ID","inputs":[INPUT],"outputs":[{"name":"probabilities","parameters":{"binary_data":true}}]}',
]


def body_of(document: str, request_id: str, *, as_bytes: bool) -> tuple[bytes, dict[str, str]]:
    text = document.replace("ID", request_id).replace("INPUT", json.dumps(BYTES if as_bytes else FLAT))
    if not as_bytes:
        return text.encode(), {}
    return text.encode() + TAIL, {"Inference-Header-Content-Length": str(len(text.encode()))}


def asked(wire: Wire, body: bytes, fields: dict[str, str]) -> Answer:
    return wire.infer(body, **fields)


@pytest.mark.parametrize("document", DOCUMENTS)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_a_new_id_each_time_needs_one_look_only(
    house: House, wire: Wire, looks: list[int], document: str, as_bytes: bool
) -> None:
    ids = ["1", "22", "a:b {}[],", "~" * 90, "1", "8190407113377", "0"]
    planned = [asked(wire, *body_of(document, one, as_bytes=as_bytes)) for one in ids]
    # Only the probe, which nobody sends, is looked at again.
    assert len(looks) == 2
    for one, answer in zip(ids, planned, strict=True):
        house.face._plans.clear()
        assert answer == asked(wire, *body_of(document, one, as_bytes=as_bytes))
        assert answer.json["id"] == one


@pytest.mark.parametrize(
    "document",
    [
        '{"id":"\\u0041ID","inputs":[INPUT]}',
        '{"id":"äID","inputs":[INPUT]}',
        '{"parameters":{"id":"ID"},"inputs":[INPUT]}',
        '{"parameters":{"id":"ID"},"id":"ID","inputs":[INPUT]}',
        '{"parameters":{"x":"\\"id\\":\\"ID\\""},"inputs":[INPUT]}',
        '{"id":"ID","id":"ID","inputs":[INPUT]}',
        '{"id":"ID","inputs":[INPUT],"id":"7"}',
        '{"id":"","inputs":[INPUT],"more":{"id":"ID"}}',
        '{"id":7,"inputs":[INPUT],"more":{"id":"ID"}}',
    ],
)
@pytest.mark.parametrize("as_bytes", [False, True])
def test_what_only_looks_like_an_id_is_answered_as_by_a_look(
    house: House, wire: Wire, document: str, as_bytes: bool
) -> None:
    ids = ["1", "2", "2", "3", "8190407113377", "4"]
    planned = [asked(wire, *body_of(document, one, as_bytes=as_bytes)) for one in ids]
    for one, answer in zip(ids, planned, strict=True):
        house.face._plans.clear()
        assert answer == asked(wire, *body_of(document, one, as_bytes=as_bytes))


@CALM
@given(
    places=st.lists(st.sampled_from(["id", "nested", "input", "escaped", "plain"]), min_size=1, max_size=3),
    ids=st.lists(st.text(st.sampled_from('ab1:,{}[]"\\ ä\x7f'), max_size=6), min_size=3, max_size=5),
    as_bytes=st.booleans(),
)
def test_any_document_gives_the_same_answer_planned_and_looked_at(
    house: House, places: list[str], ids: list[str], as_bytes: bool
) -> None:
    house.face._plans.clear()
    wire = house.wire()
    requests = []
    for one in ids:
        document: dict[str, Any] = {}
        tensor = dict(BYTES if as_bytes else FLAT)
        for place in places:
            if place == "id":
                document["id"] = one
            elif place == "nested":
                document["parameters"] = {"id": one}
            elif place == "input":
                tensor["id"] = one
            else:
                document[place] = f'"id":"{one}"' if place == "escaped" else one
        document["inputs"] = [tensor]
        requests.append(binary(document, TAIL) if as_bytes else (json.dumps(document).encode(), {}))
    planned = [asked(wire, *request) for request in requests for _ in range(2)]
    looked_at = []
    for request in requests:
        house.face._plans.clear()
        looked_at += [asked(wire, *request)] * 2
    assert planned == looked_at


@pytest.mark.parametrize(
    "json_text", [b"{}", b'{"id":""}', b'{"id":"a\\n"}', b'{"id":7}', b'{"id":"\xc3\xa4"}', b'"id":"']
)
def test_nothing_else_is_cut(json_text: bytes) -> None:
    assert cut_id(json_text) is None
