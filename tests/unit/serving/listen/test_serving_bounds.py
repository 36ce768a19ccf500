"""Every bound of the protocol face can be set, has the default that was promised, and is broken by a test."""

import ast
import functools
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import pytest
from pydantic_settings import SettingsConfigDict

from onecode_serving.settings import ServingSettings

_TESTS = Path(__file__).resolve().parents[3]
_MIB = 1 << 20


class _Settings(ServingSettings):
    model_config = SettingsConfigDict(env_prefix="ONECODE_BOUNDED_", frozen=True, extra="forbid")
    service: ClassVar[str] = "bounded"


class Bound(NamedTuple):
    """One threat: its settings with their defaults, and the tests that go beyond them."""

    threat: str
    settings: dict[str, Any]
    tests: tuple[str, ...]


HTTP2, HTTP1 = "unit/serving/http2/test_http2_limits.py", "unit/serving/http1/test_serving_http1_heads.py"
TIME, BODIES = "unit/serving/http1/test_serving_http1_time.py", "unit/serving/http1/test_serving_http1_bodies.py"
LISTEN, LARGE = "integration/serving/test_serving_listen.py", "unit/serving/rpc/test_serving_rpc_large.py"
MEMORY, TRACE = "unit/serving/oip/test_oip_shared_memory.py", "unit/serving/oip/test_oip_trace_settings.py"

BOUNDS = [
    Bound("H1", {"http2.streams": 64}, (f"{HTTP2}::test_more_streams_than_announced_are_refused",)),
    Bound(
        "H2",
        {"http2.resets": 200, "http2.resets_s": 10.0},
        (
            f"{HTTP2}::test_a_rapid_reset_ends_the_connection",
            f"{HTTP2}::test_resets_that_a_client_provokes_are_its_own",
            f"{HTTP2}::test_a_client_that_cancels_every_second_call_of_many_at_once_is_honest",
        ),
    ),
    Bound(
        "H3",
        {"http2.block_bytes": 16_384, "http2.block_frames": 8},
        (
            f"{HTTP2}::test_a_header_block_has_at_most_16_kib_counted_while_it_arrives",
            f"{HTTP2}::test_a_header_block_has_at_most_eight_frames",
        ),
    ),
    Bound(
        "H4",
        {
            "http2.list_bytes": 16_384,
            "http2.list_fields": 100,
            "http2.table_bytes": 4096,
            "http1.head_bytes": 16_384,
            "http1.head_fields": 100,
        },
        (
            f"{HTTP2}::test_an_indexed_header_bomb_is_stopped_while_it_is_decoded",
            f"{HTTP2}::test_a_header_list_has_at_most_100_fields",
            f"{HTTP2}::test_huffmans_code_cannot_blow_a_block_up",
            f"{HTTP1}::test_a_head_has_at_most_so_many_fields_and_bytes",
        ),
    ),
    Bound(
        "H5",
        {"http2.controls": 100, "http2.acks": 64, "http2.updates_per_call": 10},
        (
            f"{HTTP2}::test_control_frames_are_at_most_100_a_second",
            f"{HTTP2}::test_at_most_64_acknowledgements_wait",
            f"{HTTP2}::test_window_updates_are_counted_by_call",
        ),
    ),
    Bound(
        "H6",
        {"http2.stream_window": 4 * _MIB + 65_536, "http2.connection_window": 16 * _MIB},
        (
            f"{HTTP2}::test_a_window_beyond_its_range_is_an_error",
            f"{HTTP2}::test_an_increment_of_nothing_is_an_error",
            f"{HTTP2}::test_sending_beyond_our_window_resets_the_stream",
        ),
    ),
    Bound(
        "H7",
        {
            "http2.stream_queue": 4 * _MIB,
            "http2.connection_queue": 16 * _MIB,
            "http2.stall_s": 30.0,
            "http1.output_bytes": 16 * _MIB,
            "http1.stalled_s": 30.0,
            "listening.stalled_s": 30.0,
            "max_waiting_bytes": 256 * _MIB,
        },
        (
            f"{HTTP2}::test_a_slow_reader_has_at_most_the_stream_queue_waiting",
            f"{HTTP2}::test_a_connection_has_at_most_its_queue_waiting",
            f"{HTTP2}::test_a_process_has_at_most_its_budget_waiting",
            f"{HTTP2}::test_a_reader_without_progress_is_reset_after_30_s",
            f"{TIME}::test_an_answer_that_nobody_takes_ends_the_connection_after_half_a_minute",
            f"{BODIES}::test_unfinished_bodies_of_all_connections_share_a_budget",
            f"{LISTEN}::test_a_peer_that_does_not_read_is_not_read_either_and_then_cut",
        ),
    ),
    Bound(
        "H8",
        {
            "http2.unary_s": 30.0,
            "http2.silence_s": 300.0,
            "http2.preface_s": 10.0,
            "http2.idle_s": 300.0,
            "http1.request_s": 30.0,
            "http1.idle_s": 300.0,
            "listening.greeting_s": 10.0,
            "listening.idle_s": 300.0,
        },
        (
            f"{HTTP2}::test_a_unary_request_has_30_s",
            f"{HTTP2}::test_a_streaming_request_has_5_min_between_messages",
            f"{HTTP2}::test_the_greeting_has_10_s",
            f"{HTTP2}::test_an_idle_connection_is_ended_gracefully_after_5_min",
            f"{TIME}::test_a_request_must_arrive_within_half_a_minute_of_its_first_byte",
            f"{LISTEN}::test_who_says_nothing_or_half_a_word_is_closed_in_time",
        ),
    ),
    Bound(
        "H9",
        {"max_message_bytes": 4 * _MIB, "listening.max_message": 4 * _MIB},
        (
            f"{LARGE}::test_the_prefix_is_enough_for_a_refusal",
            f"{BODIES}::test_a_body_beyond_the_limit_is_thrown_away_and_refused_at_its_end",
        ),
    ),
    Bound(
        "H10",
        {"max_message_bytes": 4 * _MIB},
        (
            f"{LARGE}::test_a_bomb_is_given_up_at_the_limit",
            "unit/serving/rest/test_serving_rest_encoding.py::test_a_bomb_of_a_gigabyte_takes_no_memory",
        ),
    ),
    Bound(
        "H11",
        {"http2.frame_bytes": 16_384},
        (
            f"{HTTP2}::test_frames_have_at_most_16_kib",
            f"{HTTP2}::test_the_fast_lane_takes_no_greater_frames",
        ),
    ),
    Bound(
        "H12",
        {"listening.per_address": 256, "listening.connections": 4096},
        (f"{LISTEN}::test_an_address_has_its_share_of_connections",),
    ),
    Bound("H13", {}, (f"{LISTEN}::test_strangers_are_closed_without_a_word",)),
    Bound(
        "H14",
        {"http1.chunks": 100_000, "http1.chunk_line_bytes": 256},
        (
            f"{HTTP1}::test_what_can_be_read_in_two_ways_is_refused_and_the_connection_ends",
            f"{BODIES}::test_chunks_that_can_be_read_in_two_ways_end_the_connection",
            f"{BODIES}::test_chunks_without_end_are_refused_at_the_bound",
        ),
    ),
    Bound(
        "H15",
        {"shared_memory": False, "shared_memory_prefix": "onecode_"},
        (
            f"{MEMORY}::test_it_is_off_by_default",
            f"{MEMORY}::test_a_region_that_cannot_be_is_refused",
            f"{MEMORY}::test_links_pipes_and_folders_are_no_objects",
        ),
    ),
    Bound(
        "H16",
        {"trace_file": None},
        (
            f"{TRACE}::test_what_cannot_be_set_is_refused_and_changes_nothing",
            "unit/serving/oip/test_oip_log_settings.py::test_a_log_change_that_cannot_be_is_refused_and_changes_nothing",
        ),
    ),
    Bound(
        "H17",
        {},
        (
            f"{LISTEN}::test_an_error_of_ours_ends_one_connection_only_and_is_counted",
            "unit/serving/http2/test_http2_requests.py::test_an_exception_of_the_application_ends_only_its_connection",
            "unit/serving/http1/test_serving_http1_engine.py::test_no_bytes_break_the_engine",
        ),
    ),
]


@functools.cache
def names_in(path: str) -> frozenset[str]:
    tree = ast.parse((_TESTS / path).read_text(encoding="utf-8"))
    return frozenset(one.name for one in tree.body if isinstance(one, ast.FunctionDef))


def value_of(settings: ServingSettings, name: str) -> Any:
    group, _, field = name.rpartition(".")
    return getattr(getattr(settings, group)() if group else settings, field)


def test_all_seventeen_are_here() -> None:
    assert [one.threat for one in BOUNDS] == [f"H{number}" for number in range(1, 18)]


@pytest.mark.parametrize("bound", BOUNDS, ids=lambda one: one.threat)
def test_a_bound_has_its_default_and_a_test_that_breaks_it(bound: Bound) -> None:
    settings = _Settings.load()
    assert {name: value_of(settings, name) for name in bound.settings} == bound.settings
    for test in bound.tests:
        path, _, name = test.partition("::")
        assert name in names_in(path), test


def environment_of(name: str, value: Any) -> tuple[str, str]:
    """Return the variable that sets a bound to this value."""
    group, _, field = name.rpartition(".")
    if group in ("http2", "http1"):
        return f"{group.upper()}_LIMITS", f'{{"{field}": {value}}}'
    names = {"max_message": "max_message_bytes", "per_address": "max_connections_per_address"}
    return {**names, "connections": "max_connections"}.get(field, field).upper(), str(value)


@pytest.mark.parametrize(
    "name", [name for bound in BOUNDS for name, value in bound.settings.items() if type(value) in (int, float)]
)
def test_a_bound_can_be_set(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = value_of(_Settings.load(), name)
    variable, value = environment_of(name, before * 2)
    monkeypatch.setenv(f"ONECODE_BOUNDED_{variable}", value)
    assert value_of(_Settings.load(), name) == before * 2
