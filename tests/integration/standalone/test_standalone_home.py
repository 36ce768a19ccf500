"""A home is made once, kept, and refused when it cannot be right."""

import json
import socket
import stat
from pathlib import Path

import nkeys
import pytest

from onecode_common.errors import ConflictError, ExhaustedError, InvalidError, PreconditionError
from onecode_common.keys import load_key, parse_jwks, public_bytes
from onecode_standalone import home as home_module
from onecode_standalone.addresses import SERVICES, Addresses, Listener
from onecode_standalone.enrol import enrolled
from onecode_standalone.home import Home
from onecode_standalone.logfile import last_lines, rotate
from onecode_standalone.port_check import check_ports
from onecode_standalone.provision import provision
from onecode_standalone.settings import UpSettings
from onecode_standalone.table import platform_table


def provisioned(root: Path, **settings: int) -> Home:
    home = Home(root)
    home.open()
    provision(home, Addresses(UpSettings(root, **settings)))  # type: ignore[arg-type]
    return home


def secrets_of(home: Home) -> dict[str, bytes]:
    names = [
        *(home.root / "keys").iterdir(),
        *(home.root / "nkeys").iterdir(),
        home.api_token_file,
        home.ray_token_file,
    ]
    return {path.name: path.read_bytes() for path in names}


def test_provisioning_again_changes_no_secret(tmp_path: Path) -> None:
    before = secrets_of(provisioned(tmp_path / "home"))
    assert secrets_of(provisioned(tmp_path / "home")) == before


def test_a_fourth_gateway_gets_a_seed_and_the_others_keep_theirs(tmp_path: Path) -> None:
    before = secrets_of(provisioned(tmp_path / "home", gateways=3))
    after = secrets_of(provisioned(tmp_path / "home", gateways=4))
    assert after.keys() - before.keys() == {"gw-4.seed"}
    assert {name: after[name] for name in before} == before


def test_nobody_else_may_read_a_secret(tmp_path: Path) -> None:
    home = provisioned(tmp_path / "home")
    public = {"jwks.json", "fleet.pub"}
    secret = [path for path in home.root.glob("*keys/*") if path.name not in public]
    secret += [home.api_token_file, home.login_file, home.ray_token_file, home.bus_config]
    assert {stat.S_IMODE(path.stat().st_mode) for path in secret} == {0o600}
    assert stat.S_IMODE(home.root.stat().st_mode) == 0o700


def test_the_public_keys_are_those_of_the_private_ones(tmp_path: Path) -> None:
    home = provisioned(tmp_path / "home")
    published = parse_jwks(home.jwks_file.read_bytes())
    assert set(published) == {*SERVICES, "standalone"}
    for name, key in published.items():
        assert public_bytes(key) == public_bytes(load_key(home.key(name)))


def test_the_bus_knows_each_process_by_its_seed(tmp_path: Path) -> None:
    home = provisioned(tmp_path / "home")
    config = home.bus_config.read_text()
    for name in (*SERVICES, "gw-1", "gw-2", "gw-3"):
        assert nkeys.from_seed(bytearray(home.seed(name).read_bytes())).public_key.decode() in config
    assert "sync_interval: always" in config
    assert "http" not in config


def test_ports_are_told_to_other_programs(tmp_path: Path) -> None:
    home = provisioned(tmp_path / "home", port_base=9000)
    document = json.loads(home.ports_file.read_text())
    assert document["nats"] == 9000
    assert document["gateways"]["gw-2"] == {"rest": 9120, "grpc": 9121, "ops": 9122}


def test_no_secret_stands_in_the_environment_of_a_process(tmp_path: Path) -> None:
    home = provisioned(tmp_path / "home")
    table = platform_table(home, Addresses(UpSettings(home.root)), lambda _number: dict)
    secrets = [content.strip() for content in secrets_of(home).values()]
    for entry in table:
        for value in [*entry.environment.values(), *entry.argv]:
            assert value.encode() not in secrets


def test_each_process_gets_the_settings_that_a_person_made_under_its_own_prefix(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = provisioned(tmp_path / "home")
    tenants = str(tmp_path / "tenants.json")
    for name, value in {
        "ONECODE_INFERENCE_PROCESSES": "2",
        "ONECODE_INFERENCE_ANONYMOUS": "false",
        "ONECODE_INFERENCE_TENANTS_FILE": tenants,
        "ONECODE_EDGE_SHARED_MEMORY": "true",
        "ONECODE_TRAINING_RAY_CPUS": "1",
        "ONECODE_CONSOLE_NO_SUCH": "1",
        "ONECODE_OTHER": "1",
    }.items():
        monkeypatch.setenv(name, value)
    table = {one.name: one for one in platform_table(home, Addresses(UpSettings(home.root)), lambda _number: dict)}
    inference = table["inference"].environment
    assert inference["ONECODE_INFERENCE_PROCESSES"] == "2"
    assert inference["ONECODE_INFERENCE_ANONYMOUS"] == "false"
    assert inference["ONECODE_INFERENCE_TENANTS_FILE"] == tenants
    assert "ONECODE_INFERENCE_API_TOKEN_SHA256_FILE" not in inference, "the service takes one of the two only"
    assert table["training"].environment["ONECODE_TRAINING_RAY_CPUS"] == "1"
    for number in (1, 2, 3):
        assert table[f"gateway-{number}"].environment["ONECODE_EDGE_SHARED_MEMORY"] == "true"
    assert table["console"].environment["ONECODE_CONSOLE_NO_SUCH"] == "1", "the service itself refuses it"
    for name, entry in table.items():
        prefix = "ONECODE_EDGE_" if name.startswith("gateway") else f"ONECODE_{name.upper()}_"
        assert all(key.startswith((prefix, "ONECODE_HOME_", "ONECODE_PROCESS_")) for key in entry.environment
                   if key.startswith("ONECODE_"))  # fmt: skip


@pytest.mark.parametrize("name", ["ONECODE_INFERENCE_OPS_ADDRESS", "onecode_edge_home_dir", "ONECODE_ROLLOUT_EDGE_URL"])
def test_what_the_platform_wires_itself_cannot_be_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    home = provisioned(tmp_path / "home")
    monkeypatch.setenv(name, "127.0.0.1:1")
    with pytest.raises(InvalidError, match=name.upper()):
        platform_table(home, Addresses(UpSettings(home.root)), lambda _number: dict)


def test_a_folder_with_something_else_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    with pytest.raises(InvalidError, match=r"thesis\.tex"):
        Home(tmp_path).open()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_home_of_a_newer_release_is_refused_with_what_to_do(tmp_path: Path) -> None:
    home = provisioned(tmp_path / "home")
    (home.root / "VERSION").write_text("2\n")
    with pytest.raises(PreconditionError, match="newer release") as refused:
        Home(home.root).open()
    assert "pip install" in refused.value.hint


@pytest.mark.parametrize("text", ["", "one", "-1", "1.5", "\x00"])
def test_a_damaged_version_file_is_refused(tmp_path: Path, text: str) -> None:
    home = provisioned(tmp_path / "home")
    (home.root / "VERSION").write_text(text)
    with pytest.raises(InvalidError, match="no format number"):
        Home(home.root).open()


def test_a_full_disk_is_refused_before_anything_starts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home_module, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(ExhaustedError, match="MiB are free") as refused:
        Home(tmp_path / "home").open()
    assert refused.value.code == "up.disk"


def test_a_taken_port_is_named_with_who_wants_it_and_what_to_set() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConflictError, match=f"port {port} is taken") as refused:
            check_ports([Listener("127.0.0.1", port, "console", "--console-port")])
    assert refused.value.params["process"] == "console"
    assert "--console-port" in refused.value.hint


def test_an_address_of_another_machine_is_refused() -> None:
    with pytest.raises(InvalidError, match="cannot listen on"):
        check_ports([Listener("192.0.2.1", 8080, "console", "--listen")])


def test_only_a_gateway_with_an_identity_needs_no_token(tmp_path: Path) -> None:
    home = provisioned(tmp_path / "home")
    assert not enrolled(home, "gw-1")


def test_logs_of_earlier_starts_are_kept_in_order(tmp_path: Path) -> None:
    log = tmp_path / "a.log"
    for number in range(5):
        log.write_text(f"start {number}\n")
        rotate(log)
    kept = {path.name: path.read_text().strip() for path in tmp_path.iterdir()}
    assert kept == {"a.log.1": "start 4", "a.log.2": "start 3", "a.log.3": "start 2"}


def test_the_last_lines_of_a_missing_log_are_none(tmp_path: Path) -> None:
    assert last_lines(tmp_path / "none.log") == []
