"""No body breaks the reader: it is a request, or a typed refusal."""

import json
import struct
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onecode_common.errors import InvalidError, OnecodeError
from onecode_serving.rest import numbers
from onecode_serving.rest.body import header_length, request_from_body
from onecode_serving.rest.document import parse_object

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(1 << 63), (1 << 63) - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]}

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no reason to fail."""


def read(body: bytes, length: int | None = None) -> Any:
    return request_from_body("m", "", body, length, None, 0.0)[0]


def kind_of(body: bytes, length: int | None) -> str:
    try:
        read(body, length)
    except OnecodeError as error:
        return error.kind
    return "read"


@CALM
@given(st.binary(), st.none() | st.integers(0, 40))
def test_any_bytes_are_refused_or_read(body: bytes, length: int | None) -> None:
    assert kind_of(body, length) in ("read", "invalid")


@CALM
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(("id", "inputs", "outputs", "parameters"), JSON)))
def test_any_json_is_refused_or_read(document: dict[str, Any]) -> None:
    assert kind_of(json.dumps(document).encode(), None) in ("read", "invalid")


@CALM
@given(st.dictionaries(st.text(), JSON, max_size=4), st.text(max_size=8))
def test_a_key_that_occurs_twice_is_seen_however_it_is_hidden(extra: dict[str, Any], twin: str) -> None:
    """Colons and quotes inside of texts do not confuse the count."""
    document = json.dumps({"inputs": [TENSOR], "parameters": {**extra, 'a:b"{': ":"}})
    read(document.encode())
    doubled = f'{document[:-1]}, "later": [{{{json.dumps(twin)}: 1, {json.dumps(twin)}: 2}}]}}'
    with pytest.raises(InvalidError, match="twice"):
        read(doubled.encode())


def test_a_key_spelled_in_two_ways_is_one_key() -> None:
    with pytest.raises(InvalidError, match="twice"):
        parse_object(b'{"a":1,"\\u0061":2}')


@CALM
@given(JSON)
def test_every_json_object_is_read_as_it_is(item: Any) -> None:
    assert parse_object(orjson.dumps({"item": item})) == {"item": orjson.loads(orjson.dumps(item))}


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"1", b"{", b'{"a":NaN}', b'{"a":1}x', b"\xef\xbb\xbf{}", b'{"a":"\xff"}']
)
def test_what_is_no_json_object_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidError):
        parse_object(body)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(InvalidError, match="deeper"):
        parse_object(b'{"a":' + b"[" * 100 + b"]" * 100 + b"}")


@pytest.mark.parametrize("text", ["-1", "+1", "1.0", "", " 1", "1_0", "0x1", "٣", "9" * 20])
def test_the_length_of_the_json_is_a_whole_number(text: str) -> None:
    with pytest.raises(InvalidError):
        header_length(text)


def test_the_length_of_the_json_lies_within_the_body() -> None:
    with pytest.raises(InvalidError, match="at most 2"):
        read(b"{}", 3)


def test_binary_parts_are_cut_in_the_order_of_the_inputs() -> None:
    first = {**TENSOR, "name": "a", "parameters": {"binary_data_size": 3}}
    del first["data"]
    second = {**first, "name": "b", "parameters": {"binary_data_size": 2}}
    head = json.dumps({"inputs": [first, TENSOR, second]}).encode()
    request = read(head + b"abcde", len(head))
    assert [tensor.raw for tensor in request.inputs] == [b"abc", None, b"de"]


BINARY = {"name": "x", "datatype": "FP32", "shape": [1, 2], "parameters": {"binary_data_size": 8}}


@pytest.mark.parametrize(
    ("tensor", "tail", "why"),
    [
        (BINARY, b"1234567", "does not fit"),
        (BINARY, b"123456789", "1 bytes are left"),
        (TENSOR, b"1", "1 bytes are left"),
        ({**BINARY, "parameters": {"binary_data_size": -1}}, b"", "does not fit"),
        ({**BINARY, "parameters": {"binary_data_size": True}}, b"1", "does not fit"),
        ({**BINARY, "parameters": {"binary_data_size": 1.0}}, b"1", "does not fit"),
        ({**BINARY, "parameters": {"binary_data_size": "8"}}, b"12345678", "does not fit"),
        ({**BINARY, "data": [1, 2]}, b"12345678", "more than one"),
        ({**BINARY, "parameters": {"binary_data_size": 8, "shared_memory_region": "r", "shared_memory_byte_size": 8}},
         b"12345678", "more than one"),
        ({**BINARY, "parameters": {"shared_memory_region": "r"}}, b"", "shared_memory_byte_size"),
        ({**BINARY, "parameters": {"shared_memory_byte_size": 8}}, b"", "shared_memory_region"),
        ({**BINARY, "parameters": 5}, b"", "expected an object"),
        ({**TENSOR, "shape": [1.0, 2]}, b"", "whole numbers"),
        ({**TENSOR, "shape": [True, 2]}, b"", "whole numbers"),
        ({**TENSOR, "shape": None}, b"", "whole numbers"),
        ({**TENSOR, "data": "12"}, b"", "data as a list"),
        ({**TENSOR, "data": {}}, b"", "data as a list"),
        ({**TENSOR, "name": 5}, b"", "expected text"),
        ({**TENSOR, "datatype": None}, b"", "expected text"),
    ],
)  # fmt: skip
def test_parts_that_do_not_add_up_are_refused(tensor: dict[str, Any], tail: bytes, why: str) -> None:
    head = json.dumps({"inputs": [tensor]}).encode()
    with pytest.raises(InvalidError, match=why):
        read(head + tail, len(head))


@pytest.mark.parametrize("value", [1, "true", 0, []])
def test_the_form_of_an_output_is_true_or_false(value: object) -> None:
    body = json.dumps({"inputs": [TENSOR], "outputs": [{"name": "y", "parameters": {"binary_data": value}}]})
    if isinstance(value, list):  # no plain value: somebody's extension
        read(body.encode())
        return
    with pytest.raises(InvalidError, match="binary_data"):
        read(body.encode())


def test_unknown_members_are_ignored() -> None:
    request = read(json.dumps({"model_name": "other", "inputs": [{**TENSOR, "x": {}}], "y": [{"z": 1}]}).encode())
    assert (request.model, request.inputs[0].values) == ("m", [1, 2])


# -- the numbers of a JSON body --


@CALM
@given(
    st.permutations(["name", "shape", "datatype", "data"]),
    st.dictionaries(st.sampled_from(["id", "later", "parameters"]), st.just("x") | st.just({}) | st.just(["[1]", "}"])),
    st.lists(st.floats(allow_nan=False, allow_infinity=False) | st.integers(-5, 5), min_size=1, max_size=4),
    st.sampled_from([None, (",", ":"), (" , ", " : ")]),
)
def test_the_numbers_are_found_where_they_are(
    order: list[str], extra: dict[str, Any], data: list[float], separators: tuple[str, str] | None
) -> None:
    """Whoever knows the rest of the body knows the body: the parts are its bytes, and the list is that of the input."""
    tensor = {"name": "x", "shape": [1, len(data)], "datatype": "FP64", "data": data}
    body = json.dumps({"inputs": [{name: tensor[name] for name in order}], **extra}, separators=separators).encode()
    parts = numbers.split(body)
    assert parts is not None
    before, text, after = parts
    assert before + text + after == body
    assert numbers.holds(parse_object(numbers.probed(before, after)))
    assert numbers.raw_of(text, "d", len(data), 0) == struct.pack(f"<{len(data)}d", *data)


@pytest.mark.parametrize(
    "body",
    [
        b'{"inputs":[]}',
        b'{"inputs":[{"data":[1]},{"data":[2]}]}',
        b'{"inputs":[{"data":1}]}',
        b'{"inputs":[{"data":[1',
        b'{"data":"data","x":5}',
    ],
)
def test_where_the_numbers_are_in_doubt_the_whole_body_is_read(body: bytes) -> None:
    parts = numbers.split(body)
    assert parts is None or numbers.raw_of(parts[1], "f", 1, 0) in (None, b"\0\0\x80?")


@pytest.mark.parametrize(
    "body", [b'{"x":{"data":[1]},"inputs":[{}]}', b'{"inputs":[{"x":"\\"data\\": [","y":[1]}]}', b'{"data":[1]}']
)
def test_a_list_somewhere_else_is_not_taken_for_the_input(body: bytes) -> None:
    parts = numbers.split(body)
    assert parts is None or not numbers.holds(parse_object(numbers.probed(parts[0], parts[2])))


@pytest.mark.parametrize(
    ("text", "code", "count"),
    [
        (b"[true,1]", "f", 2), (b"[1,false]", "q", 2), (b"[null,1]", "f", 2), (b'["1",1]', "f", 2), (b"[1.0]", "q", 1),
        (b"[300]", "B", 1), (b"[-1]", "Q", 1), (b"[1e400]", "d", 1), (b"[1,2]", "f", 3), (b"[[1],[2,3]]", "f", 3),
        (b"[[1,2],3]", "f", 3), (b"[1,[2,3]]", "f", 3), (b"[[[1]]]", "f", 1), (b'[1],"a":[2]', "f", 2),
        (b"[1]]", "f", 1), (b"[1,]", "f", 1), (b"[01]", "f", 1), (b"[NaN]", "f", 1), (b"[{}]", "f", 1),
    ],
)  # fmt: skip
def test_numbers_that_need_a_closer_look_get_one(text: bytes, code: str, count: int) -> None:
    assert numbers.raw_of(text, code, count, 2) is None


@pytest.mark.parametrize(("text", "width"), [(b"[1,2,3,4]", 0), (b"[[1,2],[3,4]]", 2), (b"[[1,2,3,4]]", 4)])
def test_flat_lists_and_rows_are_the_same_numbers(text: bytes, width: int) -> None:
    assert numbers.raw_of(text, "B", 4, width) == b"\1\2\3\4"
