"""Keys that sign are replaced while gateways are away or busy, and every gateway follows what it trusted before."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import Metadata

from onecode_common.clock import SystemClock
from onecode_common.errors import ConflictError, InvalidError
from onecode_common.keys import load_key
from onecode_delivery.client import Delivery
from onecode_standalone.keyring import create_keys
from onecode_standalone.rotation import rotate_keys

PATH = "fleet/line-1/policy.json"


class Operator:
    """Who has the keys: makes folders of them, and starts the registry with one."""

    def __init__(self, bench: Any, folder: Path) -> None:
        self.bench, self.folder, self.number = bench, folder, 0
        create_keys(self.current, "oc", SystemClock().now())

    @property
    def current(self) -> Path:
        return self.folder / f"keys-{self.number}"

    def of(self, name: str) -> Path:
        return self.current / "secrets" / f"oc-{name}"

    @property
    def root(self) -> bytes:
        return (self.of("public") / "root.json").read_bytes()

    def rotate(self, *kinds: str, served: bytes = b"") -> None:
        """Make the next folder."""
        new = self.folder / f"keys-{self.number + 1}"
        rotate_keys(self.current, new, kinds, "oc", SystemClock().now(), served)
        self.number += 1

    def start(self, **changes: Any) -> None:
        """Start the registry with the newest folder, and sign policies with its fleet key."""
        self.bench.stop()
        public = self.of("public")
        files = {"root_file": public / "root.json", "fleet_public_key_file": public / "fleet.pub"}
        self.bench.start(**({"keys_dir": self.of("registry"), **files} | changes))
        self.bench.fleet.key = load_key(self.of("rollout") / "fleet.key")

    def publish(self, generation: int) -> None:
        policies = {PATH: policy(generation)}
        self.bench.stub("rollout").PublishPolicy(self.bench.fleet.request(generation, policies))

    def gateway(self, name: str, root: bytes) -> Callable[[], int]:
        """Return what a gateway does each minute; it answers with the generation that it accepted."""

        def refresh() -> int:
            clock = SystemClock()
            place = self.folder / name
            # Its state is all that it remembers from one time to the next.
            delivery = Delivery(place, self.bench.url, "default", "line-1", self.bench.gateway, root, clock)
            return int(delivery.refresh()[0].generation)

        return refresh


def policy(generation: int) -> bytes:
    document = {
        "schema": 1,
        "tenant": "default",
        "segment": "line-1",
        "generation": generation,
        "issued": "2026-01-01T00:00:00Z",
        "critical": [],
        "models": [],
    }
    return json.dumps(document, sort_keys=True, separators=(",", ":")).encode()


@pytest.fixture
def operator(stopped: Any, tmp_path: Path) -> Operator:
    made = Operator(stopped, tmp_path / "operator")
    made.start()
    made.publish(1)
    return made


@pytest.mark.parametrize("kinds", [("root",), ("signing",), ("root", "signing", "fleet")])
def test_gateways_that_saw_the_old_root_follow(operator: Operator, kinds: tuple[str, ...]) -> None:
    old = operator.root
    seen = operator.gateway("seen", old)
    assert seen() == 1
    operator.rotate(*kinds)
    operator.start()
    assert Metadata[Any].from_bytes(operator.root).signed.version == 2
    # Nothing was published since, and the old policy is still to be had.
    assert seen() == 1
    operator.publish(2)
    assert seen() == 2
    assert operator.gateway("late", old)() == 2
    assert operator.gateway("new", operator.root)() == 2


def test_a_gateway_that_was_off_follows_several_roots_one_by_one(operator: Operator) -> None:
    away = operator.gateway("away", operator.root)
    assert away() == 1
    for generation in (2, 3):
        operator.rotate("root", "signing", "fleet")
        operator.start()
        operator.publish(generation)
    assert away() == 3


def test_between_two_fleet_keys_the_last_policies_stay(operator: Operator) -> None:
    gateway = operator.gateway("gateway", operator.root)
    old = operator.bench.fleet.key
    operator.rotate("fleet")
    operator.start()
    assert gateway() == 1
    new = operator.bench.fleet.key
    operator.bench.fleet.key = old
    with pytest.raises(InvalidError) as refused:
        operator.publish(2)
    assert refused.value.code == "policy.signature"
    operator.bench.fleet.key = new
    operator.publish(2)
    assert gateway() == 2


def test_a_root_that_the_registry_renewed_by_itself_is_where_the_next_one_begins(operator: Operator) -> None:
    gateway = operator.gateway("gateway", operator.root)
    before = operator.root
    operator.rotate("root")
    operator.start()
    served = operator.bench.home / "registry" / "public" / "root.json"
    assert served.read_bytes() == operator.root
    # The folder's own root is one behind, as after a year.
    (operator.of("public") / "root.json").write_bytes(before)
    operator.rotate("root", served=served.read_bytes())
    operator.start()
    operator.publish(2)
    assert Metadata[Any].from_bytes(operator.root).signed.version == 3
    assert gateway() == 2


def test_a_root_that_may_not_follow_stops_the_start_and_changes_nothing(operator: Operator, tmp_path: Path) -> None:
    gateway = operator.gateway("gateway", operator.root)
    stranger = Operator(operator.bench, tmp_path / "stranger")
    first = operator.current
    stranger.rotate("root")
    for files in (
        # Signed by other keys; of other keys under the same number.
        {"root_file": stranger.of("public") / "root.json"},
        {"root_file": stranger.folder / "keys-0" / "secrets" / "oc-public" / "root.json"},
    ):
        with pytest.raises(InvalidError) as refused:
            operator.start(**files)
        assert refused.value.code == "trust.root"
    for kind in ("root", "signing"):
        operator.number = 0
        operator.rotate(kind)
        with pytest.raises(InvalidError) as refused:
            # New keys, and the root was forgotten.
            operator.start(root_file=first / "secrets" / "oc-public" / "root.json")
        assert refused.value.code == "trust.keys"
        shutil.rmtree(operator.current)
        operator.number = 0
    for _ in range(2):
        operator.rotate("root")
    with pytest.raises(InvalidError, match="one by one"):
        operator.start()
    operator.number = 0
    operator.start()
    assert gateway() == 1


def test_a_folder_is_written_whole_or_not_at_all(tmp_path: Path) -> None:
    now = SystemClock().now()
    create_keys(tmp_path / "old", "oc", now)
    before = {file: file.read_bytes() for file in (tmp_path / "old").rglob("*") if file.is_file()}
    rotate_keys(tmp_path / "old", tmp_path / "new", ["root"], "oc", now)
    assert {file: file.read_bytes() for file in before} == before
    secret = list((tmp_path / "new").rglob("*.key"))
    assert {file.stat().st_mode & 0o777 for file in secret} == {0o600}
    with pytest.raises(ConflictError):
        rotate_keys(tmp_path / "old", tmp_path / "new", ["fleet"], "oc", now)
    with pytest.raises(InvalidError, match="'forest' cannot be rotated"):
        rotate_keys(tmp_path / "old", tmp_path / "next", ["fleet", "forest"], "oc", now)
    (tmp_path / "old" / "secrets" / "oc-registry" / "root.key").unlink()
    with pytest.raises(InvalidError):
        rotate_keys(tmp_path / "old", tmp_path / "next", ["fleet", "root"], "oc", now)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["new", "old"]


def test_only_what_was_named_is_new(tmp_path: Path) -> None:
    now = SystemClock().now()
    create_keys(tmp_path / "old", "oc", now)
    expected = {
        "fleet": {"oc-rollout/fleet.key", "oc-public/fleet.pub"},
        "root": {"oc-registry/root.key", "oc-public/root.json"},
        "signing": {f"oc-registry/{role}.key" for role in ("targets", "models", "snapshot", "timestamp")}
        | {"oc-public/root.json"},
    }
    for kind, files in expected.items():
        rotate_keys(tmp_path / "old", tmp_path / kind, [kind], "oc", now)
        secrets = tmp_path / kind / "secrets"
        changed = {
            str(file.relative_to(secrets))
            for file in secrets.rglob("*")
            if file.is_file()
            and file.read_bytes() != (tmp_path / "old" / "secrets" / file.relative_to(secrets)).read_bytes()
        }
        assert changed == files


def test_the_root_of_another_folder_is_refused(tmp_path: Path) -> None:
    now = SystemClock().now()
    for name in ("mine", "other"):
        create_keys(tmp_path / name, "oc", now)
    other = (tmp_path / "other" / "secrets" / "oc-public" / "root.json").read_bytes()
    for served in (other, b"no root", other.replace(b'"version":1', b'"version":7')):
        with pytest.raises(InvalidError) as refused:
            rotate_keys(tmp_path / "mine", tmp_path / "new", ["root"], "oc", now, served)
        assert refused.value.code == "keys.root"
