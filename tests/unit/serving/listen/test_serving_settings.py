"""What an operator may set reaches the place where it counts, and what does not fit is said."""

from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic_settings import SettingsConfigDict

from onecode_common.errors import InvalidError
from onecode_serving.domain.sampling import Share
from onecode_serving.settings import ServingSettings


class _Settings(ServingSettings):
    model_config = SettingsConfigDict(env_prefix="ONECODE_TESTED_", frozen=True, extra="forbid")
    service: ClassVar[str] = "tested"


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Any:
    def loaded(**values: str) -> _Settings:
        for name, value in values.items():
            monkeypatch.setenv(f"ONECODE_TESTED_{name}", value)
        return _Settings.load()

    return loaded


def test_every_bound_can_be_set(load: Any) -> None:
    settings = load(
        HTTP2_LIMITS='{"streams": 7, "stall_s": 1.5}', HTTP1_LIMITS='{"head_bytes": 4096}', MAX_CONNECTIONS="9",
        MAX_CONNECTIONS_PER_ADDRESS="3", GREETING_S="2", IDLE_S="4", CONNECTION_AGE_S="0", DRAIN_NOTICE_S="1",
        DRAIN_GRACE_S="5", MAX_MESSAGE_BYTES="67108864",
    )  # fmt: skip
    http2, http1, listening = settings.http2(), settings.http1(), settings.listening((5, 6))
    assert (http2.streams, http2.stall_s, http2.idle_s, http2.preface_s) == (7, 1.5, 4.0, 2.0)
    assert http2.stream_window > 64 << 20 <= http2.connection_window, "the largest message fits into a window"
    assert (http1.head_bytes, http1.idle_s) == (4096, 4.0)
    assert (listening.connections, listening.per_address, listening.inherited) == (9, 3, (5, 6))
    assert (listening.age_s, listening.notice_s, listening.grace_s, listening.greeting_s) == (0.0, 1.0, 5.0, 2.0)


def test_defaults_are_those_of_the_hardening_table(load: Any) -> None:
    settings = load()
    http2, listening = settings.http2(), settings.listening()
    assert (http2.streams, http2.resets, http2.block_bytes, http2.list_bytes, http2.controls) == (
        64,
        200,
        16384,
        16384,
        100,
    )
    assert (http2.stream_queue, http2.connection_queue, http2.stall_s, http2.unary_s) == (4 << 20, 16 << 20, 30.0, 30.0)
    assert (listening.per_address, listening.greeting_s, listening.idle_s) == (256, 10.0, 300.0)
    assert not settings.options().shared_memory
    assert (settings.scheme, settings.tenants) == ("http", None)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"HTTP2_LIMITS": '{"stream": 7}'}, "is no bound"),
        ({"HTTP2_LIMITS": '{"streams": 0}'}, "cannot be"),
        ({"HTTP2_LIMITS": '{"streams": 1.5}'}, "cannot be"),
        ({"TLS_KEY_FILE": "/k"}, "both"),
        ({"TLS_CLIENT_CA_FILE": "/k"}, "needs"),
        ({"TENANTS_FILE": "/a", "API_TOKEN_SHA256_FILE": "/b"}, "not both"),
        ({"MAX_MESSAGE_BYTES": "99999999999"}, "MAX_MESSAGE_BYTES"),
        ({"MAX_CONECTIONS": "1"}, "unknown setting"),
        ({"OTLP_ENDPOINT": "collector:4318"}, "expected http://host:port or https://host:port, got 'collector:4318'"),
        ({"OTLP_ENDPOINT": "grpc://collector"}, "expected http"),
        ({"OTLP_ENDPOINT": "http://"}, "expected http"),
        ({"OTLP_ENDPOINT": "http://c?key=secret"}, "keys belong into OTLP_HEADERS_FILE"),
        ({"OTLP_HEADERS_FILE": "/h"}, "need OTLP_ENDPOINT"),
        ({"OTLP_CERTIFICATE_FILE": "/h"}, "need OTLP_ENDPOINT"),
        ({"TRACE_RANDOM_SHARE": "1.5"}, "TRACE_RANDOM_SHARE"),
        ({"TRACE_SLOWEST_SHARE": "0.6"}, "TRACE_SLOWEST_SHARE"),
        ({"TRACE_PER_S": "0"}, "TRACE_PER_S"),
    ],
)
def test_what_does_not_fit_stops_the_start(load: Any, values: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        load(**values)


def test_the_old_name_of_the_tenants_file_still_works(load: Any) -> None:
    assert load(API_TOKEN_SHA256_FILE="/b").tenants == Path("/b")


def test_a_password_in_a_url_is_refused_without_showing_it(load: Any) -> None:
    with pytest.raises(InvalidError, match="keys belong into OTLP_HEADERS_FILE") as found:
        load(OTLP_ENDPOINT="https://who:a-secret@collector:4318")
    assert "a-secret" not in str(found.value)


def test_a_share_of_traces_can_be_set(load: Any) -> None:
    settings = load(TRACE_RANDOM_SHARE="0.5", TRACE_SLOWEST_SHARE="0", TRACE_PER_S="7", OTLP_ENDPOINT="http://c:1/base")
    assert settings.share() == Share(0.5, 0.0, 7)
    assert settings.otlp_endpoint == "http://c:1/base"
