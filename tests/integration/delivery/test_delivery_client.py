"""What reaches this machine is what was signed for it, and nothing else; whatever is wrong leaves the last good."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import signed_repository as signed
from securesystemslib.signer import CryptoSigner
from signed_repository import TOKEN, Distribution, SignedRepository, arm, model, policy, sha

from onecode_common.clock import SystemClock
from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, UnauthenticatedError, UnavailableError
from onecode_delivery.client import Delivery
from onecode_delivery.store import VerifiedVersion

ONNX = bytes(range(256)) * 2048
GOLDEN = b'{"format":1}\n'


class World:
    """A repository, its server, and one machine that follows it."""

    def __init__(self, folder: Path) -> None:
        self.repository = SignedRepository()
        self.server = Distribution(self.repository)
        self.folder = folder
        self.digest = self.repository.publish_model("shuttle", 1, ONNX, GOLDEN)
        self.repository.publish_policy(policy(5, model("shuttle", 5, arm(0, 10_000, 1, self.digest))))
        self.delivery = self.machine(folder)

    def machine(self, folder: Path, clock: Any = None, token: str = TOKEN) -> Delivery:
        root, tenant = self.repository.root_bytes, "default"
        return Delivery(folder, self.server.url, tenant, signed.SEGMENT, lambda: token, root, clock or SystemClock())

    def newer(self, **changes: Any) -> bytes:
        entry = model("shuttle", 6, arm(0, 10_000, 1, self.digest))
        return self.repository.publish_policy({**policy(6, entry), **changes})

    def object_path(self, content: bytes = ONNX) -> str:
        return f"objects/{sha(content)}"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path / "machine")
    yield made
    made.delivery.close()
    made.server.close()


def test_a_signed_policy_brings_verified_bytes(world: World) -> None:
    found, content = world.delivery.refresh()
    entry = found.models[0]
    world.delivery.fetch(world.delivery.manifest("shuttle", entry.arms[0].release, entry.arms[0].digest))
    version = world.delivery.open_version(world.digest)
    assert (version.onnx, version.golden, version.model, version.release) == (ONNX, GOLDEN, "shuttle", 1)
    assert world.delivery.accepted() == (found, content)


def test_a_verified_version_is_made_by_the_verifier_only(world: World) -> None:
    with pytest.raises(TypeError):
        VerifiedVersion(world.digest, {}, b"", b"")


def test_the_last_policy_and_its_versions_open_without_a_network(world: World) -> None:
    world.delivery.refresh()
    world.delivery.fetch(world.delivery.manifest("shuttle", 1, world.digest))
    world.server.close()
    again = world.machine(world.folder)
    with pytest.raises(UnavailableError):
        again.refresh()
    accepted = again.accepted()
    assert accepted is not None
    assert accepted[0].generation == 5
    assert again.open_version(world.digest).onnx == ONNX


def expire(world: World, role: str) -> None:
    world.repository.expires[role] = datetime.now(UTC).replace(microsecond=0) - timedelta(seconds=5)
    world.newer()
    world.repository.rewrite(role if role in ("targets", "models", "fleet") else "fleet")


def forge(world: World, role: str) -> None:
    world.repository.signers[role] = CryptoSigner.generate_ed25519()
    world.newer()
    world.repository.rewrite(*({role} & {"targets", "models", "fleet"}))


def strip_signatures(world: World, file: str) -> None:
    import json

    document = json.loads(world.repository.files[file])
    document["signatures"] = []
    world.repository.files[file] = json.dumps(document).encode()


def unsign(world: World, role: str) -> None:
    world.newer()
    version = world.repository.versions[role]
    strip_signatures(world, "metadata/timestamp.json" if role == "timestamp" else f"metadata/{version}.{role}.json")


def older_repository(world: World, _: str) -> None:
    before = dict(world.repository.files)
    world.newer()
    world.delivery.refresh()
    world.repository.files = before


def older_generation(world: World, _: str) -> None:
    world.newer()
    world.delivery.refresh()
    world.repository.publish_policy(policy(5, model("shuttle", 5, arm(0, 10_000, 1, world.digest))))


def same_generation(world: World, _: str) -> None:
    world.delivery.refresh()
    world.repository.publish_policy(policy(5, model("shuttle", 5, arm(0, 10_000, 1, world.digest), salt="other")))


def flip(world: World, _: str) -> None:
    world.newer()
    path = next(path for path in world.repository.files if path.startswith("targets/fleet") and sha_is_new(world, path))
    content = bytearray(world.repository.files[path])
    content[len(content) // 2] ^= 0x04
    world.repository.files[path] = bytes(content)


def sha_is_new(world: World, path: str) -> bool:
    target = world.repository.fleet.targets[f"fleet/{signed.SEGMENT}/policy.json"]
    return target.hashes["sha256"] in path


def truncate(world: World, _: str) -> None:
    world.newer()
    path = next(path for path in world.repository.files if path.startswith("targets/fleet") and sha_is_new(world, path))
    world.repository.files[path] = world.repository.files[path][:-7]


def huge_timestamp(world: World, _: str) -> None:
    world.newer()
    world.repository.files["metadata/timestamp.json"] = b"[" * (10 << 20)


def huge_policy(world: World, _: str) -> None:
    world.repository.publish_policy(b'{"schema":1,"x":"' + b"x" * (10 << 20) + b'"}')


def with_policy(**changes: Any) -> Callable[[World, str], None]:
    return lambda world, _: void(world.newer(**changes))


def with_entry(**changes: Any) -> Callable[[World, str], None]:
    def act(world: World, _: str) -> None:
        entry = {**model("shuttle", 6, arm(0, 10_000, 1, world.digest)), **changes}
        world.repository.publish_policy(policy(6, entry))

    return act


def void(_: object) -> None:
    return


REFUSED: list[tuple[str, Callable[[World, str], None], str, str]] = [
    *((f"expired-{role}", expire, role, "sync.expired") for role in ("timestamp", "snapshot", "targets", "fleet")),
    *((f"wrong-key-{role}", forge, role, "sync.unsigned") for role in ("timestamp", "snapshot", "targets", "fleet")),
    *((f"unsigned-{role}", unsign, role, "sync.unsigned") for role in ("timestamp", "snapshot", "fleet")),
    ("older-repository", older_repository, "", "sync.rollback"),
    ("older-generation", older_generation, "", "sync.generation"),
    ("two-of-one-generation", same_generation, "", "sync.generation"),
    ("generation-far-ahead", with_policy(generation=5 + (1 << 33)), "", "sync.generation"),
    ("generation-negative", with_policy(generation=-1), "", "sync.policy"),
    ("flipped-bit", flip, "", "sync.digest_mismatch"),
    ("truncated", truncate, "", "sync.digest_mismatch"),
    ("ten-megabytes-of-metadata", huge_timestamp, "", "sync.too_large"),
    ("ten-megabytes-of-policy", huge_policy, "", "sync.too_large"),
    ("other-segment", with_policy(segment="line-2"), "", "sync.segment"),
    ("other-tenant", with_policy(tenant="other"), "", "sync.tenant"),
    ("unknown-critical-field", with_policy(critical=["site_lock"], site_lock=True), "", "sync.critical"),
    ("newer-schema", with_policy(schema=2), "", "sync.schema"),
    ("gap-in-arms", with_entry(arms=[arm(0, 9_999, 1, "sha256:" + "0" * 64)]), "", "sync.arms"),
    ("overlapping-arms", with_entry(arms=[arm(0, 10_000, 1, f"sha256:{c * 64}") for c in "ab"]), "", "sync.arms"),
    ("below-the-floor", with_entry(floor=2), "", "sync.floor"),
    ("unknown-mode", with_entry(mode="shadow"), "", "sync.mode"),
    ("name-with-dots", with_entry(name="../shuttle"), "", "sync.policy"),
    ("digest-that-is-none", with_entry(arms=[arm(0, 10_000, 1, "md5:00")]), "", "sync.policy"),
]


@pytest.mark.parametrize(("spoil", "role", "code"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_what_is_wrong_is_refused_by_name_and_the_last_good_stays(
    world: World, spoil: Callable[[World, str], None], role: str, code: str
) -> None:
    world.delivery.refresh()
    spoil(world, role)
    before = world.delivery.accepted()
    with pytest.raises(InvalidError) as refusal:
        world.delivery.refresh()
    assert refusal.value.code == code
    assert before is not None
    assert world.delivery.accepted() == before


@pytest.mark.parametrize("years", [-50, 0])
def test_a_clock_in_the_past_does_not_bring_expired_metadata_back(world: World, years: int) -> None:
    """The time floor is the newest signed time: a clock before it is not believed."""

    class Slow:
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(days=365 * years)

        def monotonic(self) -> float:
            return 0.0

    machine = world.machine(world.folder, Slow())
    found, _ = machine.refresh()
    assert found.generation == 5


def test_a_clock_in_the_far_future_is_stale_and_not_broken(world: World) -> None:
    class Fast(SystemClock):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(days=3650)

    world.delivery.refresh()
    ahead = world.machine(world.folder, Fast())
    with pytest.raises(InvalidError) as refusal:
        ahead.refresh()
    assert refusal.value.code == "sync.expired"
    assert ahead.accepted() is not None


def test_a_segment_without_a_policy_is_told_apart_from_a_failure(tmp_path: Path, world: World) -> None:
    root = world.repository.root_bytes
    other = Delivery(tmp_path / "b", world.server.url, "default", "line-9", lambda: TOKEN, root, SystemClock())
    with pytest.raises(NotFoundError) as refusal:
        other.refresh()
    assert refusal.value.code == "sync.no_policy"


def test_a_refused_token_is_told_apart(tmp_path: Path, world: World) -> None:
    with pytest.raises(UnauthenticatedError):
        world.machine(tmp_path / "b", token="other").refresh()


def test_a_server_in_trouble_is_unavailable(world: World) -> None:
    world.server.behaviour.status = 503
    with pytest.raises(UnavailableError):
        world.delivery.refresh()


def test_root_keys_rotate_and_a_forged_root_does_not(world: World) -> None:
    repository = world.repository
    fresh = CryptoSigner.generate_ed25519()
    repository.root.version = 2
    repository.root.revoke_key(repository.signers["timestamp"].public_key.keyid, "timestamp")
    repository.root.add_key(fresh.public_key, "timestamp")
    repository.signers["timestamp"] = fresh
    repository._write("root", repository.root, "2.root.json")
    world.newer()
    assert world.delivery.refresh()[0].generation == 6
    repository.root.version = 3
    repository.signers["root"] = CryptoSigner.generate_ed25519()
    repository._write("root", repository.root, "3.root.json")
    with pytest.raises(InvalidError) as refusal:
        world.delivery.refresh()
    assert refusal.value.code == "sync.unsigned"


def manifest_change(change: Callable[[dict[str, Any]], None]) -> Callable[[World], str]:
    return lambda world: world.repository.publish_model("shuttle", 2, ONNX, GOLDEN, change)


def set_files(edit: Callable[[list[dict[str, Any]]], None]) -> Callable[[World], str]:
    return manifest_change(lambda document: edit(document["files"]))


BAD_MANIFESTS: list[tuple[str, Callable[[World], str], str]] = [
    ("extra", set_files(lambda f: f.append({"name": "x.so", "sha256": "0" * 64, "length": 1})), "sync.extra_file"),
    ("twice", set_files(lambda f: f.append(dict(f[0]))), "sync.missing_file"),
    ("missing", set_files(lambda f: void(f.pop())), "sync.missing_file"),
    ("dots", set_files(lambda f: f[0].update(name="../model.onnx")), "sync.file_name"),
    ("separator", set_files(lambda f: f[0].update(name="a\\model.onnx")), "sync.file_name"),
    ("nul", set_files(lambda f: f[0].update(name="model.onnx\0")), "sync.file_name"),
    ("empty-digest", set_files(lambda f: f[0].update(sha256="")), "sync.manifest"),
    ("negative", set_files(lambda f: f[0].update(length=-1)), "sync.manifest"),
    ("huge", set_files(lambda f: f[0].update(length=10 << 30)), "sync.too_large"),
    ("other-model", manifest_change(lambda d: d.update(model="other")), "sync.digest_mismatch"),
    ("other-release", manifest_change(lambda d: d.update(release=9)), "sync.digest_mismatch"),
]


@pytest.mark.parametrize(("publish", "code"), [c[1:] for c in BAD_MANIFESTS], ids=[c[0] for c in BAD_MANIFESTS])
def test_a_manifest_that_names_what_it_must_not_is_refused(
    world: World, publish: Callable[[World], str], code: str
) -> None:
    digest = publish(world)
    world.repository.sign()
    world.delivery.refresh()
    with pytest.raises(InvalidError) as refusal:
        world.delivery.fetch(world.delivery.manifest("shuttle", 2, digest))
    assert refusal.value.code == code
    with pytest.raises(OnecodeError):
        world.delivery.open_version(digest)


def test_two_signers_must_mean_the_same_version(world: World) -> None:
    world.delivery.refresh()
    with pytest.raises(InvalidError) as refusal:
        world.delivery.manifest("shuttle", 1, "sha256:" + "1" * 64)
    assert refusal.value.code == "sync.digest_mismatch"


@pytest.mark.parametrize("cut", [1, 65_536, 131_072, 196_608, 262_144, 393_216, len(ONNX) - 1])
def test_a_cut_download_goes_on_where_it_was(world: World, cut: int) -> None:
    world.delivery.refresh()
    manifest = world.delivery.manifest("shuttle", 1, world.digest)
    world.server.behaviour.cut[world.object_path()] = [cut]
    world.delivery.fetch(manifest)
    ranges = [asked for path, asked in world.server.behaviour.asked if path == world.object_path()]
    assert ranges == ["", f"bytes={cut}-"]
    assert world.delivery.open_version(world.digest).onnx == ONNX


def test_what_came_before_the_server_died_is_not_fetched_again(world: World) -> None:
    world.delivery.refresh()
    manifest = world.delivery.manifest("shuttle", 1, world.digest)
    world.server.behaviour.cut[world.object_path()] = [100_000, 0, 0, 0, 0]
    with pytest.raises(UnavailableError):
        world.delivery.fetch(manifest)
    world.server.behaviour.cut.clear()
    world.machine(world.folder).fetch(manifest)
    asked = [bounds for path, bounds in world.server.behaviour.asked if path == world.object_path()]
    assert asked[-1] == "bytes=100000-"


def test_a_server_that_ignores_ranges_is_followed_from_the_start(world: World) -> None:
    world.delivery.refresh()
    world.server.behaviour.cut[world.object_path()] = [100_000]
    world.server.behaviour.ignore_range = True
    world.delivery.fetch(world.delivery.manifest("shuttle", 1, world.digest))
    assert world.delivery.open_version(world.digest).onnx == ONNX


def test_a_damaged_beginning_on_this_disk_costs_one_more_download(world: World) -> None:
    world.delivery.refresh()
    manifest = world.delivery.manifest("shuttle", 1, world.digest)
    part = world.folder / "tmp" / f"{sha(ONNX)}.part"
    part.write_bytes(b"x" * 5_000)
    world.delivery.fetch(manifest)
    assert world.delivery.open_version(world.digest).onnx == ONNX


BAD_OBJECTS = [
    ("flipped", bytes([ONNX[0] ^ 1]) + ONNX[1:], "sync.digest_mismatch"),
    ("truncated", ONNX[:-1], "sync.length_mismatch"),
    ("longer", ONNX + b"x", "sync.length_mismatch"),
    ("empty", b"", "sync.length_mismatch"),
]


@pytest.mark.parametrize(("content", "code"), [case[1:] for case in BAD_OBJECTS], ids=[case[0] for case in BAD_OBJECTS])
def test_other_bytes_than_the_signed_ones_are_refused(world: World, content: bytes, code: str) -> None:
    world.delivery.refresh()
    manifest = world.delivery.manifest("shuttle", 1, world.digest)
    world.server.behaviour.replace[world.object_path()] = content
    with pytest.raises(InvalidError) as refusal:
        world.delivery.fetch(manifest)
    assert refusal.value.code == code
    with pytest.raises(NotFoundError):
        world.delivery.open_version(world.digest)


@pytest.mark.parametrize("file", ["onnx", "golden", "manifest"])
@pytest.mark.parametrize("harm", ["flip", "truncate", "empty", "remove"])
def test_a_file_damaged_on_this_disk_is_never_opened_and_is_fetched_again(world: World, file: str, harm: str) -> None:
    world.delivery.refresh()
    manifest = world.delivery.manifest("shuttle", 1, world.digest)
    world.delivery.fetch(manifest)
    name = {"onnx": sha(ONNX), "golden": sha(GOLDEN), "manifest": sha(manifest)}[file]
    path = world.delivery.store.path(name)
    content = bytearray(path.read_bytes())
    path.chmod(0o600)
    if harm == "remove":
        path.unlink()
    else:
        content[len(content) // 2] ^= 1
        path.write_bytes(bytes(content) if harm == "flip" else bytes(content[: len(content) // 2 * (harm != "empty")]))
    with pytest.raises((InvalidError, NotFoundError)) as refusal:
        world.delivery.open_version(world.digest)
    assert refusal.value.code.startswith("sync.")
    world.delivery.fetch(world.delivery.manifest("shuttle", 1, world.digest))
    assert world.delivery.open_version(world.digest).onnx == ONNX


def test_a_sweep_keeps_what_is_named_and_nothing_else(world: World) -> None:
    world.delivery.refresh()
    other = world.repository.publish_model("shuttle", 2, b"other", GOLDEN)
    world.repository.sign()
    world.delivery.refresh()
    for release, digest in ((1, world.digest), (2, other)):
        world.delivery.fetch(world.delivery.manifest("shuttle", release, digest))
    world.delivery.store.sweep([world.digest])
    assert world.delivery.open_version(world.digest).onnx == ONNX
    with pytest.raises(NotFoundError):
        world.delivery.open_version(other)


def test_delivery_imports_no_grpc_and_no_model_runtime() -> None:
    import subprocess
    import sys

    heavy = ("grpc", "onnxruntime", "fastapi")
    code = f"import sys, onecode_delivery.client; print([m for m in {heavy} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
