"""A caller's span is read as the W3C's recommendation says, and what is none begins a new trace."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.propagate import extract
from opentelemetry.trace import get_current_span
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from onecode_serving.domain.traceparent import Parent, is_asked, parent_of

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(("flags", "sampled"), [("00", False), ("01", True), ("02", False), ("03", True), ("ff", True)])
def test_the_last_bit_says_sampled(flags: str, sampled: bool) -> None:
    text = f"00-{TRACE}-{SPAN}-{flags}"
    assert parent_of(text) == Parent(int(TRACE, 16), int(SPAN, 16), sampled)
    assert is_asked(text) is sampled


@pytest.mark.parametrize(
    "text",
    [
        "", "00", f"00-{TRACE}-{SPAN}", f"00-{TRACE}-{SPAN}-1", f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{'0' * 32}-{SPAN}-01",
        f"00-{TRACE}-{'0' * 16}-01", f"ff-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01-more", f" 00-{TRACE}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01, 00-{TRACE}-{SPAN}-01", f"00_{TRACE}_{SPAN}_01", "٠٠" + f"-{TRACE}-{SPAN}-01",
    ],
)  # fmt: skip
def test_what_is_no_traceparent_is_nobodys_span(text: str) -> None:
    assert parent_of(text) is None
    assert not is_asked(text)


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parent_of(f"cc-{TRACE}-{SPAN}-01-what-the-future-will-be") == Parent(
        int(TRACE, 16), int(SPAN, 16), sampled=True
    )
    assert parent_of(f"cc-{TRACE}-{SPAN}-01.what") is None


FORM = r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"


@given(st.text("0123456789abcdef-fF xg", max_size=60) | st.from_regex(FORM, fullmatch=True))
def test_any_text_means_what_it_means_to_opentelemetry(text: str) -> None:
    context = TraceContextTextMapPropagator().extract({"traceparent": text.strip()})
    theirs = get_current_span(context).get_span_context()
    ours = parent_of(text.strip())
    assert (ours is not None) == theirs.is_valid
    if ours is not None:
        assert (ours.trace_id, ours.span_id, ours.sampled) == (
            theirs.trace_id,
            theirs.span_id,
            theirs.trace_flags.sampled,
        )
        assert is_asked(text.strip()) == ours.sampled


def test_the_oracle_reads_the_example_of_the_recommendation() -> None:
    assert get_current_span(extract({"traceparent": f"00-{TRACE}-{SPAN}-01"})).get_span_context().is_valid
