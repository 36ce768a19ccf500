"""The one JSON reader at the edge takes what JSON is and refuses what parsers merely tolerate."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.canonical import canonical, digest_of
from onecode_common.errors import InvalidError
from onecode_common.web import parse_json

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)


@given(JSON)
def test_ordinary_json_comes_through_as_it_is(document: object) -> None:
    assert parse_json(json.dumps(document).encode()) == document
    assert parse_json(json.dumps(document, ensure_ascii=False).encode()) == document


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nul",
        b"NaN",
        b'{"a": NaN}',
        b"[Infinity]",
        b"[-Infinity]",
        b"[1e999]",
        b"[-1e999]",
        b'{"a": 1, "a": 2}',
        b'{"a": {"b": 1, "b": 1}}',
        b"[" + b"9" * 5000 + b"]",
        b"[123456789012345678901]",
        b'["\\ud800"]',
        b'{"\\udfff": 1}',
        b"[" * 33 + b"]" * 33,
        b'{"a":' * 5000 + b"1" + b"}" * 5000,
        b"[" * 100_000,
        b'"\xff"',
        b"{} {}",
        b"{'a': 1}",
        b'{"a": 1,}',
        b"// comment\n{}",
        b'["\n"]',
    ],
)
def test_what_is_no_strict_json_is_refused_in_text_that_can_be_sent(body: bytes) -> None:
    with pytest.raises(InvalidError) as refusal:
        parse_json(body)
    assert refusal.value.code == "json.invalid"
    assert refusal.value.message.isascii()


def test_brackets_inside_texts_are_not_depth() -> None:
    assert parse_json(json.dumps(["[" * 500, '\\"[[[' * 50]).encode())


def test_the_canonical_form_is_one_whatever_the_order() -> None:
    assert canonical({"b": 1, "a": "温度"}) == '{"a":"温度","b":1}'.encode()
    assert digest_of({"b": [1, 2], "a": None}) == digest_of({"a": None, "b": [1, 2]})
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical({"a": float("nan")})


@given(JSON)
def test_equal_documents_have_equal_digests(document: object) -> None:
    assert digest_of(json.loads(json.dumps(document))) == digest_of(document)  # type: ignore[arg-type]
