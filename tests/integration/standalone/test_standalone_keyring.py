"""The folder of keys: whole, least for each, stable, and believed by the services that get it."""

import hashlib
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from onecode_common.errors import InvalidError
from onecode_common.keys import load_key, parse_jwks, public_bytes
from onecode_registry.adapters.signing import FileSigning
from onecode_standalone.bus_config import service_permissions
from onecode_standalone.keyring import create_keys

NOW = datetime(2026, 11, 21, tzinfo=UTC)
FILES = {
    "api": {"api-token"},
    "bus": {"authorization.conf"},
    "console": {"api-token", "login-code", "nats.seed", "service.key"},
    "inference": {"api-tokens.sha256", "nats.seed", "service.key"},
    "ingestion": {"nats.seed"},
    "public": {"fleet.pub", "jwks.json", "root.json"},
    "registry": {"models.key", "nats.seed", "root.key", "snapshot.key", "targets.key", "timestamp.key"},
    "rollout": {"fleet.key", "nats.seed", "service.key"},
    "training": {"nats.seed", "ray-token", "service.key"},
}


@pytest.fixture
def made(tmp_path: Path) -> Path:
    create_keys(tmp_path / "keys", "oc", NOW)
    return tmp_path / "keys" / "secrets"


def test_each_service_gets_its_own_and_nothing_else(made: Path) -> None:
    found = {folder.name: {file.name for file in folder.iterdir()} for folder in made.iterdir()}
    assert found == {f"oc-{name}": files for name, files in FILES.items()}


def test_only_the_owner_reads_secrets(made: Path) -> None:
    secret = [file for file in made.rglob("*") if file.is_file() and file.parent.name != "oc-public"]
    assert {file.stat().st_mode & 0o777 for file in secret} == {0o600}


def test_a_second_run_changes_nothing(made: Path) -> None:
    before = {file: file.read_bytes() for file in made.rglob("*") if file.is_file()}
    create_keys(made.parent, "oc", NOW.replace(year=2027))
    assert {file: file.read_bytes() for file in made.rglob("*") if file.is_file()} == before


def test_the_public_keys_are_those_of_the_services(made: Path) -> None:
    public = parse_jwks((made / "oc-public" / "jwks.json").read_bytes())
    assert set(public) == {"training", "rollout", "inference", "console"}
    for name, key in public.items():
        assert public_bytes(key) == public_bytes(load_key(made / f"oc-{name}" / "service.key"))


def test_the_registry_signs_below_the_root_that_was_made_for_it(made: Path) -> None:
    signing = signer(made, made / "oc-registry")
    first = signing.first(NOW)
    assert first["root"] == (made / "oc-public" / "root.json").read_bytes()
    root = Metadata[Any].from_bytes(first["root"])
    root.signed.verify_delegate("root", root.signed_bytes, root.signatures)
    for role in ("targets", "snapshot", "timestamp"):
        metadata = Metadata[Any].from_bytes(first[role])
        root.signed.verify_delegate(role, metadata.signed_bytes, metadata.signatures)


def test_the_registry_refuses_a_root_of_other_keys(made: Path, tmp_path: Path) -> None:
    create_keys(tmp_path / "others", "oc", NOW)
    others = tmp_path / "others" / "secrets" / "oc-registry"
    with pytest.raises(InvalidError, match="does not trust the keys"):
        signer(made, others).first(NOW)


def test_a_root_without_its_keys_is_not_made_again(made: Path) -> None:
    (made / "oc-registry" / "snapshot.key").unlink()
    with pytest.raises(InvalidError, match="which do not belong"):
        create_keys(made.parent, "oc", NOW)


def test_inference_knows_the_administrators_token_by_its_digest(made: Path) -> None:
    token = (made / "oc-api" / "api-token").read_text()
    assert (made / "oc-console" / "api-token").read_text() == token
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert (made / "oc-inference" / "api-tokens.sha256").read_text() == digest


def test_the_bus_lets_in_the_six_services_each_with_its_own_rights(made: Path) -> None:
    text = (made / "oc-bus" / "authorization.conf").read_text()
    users = json.loads(text.partition("users: ")[2].rpartition("}")[0])
    assert len({user["nkey"] for user in users}) == 6
    assert service_permissions("rollout") in [user["permissions"] for user in users]


def signer(made: Path, keys: Path) -> FileSigning:
    public = made / "oc-public"
    return FileSigning(keys, (public / "fleet.pub").read_bytes(), (public / "root.json").read_bytes())
