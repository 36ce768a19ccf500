"""What `onecode up` decides before it touches anything."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onecode_common.assignment import shard
from onecode_common.errors import InvalidError
from onecode_standalone.addresses import SERVICES, Addresses
from onecode_standalone.apikey import format_key, new_api_key
from onecode_standalone.backoff import LONGEST_S, Backoff
from onecode_standalone.bus_config import gateway_permissions, service_permissions
from onecode_standalone.order import stop_waves
from onecode_standalone.settings import UpSettings, is_loopback
from onecode_standalone.table import Entry

HOME = Path("/nowhere")


def entry(name: str, *needs: str) -> Entry:
    return Entry(name, ("true",), {}, "http://127.0.0.1:1/readyz", 1, needs)


def test_a_key_has_the_published_form() -> None:
    """The test vector of the format's description."""
    key = format_key("ock", "p7f3k2m9xq4d", bytes(range(32)))
    assert key == "ock_p7f3k2m9xq4d_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf_3EsRjs"


def test_two_keys_are_never_the_same() -> None:
    assert len({new_api_key() for _ in range(100)}) == 100


def test_deaths_in_a_row_double_the_wait_up_to_a_limit() -> None:
    backoff, waits = Backoff(), []
    for _ in range(8):
        backoff = backoff.after_death(ran_s=1.0)
        waits.append(backoff.delay_s)
    assert waits == [0.5, 1.0, 2.0, 4.0, 8.0, 15.0, 15.0, 15.0]


def test_a_process_that_ran_long_is_forgiven() -> None:
    backoff = Backoff(deaths=7).after_death(ran_s=31.0)
    assert backoff.delay_s == 0.5


@given(st.integers(0, 10_000))
def test_no_wait_is_longer_than_the_limit(deaths: int) -> None:
    assert 0 <= Backoff(deaths).delay_s <= LONGEST_S


def test_nobody_stops_before_those_who_need_it() -> None:
    table = [entry("bus"), entry("a", "bus"), entry("b", "bus"), entry("c", "a", "b"), entry("d", "c")]
    assert stop_waves(table) == [["d"], ["c"], ["a", "b"], ["bus"]]


def test_a_need_that_is_not_in_the_table_is_no_need() -> None:
    assert stop_waves([entry("a", "elsewhere")]) == [["a"]]


def test_every_listener_of_a_platform_has_a_port_of_its_own() -> None:
    listeners = Addresses(UpSettings(HOME, gateways=40)).listeners()
    assert len({listener.port for listener in listeners}) == len(listeners)


def test_everything_but_public_faces_listens_on_loopback() -> None:
    addresses = Addresses(UpSettings(HOME, listen="192.0.2.7"))
    public = {listener.port for listener in addresses.listeners() if listener.host != "127.0.0.1"}
    assert public == {8080, 8000, 8001, 8081, 7411}


@pytest.mark.parametrize(
    ("change", "option"),
    [
        ({"port_base": 80}, "--port-base"),
        ({"port_base": 65_500}, "--port-base"),
        ({"gateways": 41}, "--gateways"),
        ({"gateways": -1}, "--gateways"),
        ({"console_port": 8000}, "--oip-rest-port"),
        ({"edge_port": 7450}, "--edge-port"),
        ({"oip_grpc_port": 0}, "--oip-grpc-port"),
    ],
)
def test_a_setting_that_cannot_work_is_refused_by_its_name(change: dict[str, int], option: str) -> None:
    with pytest.raises(InvalidError) as refused:
        UpSettings(HOME, **change)  # type: ignore[arg-type]
    assert refused.value.params["option"] == option


@pytest.mark.parametrize(("address", "loopback"), [("127.0.0.1", True), ("::1", True), ("localhost", True)])
def test_loopback_is_recognised(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback


@pytest.mark.parametrize("address", ["0.0.0.0", "192.0.2.1", "::", "plant.example", ""])
def test_any_other_address_switches_anonymous_prediction_off(address: str) -> None:
    assert not UpSettings(HOME, listen=address).anonymous


def test_a_service_speaks_only_in_its_own_name() -> None:
    for service in SERVICES:
        events = [subject for subject in service_permissions(service)["publish"] if subject.startswith("oc.ev.")]
        assert events == [f"oc.ev.{service}.>"]


def test_a_gateway_has_no_right_on_streams_and_none_on_other_gateways() -> None:
    rights = gateway_permissions("gw-1", "line-1")
    subjects = [*rights["publish"], *rights["subscribe"]]
    assert not [subject for subject in subjects if subject.startswith("$")]
    assert all("gw-1" in subject or subject == "oc.default.wake.line-1" for subject in subjects)


def test_the_shard_of_a_known_gateway_never_changes() -> None:
    """Pinned, because a gateway in the field computes it too."""
    assert [shard("gw-1"), shard("gw-2"), shard("cloud")] == [3, 1, 11]
