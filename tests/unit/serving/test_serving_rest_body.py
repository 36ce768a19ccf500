"""No body breaks the reader: it is a request, or a typed refusal."""

import gzip
import json
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onecode_common.errors import ExhaustedError, InvalidError, OnecodeError
from onecode_serving.faces.rest_body import inflated, request_from_body

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


def read(body: bytes, length: str | None = None) -> Any:
    return request_from_body("m", "", body, length, None, 0.0)[0]


def kind_of(body: bytes, length: str | None) -> str:
    try:
        read(body, length)
    except OnecodeError as error:
        return error.kind
    return "read"


@CALM
@given(st.binary(), st.none() | st.text(max_size=5))
def test_any_bytes_are_refused_or_read(body: bytes, length: str | None) -> None:
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


def test_binary_parts_are_cut_in_the_order_of_the_inputs() -> None:
    first = {**TENSOR, "name": "a", "parameters": {"binary_data_size": 3}}
    del first["data"]
    second = {**first, "name": "b", "parameters": {"binary_data_size": 2}}
    head = json.dumps({"inputs": [first, TENSOR, second]}).encode()
    request = read(head + b"abcde", str(len(head)))
    assert [bytes(tensor.raw) if tensor.raw is not None else None for tensor in request.inputs] == [b"abc", None, b"de"]


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, lambda data: zlib.compress(data, wbits=-15)])
def test_gzip_and_both_kinds_of_deflate_are_read(pack: Any) -> None:
    encoding = "gzip" if pack is gzip.compress else "deflate"
    assert inflated(pack(b"x" * 1000), encoding, 1000) == b"x" * 1000
    with pytest.raises(ExhaustedError):
        inflated(pack(b"x" * 1001), encoding, 1000)
    with pytest.raises(InvalidError):
        inflated(pack(b"x" * 1000)[:-5], encoding, 1000)
