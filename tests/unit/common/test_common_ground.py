"""Small shared rules: ids, settings, keys, files, logs, loops."""

import json
import logging
import re
import threading
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import Field
from pydantic_settings import SettingsConfigDict

from onecode_common.addresses import split_address
from onecode_common.errors import KINDS, ExhaustedError, InvalidError, OnecodeError, UnavailableError
from onecode_common.files import storage_error, write_file
from onecode_common.ids import check_id, check_name, digest, hex_of, new_id
from onecode_common.keys import jwks_document, load_key, load_or_create_key, parse_jwks, public_bytes
from onecode_common.loops import Loop
from onecode_common.settings import ServiceSettings
from onecode_common.telemetry import _Json, redact


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="ONECODE_PROBE_", frozen=True, extra="forbid")
    service: ClassVar[str] = "probe"
    count: int = Field(default=1, ge=1)


@pytest.mark.parametrize("name", ["a", "pump-1", "a.b_c", "0", "a" * 63])
def test_names_are_short_and_plain(name: str) -> None:
    assert check_name(name, "thing") == name


@pytest.mark.parametrize("name", ["", "A", "-a", "a b", "a/b", "a..b", "../x", "a" * 64, "é", "a\n", "a\0", "\u202ea"])
def test_what_is_no_name_is_refused_with_its_value(name: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        check_name(name, "thing")
    assert (refusal.value.code, refusal.value.params) == ("name.invalid", {"what": "thing", "value": name[:80]})


@pytest.mark.parametrize("text", ["", "a b", "a/b", "-a", "a" * 101, "a\n", "é"])
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidError) as refusal:
        check_id(text, "upload")
    assert refusal.value.code == "id.invalid"


def test_new_ids_are_ids_and_never_the_same() -> None:
    made = {new_id("r") for _ in range(1000)}
    assert len(made) == 1000
    assert all(re.fullmatch(r"r_[0-9a-z]{16}", check_id(one, "run")) for one in made)


@given(st.text(max_size=80) | st.from_regex(r"(sha256:)?[0-9a-f]{63,65}", fullmatch=True))
def test_only_a_digest_is_a_digest(text: str) -> None:
    if re.fullmatch(r"(sha256:)?[0-9a-f]{64}", text):
        assert digest(text) == f"sha256:{hex_of(text)}"
        return
    with pytest.raises(InvalidError) as refusal:
        digest(text)
    assert refusal.value.code == "digest.invalid"


def test_every_kind_of_error_is_known_by_its_name() -> None:
    assert all(KINDS[kind].kind == kind for kind in KINDS)
    error = InvalidError("bad", params={"a": 1})
    assert (error.code, error.params, str(error)) == ("invalid", {"a": "1"}, "bad")


def test_an_unknown_setting_under_the_own_prefix_stops_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECODE_PROBE_COUNT", "5")
    monkeypatch.setenv("ONECODE_OTHER_TYPO", "x")
    assert Settings.load().count == 5
    monkeypatch.setenv("ONECODE_PROBE_CUONT", "6")
    with pytest.raises(InvalidError) as refusal:
        Settings.load()
    assert (refusal.value.code, refusal.value.params) == ("settings.unknown", {"name": "ONECODE_PROBE_CUONT"})
    assert "ONECODE_PROBE_COUNT" in refusal.value.message


@pytest.mark.parametrize(("name", "value"), [("COUNT", "0"), ("COUNT", "many"), ("LOG_FORMAT", "xml")])
def test_a_setting_that_does_not_fit_is_named(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(f"ONECODE_PROBE_{name}", value)
    with pytest.raises(InvalidError) as refusal:
        Settings.load()
    assert (refusal.value.code, refusal.value.params["name"]) == ("settings.invalid", f"ONECODE_PROBE_{name}")


@pytest.mark.parametrize("address", ["", "host", "host:", ":80", "host:http", "host:-1"])
def test_an_address_is_host_and_port(address: str) -> None:
    assert split_address("127.0.0.1:80") == ("127.0.0.1", 80)
    with pytest.raises(InvalidError) as refusal:
        split_address(address)
    assert refusal.value.code == "settings.address"


def test_a_key_file_is_made_once_and_for_the_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "a.key"
    key = load_or_create_key(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert public_bytes(load_or_create_key(path)) == public_bytes(key)
    assert public_bytes(parse_jwks(jwks_document({"a": public_bytes(key)}))["a"]) == public_bytes(key)


def test_a_key_that_others_may_read_or_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.key"
    for content, mode, code in ((None, 0, "key.missing"), (b"x", 0o644, "key.mode"), (b"x", 0o600, "key.format")):
        if content is not None:
            path.write_bytes(content)
            path.chmod(mode)
        with pytest.raises(InvalidError) as refusal:
            load_key(path)
        assert refusal.value.code == code
        assert str(path) in refusal.value.message


@pytest.mark.parametrize(
    "document", [b"", b"{}", b"[]", b'{"keys": [{}]}', b'{"keys": [{"crv": "Ed25519", "kid": "a", "x": "AA"}]}']
)
def test_a_jwks_file_that_holds_no_keys_is_refused(document: bytes) -> None:
    with pytest.raises(InvalidError) as refusal:
        parse_jwks(document)
    assert refusal.value.code == "key.jwks"


def test_a_file_is_replaced_whole_with_its_mode_and_nothing_is_left(tmp_path: Path) -> None:
    path = tmp_path / "state"
    write_file(path, b"old")
    write_file(path, b"new", mode=0o600)
    assert (path.read_bytes(), path.stat().st_mode & 0o777) == (b"new", 0o600)
    assert [one.name for one in tmp_path.iterdir()] == ["state"]
    with pytest.raises(UnavailableError):
        write_file(tmp_path / "nowhere" / "x", b"")


def test_a_full_disk_is_told_apart_from_a_broken_one() -> None:
    assert isinstance(storage_error(OSError(28, "No space left"), Path("x")), ExhaustedError)
    assert isinstance(storage_error(OSError(5, "Input/output error"), Path("x")), UnavailableError)


@pytest.mark.parametrize(
    "secret",
    [
        "ocs_0123456789ab_ABCdef",
        "oce_0123456789ab_x",
        "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIxIn0.c2ln",
        "ock_aaaaaaaaaaaa_Z_9",
    ],
)
def test_no_key_or_token_reaches_a_log(secret: str) -> None:
    assert secret not in redact(f"refused {secret} today")
    record = logging.LogRecord("x", logging.INFO, "f", 1, "got %s", (secret,), None)
    line = json.loads(_Json("probe").format(record))
    assert (line["service"], line["message"]) == ("probe", "got [secret]")


def test_a_loop_goes_on_after_a_failed_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecode_common.loops._AFTER_FAILURE_S", 0.01)
    again = threading.Event()
    turns: list[int] = []

    def turn(_stopping: threading.Event) -> bool:
        turns.append(1)
        if len(turns) == 1:
            message = "the first turn fails"
            raise OnecodeError(message)
        again.set()
        return False

    loop = Loop("probe", turn, idle_s=0.01)
    loop.start()
    assert again.wait(10)
    assert loop.ready() is None
    loop.stop()
    assert loop.ready() == "loop probe has ended"


def test_a_loop_turns_at_once_when_woken_or_when_there_is_more_to_do() -> None:
    left = [3]
    done, woken = threading.Event(), threading.Event()

    def turn(_stopping: threading.Event) -> bool:
        if left[0]:
            left[0] -= 1
            return True
        (woken if done.is_set() else done).set()
        return False

    loop = Loop("probe", turn, idle_s=3600)
    loop.start()
    assert done.wait(10)
    # A wake before the wait begins counts as well; waking again and again cannot be too early for ever.
    while not woken.wait(0.05):
        loop.wake()
    loop.stop()
