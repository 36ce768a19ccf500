"""What gateways see: signed metadata that a stock TUF client accepts, and files in parts, to whom they are meant."""

import hashlib
from collections.abc import Callable, Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
)
from tuf.api.metadata import Metadata, Targets  # type: ignore[attr-defined]  # exported without a mark
from tuf.ngclient import Updater  # type: ignore[attr-defined]
from tuf.ngclient.fetcher import FetcherInterface

from onecode.registry.v1 import registry_pb2 as pb
from onecode_common.errors import ConflictError, InvalidError, PreconditionError

PATH = "fleet/line-1/policy.json"


class Fetcher(FetcherInterface):
    """Fetches with a token, and may be told to answer with something else."""

    def __init__(self, bench: Any, token: Callable[[], str]) -> None:
        self._bench = bench
        self._token = token
        self.replaced: dict[str, bytes] = {}
        self.seen: dict[str, bytes] = {}

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = url.removeprefix(self._bench.url)
        name = path.rpartition("/")[2]
        if name in self.replaced:
            return iter([self.replaced[name]])
        answer = self._bench.request("GET", path, self._token())
        if answer.status != 200:
            raise DownloadHTTPError(path, answer.status)
        self.seen[name] = answer.data
        return iter([answer.data])


def updater(bench: Any, folder: Path, fetcher: Fetcher | None = None) -> Updater:
    root = (bench.home / "registry" / "public" / "root.json").read_bytes()
    (folder / "targets").mkdir(parents=True, exist_ok=True)
    return Updater(
        str(folder),
        f"{bench.url}/distribution/v1/metadata/",
        str(folder / "targets"),
        f"{bench.url}/distribution/v1/targets/",
        fetcher=fetcher or Fetcher(bench, bench.gateway),
        bootstrap=root,
    )


def download(client: Updater, path: str) -> bytes:
    client.refresh()
    info = client.get_targetinfo(path)
    assert info is not None, path
    return Path(client.download_target(info)).read_bytes()


def publish(bench: Any, version: int, *digests: str, segment: str = "line-1") -> bytes:
    content: bytes = bench.fleet.policy(segment, *digests, generation=version)
    request = bench.fleet.request(version, {f"fleet/{segment}/policy.json": content})
    assert bench.stub("rollout").PublishPolicy(request).generation == version
    return content


def test_a_stock_client_verifies_policy_and_manifest(bench: Any, tmp_path: Path) -> None:
    version = bench.register()
    policy = publish(bench, 1, version.digest)
    client = updater(bench, tmp_path / "client")
    assert download(client, PATH) == policy
    path = f"models/shuttle/{version.release}/manifest.json"
    assert download(updater(bench, tmp_path / "client"), path) == version.manifest.encode()
    info = client.get_targetinfo(path)
    assert info is not None
    assert info.custom == {"name": "shuttle", "release": 1, "digest": version.digest}


def test_the_keys_are_files_that_only_their_owner_reads(bench: Any) -> None:
    keys = sorted((bench.home / "registry" / "keys").iterdir())
    assert [key.stem for key in keys] == ["models", "root", "snapshot", "targets", "timestamp"]
    assert {key.stat().st_mode & 0o777 for key in keys} == {0o600}


def test_a_restart_keeps_root_and_keys(bench: Any, tmp_path: Path) -> None:
    root = (bench.home / "registry" / "public" / "root.json").read_bytes()
    bench.register()
    publish(bench, 1)
    download(updater(bench, tmp_path / "client"), PATH)
    bench.stop()
    bench.start()
    assert (bench.home / "registry" / "public" / "root.json").read_bytes() == root
    publish(bench, 2)
    download(updater(bench, tmp_path / "client"), PATH)


def test_a_missing_key_stops_the_start_instead_of_making_another(bench: Any) -> None:
    bench.stop()
    (bench.home / "registry" / "keys" / "root.key").unlink()
    bench.start()
    bench.stop()
    (bench.home / "registry" / "keys" / "timestamp.key").unlink()
    with pytest.raises(InvalidError) as caught:
        bench.start()
    assert caught.value.code == "key.missing"


def test_a_client_refuses_what_is_rolled_back_frozen_mixed_or_changed(bench: Any, tmp_path: Path) -> None:
    version = bench.register()
    publish(bench, 1, version.digest)
    early = Fetcher(bench, bench.gateway)
    download(updater(bench, tmp_path / "early", early), PATH)
    publish(bench, 2)
    late = Fetcher(bench, bench.gateway)
    download(updater(bench, tmp_path / "client", late), PATH)
    snapshot = next(name for name in late.seen if name.endswith("snapshot.json"))
    fleet = next(name for name in late.seen if name.endswith("fleet.json"))
    old_snapshot = early.seen[next(name for name in early.seen if name.endswith("snapshot.json"))]
    attacks: dict[str, Mapping[str, bytes]] = {
        "rollback of the timestamp": {"timestamp.json": early.seen["timestamp.json"]},
        "mix and match": {snapshot: old_snapshot},
        "old fleet": {fleet: early.seen[next(name for name in early.seen if name.endswith("fleet.json"))]},
        "changed bytes": {fleet: late.seen[fleet].replace(b'"sha256":"', b'"sha256":"0')},
        "endless": {"timestamp.json": b" " * (1 << 20)},
        "another key": {fleet: bench.fleet.sign(2, {}, key=Ed25519PrivateKey.generate())},
    }
    for name, replaced in attacks.items():
        folder = tmp_path / name.replace(" ", "-")
        # Each attacked client has seen the newest timestamp before, and fetches the rest anew.
        download(updater(bench, folder), PATH)
        for cached in folder.glob("*.json"):
            if cached.name not in ("root.json", "timestamp.json"):
                cached.unlink()
        attacked = Fetcher(bench, bench.gateway)
        attacked.replaced.update(replaced)
        with pytest.raises((RepositoryError, DownloadError)):
            download(updater(bench, folder, attacked), PATH)


def test_a_frozen_timestamp_is_noticed_after_a_day(bench: Any, tmp_path: Path) -> None:
    publish(bench, 1)
    frozen = updater(bench, tmp_path / "other")
    frozen._trusted_set.reference_time += timedelta(hours=24, seconds=5)
    with pytest.raises(ExpiredMetadataError):
        frozen.refresh()


def later(targets: Targets) -> None:
    targets.expires += timedelta(days=1)


def test_publishing_is_idempotent_and_only_goes_up(bench: Any) -> None:
    rollout = bench.stub("rollout")
    version = bench.register()
    policies = {PATH: bench.fleet.policy("line-1", version.digest)}
    request = bench.fleet.request(5, policies)
    assert rollout.PublishPolicy(request).generation == 5
    assert rollout.PublishPolicy(request).generation == 5
    # After a crash the same policies may be signed again, with another expiry.
    again = bench.fleet.sign(5, policies, change=later)
    resent = pb.PublishPolicyRequest(project="default", generation=5, fleet_metadata=again, policies=policies)
    assert rollout.PublishPolicy(resent).generation == 5
    for number, changed in ((5, {PATH: bench.fleet.policy("line-1")}), (4, policies), (0, policies)):
        with pytest.raises(ConflictError) as caught:
            rollout.PublishPolicy(bench.fleet.request(number or 1, changed))
        assert caught.value.code == "policy.generation"
    answer = rollout.GetDistribution(pb.GetDistributionRequest(project="default"))
    assert answer.fleet_metadata == request.fleet_metadata
    assert Metadata.from_bytes(answer.root_metadata).signed.version == 1
    # Unchanged policies need not be sent again.
    metadata = bench.fleet.sign(6, policies)
    bare = pb.PublishPolicyRequest(project="default", generation=6, fleet_metadata=metadata)
    assert rollout.PublishPolicy(bare).generation == 6


def test_a_published_version_cannot_be_deleted_until_no_policy_names_it(bench: Any) -> None:
    version = bench.register()
    publish(bench, 1, version.digest)
    request = pb.DeleteVersionRequest(project="default", digest=version.digest)
    with pytest.raises(PreconditionError) as caught:
        bench.stub("console").DeleteVersion(request)
    assert caught.value.params["segment"] == "line-1"
    publish(bench, 2)
    bench.stub("console").DeleteVersion(request)


def test_a_segment_that_left_the_fleet_names_nothing_any_more(bench: Any) -> None:
    version = bench.register()
    publish(bench, 1, version.digest)
    publish(bench, 2, segment="line-2")
    bench.stub("console").DeleteVersion(pb.DeleteVersionRequest(project="default", digest=version.digest))


def hostile_publications(bench: Any, digest: str) -> dict[str, tuple[pb.PublishPolicyRequest, str]]:
    good = bench.fleet.policy("line-1", digest)

    def request(
        policies: Mapping[str, bytes], metadata: bytes | None = None, version: int = 1
    ) -> pb.PublishPolicyRequest:
        return pb.PublishPolicyRequest(
            project="default",
            generation=version,
            fleet_metadata=bench.fleet.sign(1, policies) if metadata is None else metadata,
            policies=policies,
        )

    def expired(targets: Targets) -> None:
        targets.expires -= timedelta(days=8)

    other = Ed25519PrivateKey.generate()
    unsigned = Metadata(Metadata[Targets].from_bytes(bench.fleet.sign(1, {})).signed).to_bytes()
    root = (bench.home / "registry" / "public" / "root.json").read_bytes()
    return {
        "another key": (request({PATH: good}, bench.fleet.sign(1, {PATH: good}, key=other)), "policy.signature"),
        "unsigned": (request({}, unsigned), "policy.signature"),
        "expired": (request({PATH: good}, bench.fleet.sign(1, {PATH: good}, change=expired)), "policy.expired"),
        "no metadata": (request({PATH: good}, b"{}"), "policy.metadata"),
        "nested": (request({}, b"[" * 100_000), "policy.metadata"),
        "a root": (request({}, root), "policy.metadata"),
        "other generation": (request({PATH: good}, version=2), "policy.generation"),
        "not listed": (request({PATH: good}, bench.fleet.sign(1, {})), "policy.unlisted"),
        "other bytes": (request({PATH: good + b" "}, bench.fleet.sign(1, {PATH: good})), "policy.missing"),
        "not sent": (request({}, bench.fleet.sign(1, {PATH: good})), "policy.missing"),
        "path above": (request({"fleet/../policy.json": good}), "policy.path"),
        "a model's path": (request({"models/a/1/manifest.json": good}), "policy.path"),
        "other segment": (request({"fleet/line-2/policy.json": good}), "policy.invalid"),
        "other tenant": (request({PATH: bench.fleet.policy("line-1", tenant="x")}), "policy.invalid"),
        "not a policy": (request({PATH: b"[]"}), "policy.invalid"),
        "no digest": (request({PATH: bench.fleet.policy("line-1", "latest")}), "digest.invalid"),
        "unknown version": (
            request({PATH: bench.fleet.policy("line-1", f"sha256:{'0' * 64}")}),
            "policy.unknown_version",
        ),
    }


def test_nothing_unsigned_or_misfitting_is_published(shared: Any) -> None:
    version = shared.register()
    for name, (request, code) in hostile_publications(shared, version.digest).items():
        with pytest.raises(InvalidError) as caught:
            shared.stub("rollout").PublishPolicy(request)
        assert caught.value.code == code, name
    answer = shared.stub("rollout").GetDistribution(pb.GetDistributionRequest(project="default"))
    assert answer.fleet_metadata == b""


def test_another_fleet_key_takes_over_and_the_old_one_counts_no_more(bench: Any, tmp_path: Path) -> None:
    publish(bench, 1)
    download(updater(bench, tmp_path / "client"), PATH)
    old = bench.fleet.key
    bench.stop()
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    bench.fleet.key = Ed25519PrivateKey.generate()
    pem = bench.fleet.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (bench.home / "fleet.pub").write_bytes(pem)
    bench.start()
    policies = {PATH: bench.fleet.policy("line-1", generation=2)}
    stale = pb.PublishPolicyRequest(
        project="default", generation=2, fleet_metadata=bench.fleet.sign(2, policies, key=old), policies=policies
    )
    with pytest.raises(InvalidError):
        bench.stub("rollout").PublishPolicy(stale)
    assert download_after_rotation(bench, tmp_path) == policies[PATH]


def download_after_rotation(bench: Any, tmp_path: Path) -> bytes:
    publish(bench, 2)
    return download(updater(bench, tmp_path / "client"), PATH)


def test_a_gateway_fetches_what_its_policy_names_and_nothing_else(bench: Any) -> None:
    mine, other = bench.register("r1"), bench.register("r2", seed=1)
    publish(bench, 1, mine.digest)
    mine_hex, other_hex = (one.files[0].sha256 for one in (mine, other))
    manifest = f"/distribution/v1/targets/models/shuttle/1/{mine.digest[7:]}.manifest.json"
    foreign = f"/distribution/v1/targets/models/shuttle/2/{other.digest[7:]}.manifest.json"
    policy = hashlib.sha256(bench.fleet.policy("line-1", mine.digest)).hexdigest()
    policy_path = f"/distribution/v1/targets/fleet/line-1/{policy}.policy.json"
    cases = {
        (f"/distribution/v1/objects/{mine_hex}", "line-1"): 200,
        (f"/distribution/v1/objects/{mine.files[1].sha256}", "line-1"): 200,
        (f"/distribution/v1/objects/{other_hex}", "line-1"): 404,
        (f"/distribution/v1/objects/{mine_hex}", "line-2"): 404,
        (manifest, "line-1"): 200,
        (manifest, "line-2"): 404,
        (foreign, "line-1"): 404,
        (policy_path, "line-1"): 200,
        (policy_path, "line-2"): 404,
    }
    for (path, segment), status in cases.items():
        assert bench.request("GET", path, bench.gateway(segment)).status == status, (path, segment)
    for path in (f"/distribution/v1/objects/{other_hex}", foreign, policy_path):
        assert bench.request("GET", path, bench.caller("inference")).status == 200


def test_parts_of_a_file_add_up_to_the_file(bench: Any) -> None:
    content = bench.models.good()
    path = f"/distribution/v1/objects/{bench.put(content)}"
    size = len(content)

    def get(range_: str, **headers: str) -> Any:
        return bench.request("GET", path, bench.caller("inference"), headers={"Range": range_, **headers})

    whole = bench.request("GET", path, bench.caller("inference"))
    etag = whole.headers["ETag"]
    assert (whole.status, whole.data, etag) == (200, content, f'"{hashlib.sha256(content).hexdigest()}"')
    cases: list[tuple[Any, int, bytes]] = [
        (get("bytes=0-9"), 206, content[:10]),
        (get("bytes=10-"), 206, content[10:]),
        (get("bytes=-7"), 206, content[-7:]),
        (get(f"bytes=5-{size * 2}"), 206, content[5:]),
        (get("bytes=0-1,4-5"), 200, content),
        (get("bytes=9-5"), 200, content),
        (get("lines=1-2"), 200, content),
        (get("bytes=4-", **{"If-Range": '"other"'}), 200, content),
        (get("bytes=4-", **{"If-Range": etag}), 206, content[4:]),
    ]
    for number, (answer, status, data) in enumerate(cases):
        assert (answer.status, answer.data) == (status, data), number
    assert cases[0][0].headers["Content-Range"] == f"bytes 0-9/{size}"
    beyond = get(f"bytes={size}-")
    assert (beyond.status, beyond.headers["Content-Range"]) == (416, f"bytes */{size}")
    head = bench.request("HEAD", path, bench.caller("inference"))
    assert (head.status, head.headers["Content-Length"], head.data) == (200, str(size), b"")
    known = bench.request("GET", path, bench.caller("inference"), headers={"If-None-Match": etag})
    assert (known.status, known.data) == (304, b"")
    assert b"".join(get(f"bytes={at}-{at + 99}").data for at in range(0, size, 100)) == content


def test_an_object_is_stored_under_its_own_digest_only(bench: Any) -> None:
    content = b"x" * 100_000
    digits = hashlib.sha256(content).hexdigest()
    token = bench.caller("console")
    assert bench.request("PUT", f"/internal/v1/objects/{digits}", token, body=content).status == 201
    assert bench.request("PUT", f"/internal/v1/objects/{digits}", token, body=content).status == 200
    for path, body, status, code in [
        (digits, b"other", 422, "object.digest_mismatch"),
        ("0" * 64, content, 422, "object.digest_mismatch"),
        ("..%2f..%2fx", content, 404, "http.404"),
        ("xyz", content, 422, "digest.invalid"),
        (digits.upper(), content, 422, "digest.invalid"),
    ]:
        answer = bench.request("PUT", f"/internal/v1/objects/{path}", token, body=body)
        assert (answer.status, answer.json()["code"]) == (status, code), path
    huge = {"Content-Length": str(1 << 40)}
    answer = bench.request("PUT", f"/internal/v1/objects/{digits}", token, headers=huge, body=b"")
    assert (answer.status, answer.json()["code"]) == (413, "object.too_large")
    assert list((bench.home / "registry" / "incoming").iterdir()) == []


ROUTES = [
    ("GET", f"/internal/v1/objects/{'0' * 64}", {"training", "console"}, False),
    ("PUT", f"/internal/v1/objects/{'0' * 64}", {"training", "console"}, False),
    ("GET", "/distribution/v1/metadata/timestamp.json", {"inference"}, True),
    ("GET", "/distribution/v1/metadata/1.root.json", {"inference"}, True),
    ("GET", "/distribution/v1/targets/models/a/1/x.manifest.json", {"inference"}, True),
    ("GET", f"/distribution/v1/objects/{'0' * 64}", {"inference"}, True),
    ("HEAD", f"/distribution/v1/objects/{'0' * 64}", {"inference"}, True),
]


@pytest.mark.parametrize(("method", "path", "services", "gateways"), ROUTES)
def test_no_route_answers_without_the_right_token(
    shared: Any, method: str, path: str, services: set[str], gateways: bool
) -> None:
    assert shared.request(method, path).status == 401
    assert shared.request(method, path, "x.y.z").status == 401
    assert shared.request(method, path, "x" * 10_000).status == 401
    assert shared.request(method, f"{path}?access_token={shared.caller('console')}").status == 401
    for service in ("ingestion", "training", "rollout", "inference", "console", "standalone"):
        status = shared.request(method, path, shared.caller(service)).status
        assert (status not in (401, 403)) == (service in services), service
    for token in (
        shared.issuer("inference").caller("training"),
        shared.issuer("inference").mint("onecode-caller+jwt", "x", "onecode:registry"),
    ):
        assert shared.request(method, path, token).status in (401, 403)
    assert (shared.request(method, path, shared.gateway()).status not in (401, 403)) == gateways
    for token in (shared.gateway(issuer="console"), shared.gateway(tenant="other"), shared.gateway(segment="")):
        assert shared.request(method, path, token).status in (401, 403)


def test_every_route_is_in_that_table(shared: Any) -> None:
    from fastapi.routing import APIRoute

    routes = [route for route in shared.part("http")._server.config.app.routes if isinstance(route, APIRoute)]
    known = (
        "/internal/v1/objects",
        "/internal/v1/objects",
        "/distribution/v1/metadata",
        "/distribution/v1/targets",
        "/distribution/v1/objects",
    )
    assert sorted(route.path.rpartition("/")[0] for route in routes) == sorted(known)


@pytest.mark.parametrize(
    "name",
    ["2.root.json", "0.root.json", "99999999999.root.json", "root.json", "1.timestamp.json", "x", "1.FLEET.json"],
)
def test_metadata_that_does_not_exist_is_not_found(shared: Any, name: str) -> None:
    answer = shared.request("GET", f"/distribution/v1/metadata/{name}", shared.gateway())
    assert (answer.status, answer.json()["code"]) == (404, "object.missing")
