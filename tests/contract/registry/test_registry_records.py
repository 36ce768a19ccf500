"""The registry keeps the same promises on SQLite and PostgreSQL, on a folder and on S3."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onecode_common.audit import Audit
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.errors import ConflictError, NotFoundError
from onecode_common.migrations import upgrade
from onecode_common.objects import Objects, open_objects
from onecode_common.outbox import Outbox
from onecode_registry.adapters.inspector import ChildInspector
from onecode_registry.adapters.mlflow_client import MlflowClient
from onecode_registry.adapters.records import SqlRecords
from onecode_registry.adapters.signing import FileSigning
from onecode_registry.adapters.tables import audit, outbox
from onecode_registry.adapters.trial import ChildTrial
from onecode_registry.domain.contract import Contract, Tensor
from onecode_registry.domain.run import Point, Run
from onecode_registry.domain.version import DELETED, READY, Alias, Draft, File, make_version
from onecode_registry.ports import Ports
from onecode_registry.reconcile import Housekeeping
from onecode_registry.usecases.aliases import Aliases
from onecode_registry.usecases.registration import Registration
from onecode_registry.usecases.signed import SignedMetadata
from onecode_registry.usecases.versions import Versions

NOW = datetime(2026, 1, 1, 12, 0, 0, 5, tzinfo=UTC)
MODEL, GOLDEN = b"model", b"golden"


@pytest.fixture
def open_database(record_url: str) -> Iterator[Callable[[], Database]]:
    """Open the test's database, migrated; a second call is a second process."""
    opened: list[Database] = []

    def make() -> Database:
        database = Database(record_url)
        opened.append(database)
        upgrade(database, "onecode_registry")
        return database

    yield make
    for database in opened:
        database.close()


def ports_on(database: Database, objects: Objects, home: Path) -> Ports:
    clock = SystemClock()
    facts = Outbox(outbox, "registry", clock)
    key = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return Ports(
        project="default",
        records=SqlRecords(database, facts, Audit(audit, clock, facts)),
        objects=objects,
        signing=FileSigning(home / "keys", pem),
        inspector=ChildInspector(),
        trial=ChildTrial(),
        tracking=MlflowClient("http://127.0.0.1:9", lambda: "", "http://x", "default"),
        clock=clock,
    )


@pytest.fixture
def ports(open_database: Callable[[], Database], tmp_path: Path) -> Ports:
    return ports_on(open_database(), open_objects(f"file://{tmp_path / 'objects'}"), tmp_path)


def draft(objects: Objects, request_id: str) -> Draft:
    files = (File("model.onnx", objects.put(MODEL), 5), File("golden.jsonl", objects.put(GOLDEN), 6))
    contract = Contract((Tensor("features", "FP32", (-1, 3)),), (Tensor("label", "INT64", (-1,)),))
    return Draft("default", request_id, "b", "shuttle", files, contract, {"rows": 64}, {}, {}, {}, {}, "")


def begun(ports: Ports) -> Registration:
    signed = SignedMetadata(ports)
    signed.begin()
    return Registration(ports, signed)


def test_what_is_stored_is_what_is_found(ports: Ports) -> None:
    registration = begun(ports)
    version = registration.store(draft(ports.objects, "r1"), "register", "alice")
    with ports.records.transaction() as unit:
        assert unit.versions.by_digest(version.digest) == version
        assert unit.versions.by_request("default", "r1") == version
        assert unit.versions.by_release("default", "shuttle", 1) == version
        assert unit.versions.ready("default") == [version]
        assert unit.versions.unmirrored(10) == [version]
        unit.versions.set_mirrored(version.digest, "7")
        assert unit.versions.unmirrored(10) == []
        unit.versions.set_state(version.digest, DELETED)
        assert [one.mlflow_version for one in unit.versions.unmirrored(10)] == ["7"]
        assert unit.versions.referenced() == set()
        assert unit.versions.next_release("default", "shuttle") == 2


def test_two_cannot_take_one_request_or_one_release(ports: Ports) -> None:
    version = make_version(draft(ports.objects, "r1"), 1, "register", "alice", NOW)
    with ports.records.transaction() as unit:
        unit.versions.add(version)
    twins = (
        replace(version, digest=f"sha256:{'1' * 64}"),
        replace(version, digest=f"sha256:{'2' * 64}", request_id="r2"),
    )
    for twin in twins:
        with pytest.raises(ConflictError), ports.records.transaction() as unit:
            unit.versions.add(twin)
    with ports.records.transaction() as unit:
        assert unit.versions.unfinished() == [version]
        unit.versions.remove(version.digest)
        assert unit.versions.unfinished() == []


def test_many_who_register_at_once_get_each_their_own_release_and_one_signed_list(
    open_database: Callable[[], Database], tmp_path: Path
) -> None:
    """Two processes on PostgreSQL, two threads of one on SQLite, where a file has one writer."""
    first = open_database()
    databases = [first, first if first.is_sqlite else open_database()]
    objects = open_objects(f"file://{tmp_path / 'objects'}")
    begun(ports_on(first, objects, tmp_path))
    errors: list[BaseException] = []

    def work(number: int, database: Database) -> None:
        ports = ports_on(database, objects, tmp_path)
        registration = Registration(ports, SignedMetadata(ports))
        try:
            for turn in range(5):
                registration.store(draft(objects, f"r{number}-{turn}"), "register", f"t{number}")
                registration.store(draft(objects, f"shared-{turn}"), "register", "x")
        except BaseException as error:
            errors.append(error)
            raise

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(databases)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    ports = ports_on(first, objects, tmp_path)
    with ports.records.transaction() as unit:
        found = unit.versions.ready("default", "shuttle")
        models = unit.trust.current("models") or b""
    assert sorted(one.release for one in found) == list(range(1, 16))
    assert all(one.digest.removeprefix("sha256:").encode() in models for one in found)
    assert ports.signing.version(models) == 16


def test_an_alias_has_one_winner(ports: Ports) -> None:
    registration = begun(ports)
    found = [registration.store(draft(ports.objects, f"r{number}"), "register", "x") for number in range(2)]
    aliases = Aliases(ports, Versions(ports, SignedMetadata(ports)))
    aliases.set(Alias("default", "shuttle", "champion", found[0].digest), "", "alice")
    with pytest.raises(ConflictError) as caught:
        aliases.set(Alias("default", "shuttle", "champion", found[1].digest), "", "bob")
    assert caught.value.params["current"] == found[0].digest
    with ports.records.transaction() as unit:
        [alias] = unit.aliases.unmirrored(10)
        unit.aliases.set_mirrored(replace(alias, digest=found[1].digest))
        assert unit.aliases.unmirrored(10) == [alias]
        unit.aliases.set_mirrored(alias)
        assert unit.aliases.unmirrored(10) == []
        assert unit.aliases.all("default") == [alias]


def test_a_segment_may_fetch_what_its_policy_names(ports: Ports) -> None:
    version = begun(ports).store(draft(ports.objects, "r1"), "register", "x")
    own = [version.digest.removeprefix("sha256:"), *(file.hex_digest for file in version.files())]
    with ports.records.transaction() as unit:
        unit.trust.put_policy("fleet/s/policy.json", "0" * 64, b"{}", NOW)
        unit.trust.serve({"fleet/s/policy.json": "0" * 64}, {"s": frozenset({version.digest})})
        assert [unit.trust.may_fetch("s", one) for one in own] == [True] * 3
        assert not unit.trust.may_fetch("t", own[0])
        assert not unit.trust.may_fetch("s", "0" * 64)
        assert unit.trust.named_by(version.digest) == ["s"]
        unit.trust.prune(NOW + timedelta(days=2))
        assert unit.trust.policy("fleet/s/policy.json", "0" * 64) == b"{}"
        unit.trust.serve({}, {"s": frozenset()})
        unit.trust.prune(NOW + timedelta(days=2))
        assert unit.trust.policy("fleet/s/policy.json", "0" * 64) is None
        assert unit.trust.named_by(version.digest) == []


def test_a_run_waits_with_its_points_until_it_is_mirrored(ports: Ports) -> None:
    run = Run("default", "r", "running", NOW, NOW, 1, 1, parameters={"a": "1"}, tags={"t": "界"})
    curve = [Point("loss", value, step, NOW) for step, value in enumerate((0.1, float("nan"), float("inf"), 1e300))]
    with ports.records.transaction() as unit:
        unit.runs.put(run)
        unit.runs.add_points("default", "r", curve)
        assert unit.runs.unmirrored(10) == [run]
        numbered = unit.runs.points("default", "r", 3)
        assert repr([point for _, point in numbered]) == repr(curve[:3])
        unit.runs.set_mirrored("default", "r", 1, 1, "m")
        assert [one.mlflow_run for one in unit.runs.unmirrored(10)] == ["m"]
        unit.runs.drop_points(number for number, _ in unit.runs.points("default", "r", 10))
        assert unit.runs.unmirrored(10) == []
        unit.runs.put(replace(run, revision=2, state="failed"))
        assert [(one.state, one.mlflow_run, one.parameters_sent) for one in unit.runs.unmirrored(10)] == [
            ("failed", "m", 1)
        ]


def test_a_failed_transaction_leaves_nothing(ports: Ports) -> None:
    class StopError(Exception):
        """Ends the transaction."""

    version = make_version(draft(ports.objects, "r1"), 1, "register", "alice", NOW)

    def fail() -> None:
        with ports.records.transaction() as unit:
            unit.turn()
            unit.versions.add(version)
            unit.audit("alice", "x", "y", "z")
            unit.tell_ready(version)
            raise StopError

    with pytest.raises(StopError):
        fail()
    with ports.records.transaction() as unit:
        assert unit.versions.by_digest(version.digest) is None


@pytest.mark.parametrize("kind", ["directory", "s3"])
def test_registration_and_sweep_on_each_object_store(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    url = request.getfixturevalue("s3_url") if kind == "s3" else f"file://{tmp_path / 'objects'}"
    database = Database(f"sqlite:///{tmp_path / 'records.db'}")
    upgrade(database, "onecode_registry")
    ports = ports_on(database, open_objects(url), tmp_path)
    registration = begun(ports)
    with pytest.raises(NotFoundError):
        registration.store(
            replace(draft(ports.objects, "r0"), files=(File("model.onnx", "0" * 64, 1),)), "register", "x"
        )
    version = registration.store(draft(ports.objects, "r1"), "register", "x")
    assert version.state == READY
    assert version.release == 1
    unused = ports.objects.put(b"nobody needs this")

    def sweep(after: timedelta) -> set[str]:
        house = Housekeeping(ports, SignedMetadata(ports), registration, after)
        house.sweep(threading.Event())
        return {name for name, _ in ports.objects.list()}

    needed = {version.digest.removeprefix("sha256:"), *(file.hex_digest for file in version.files())}
    assert sweep(timedelta(hours=24)) == {*needed, unused}
    # An hour in the future everything is old; what a version needs stays.
    assert sweep(timedelta(hours=-1)) == needed
    assert ports.objects.get(version.digest.removeprefix("sha256:")) == version.manifest.encode()
    database.close()
