"""A registration that is cut off anywhere ends as exactly one version, or as none."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tuf.api.metadata import (  # type: ignore[attr-defined]  # exported without a mark
    Metadata,
    Snapshot,
    Targets,
    Timestamp,
)

from onecode_common.audit import Audit
from onecode_common.clock import SystemClock
from onecode_common.database import Database
from onecode_common.migrations import upgrade
from onecode_common.objects import DirectoryObjects
from onecode_common.outbox import Outbox
from onecode_registry.adapters.inspector import ChildInspector
from onecode_registry.adapters.mlflow_client import MlflowClient
from onecode_registry.adapters.records import SqlRecords
from onecode_registry.adapters.signing import FileSigning
from onecode_registry.adapters.tables import audit, outbox
from onecode_registry.adapters.trial import ChildTrial
from onecode_registry.convert import candidate_from_wire
from onecode_registry.domain.contract import Graph
from onecode_registry.ports import Ports
from onecode_registry.service import Service, build
from onecode_registry.usecases.admission import Admission
from onecode_registry.usecases.registration import Registration
from onecode_registry.usecases.signed import SignedMetadata
from onecode_registry.usecases.versions import Versions


class CutError(BaseException):
    """The process ends here; nothing may catch it."""


@dataclass
class Fuse:
    """Burns through at the n-th step."""

    steps_left: int = 1 << 30

    def step(self) -> None:
        self.steps_left -= 1
        if self.steps_left == 0:
            raise CutError


class Cuttable:
    """Passes every call on; the fuse is asked before and after it."""

    def __init__(self, inner: Any, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._inner, name)

        def call(*arguments: Any, **named: Any) -> Any:
            self._fuse.step()
            answer = method(*arguments, **named)
            self._fuse.step()
            return answer

        return call


class RememberingInspector:
    """Looks into a file once; what it found of the same bytes cannot change."""

    def __init__(self) -> None:
        self._inner = ChildInspector()
        self._found: dict[bytes, Graph] = {}

    def inspect(self, content: bytes, *, foreign: bool) -> Graph:
        if content not in self._found:
            self._found[content] = self._inner.inspect(content, foreign=foreign)
        return self._found[content]


INSPECTOR = RememberingInspector()


class CuttableRecords:
    """A transaction can be cut before it begins, before it commits and after it has."""

    def __init__(self, inner: SqlRecords, fuse: Fuse) -> None:
        self._inner = inner
        self._fuse = fuse

    @contextmanager
    def transaction(self) -> Iterator[Any]:
        self._fuse.step()
        with self._inner.transaction() as unit:
            yield unit
            self._fuse.step()
        self._fuse.step()


class Registry:
    """The registry's insides on one folder; opening it again is a restart."""

    def __init__(self, home: Path, fleet_key: bytes, fuse: Fuse) -> None:
        clock = SystemClock()
        is_new = not (home / "registry.db").exists()
        self.database = Database(f"sqlite:///{home / 'registry.db'}")
        if is_new:
            upgrade(self.database, "onecode_registry")
        facts = Outbox(outbox, "registry", clock)
        self.objects = DirectoryObjects(home / "objects")
        self.records = SqlRecords(self.database, facts, Audit(audit, clock, facts))
        ports = Ports(
            project="default",
            records=CuttableRecords(self.records, fuse),
            objects=Cuttable(self.objects, fuse),
            signing=Cuttable(FileSigning(home / "keys", fleet_key), fuse),
            inspector=INSPECTOR,
            trial=ChildTrial(),
            tracking=MlflowClient("http://127.0.0.1:9", lambda: "", "http://x", "default"),
            clock=clock,
        )
        self.service: Service = build(ports, home / "public", timedelta(hours=24))
        registration = Registration(ports, SignedMetadata(ports))
        self.admission = Admission(ports, registration, Versions(ports, SignedMetadata(ports)))

    def close(self) -> None:
        self.database.close()


@pytest.fixture
def home(stopped: Any) -> Path:
    folder: Path = stopped.home
    return folder


def reopen(home: Path, fuse: Fuse) -> Registry:
    return Registry(home, (home / "fleet.pub").read_bytes(), fuse)


def require_consistent(registry: Registry) -> int:
    """Check that what is signed is what is ready, and return how many versions there are."""
    with registry.records.transaction() as unit:
        versions = unit.versions.ready("default")
        assert unit.versions.unfinished() == []
        timestamp = Metadata[Timestamp].from_bytes(unit.trust.current("timestamp") or b"").signed
        snapshot_bytes = unit.trust.version("snapshot", timestamp.snapshot_meta.version) or b""
        snapshot = Metadata[Snapshot].from_bytes(snapshot_bytes).signed
        models_bytes = unit.trust.version("models", snapshot.meta["models.json"].version) or b""
        models = Metadata[Targets].from_bytes(models_bytes).signed
    signed = {target.hashes["sha256"] for target in models.targets.values()}
    assert signed == {version.digest.removeprefix("sha256:") for version in versions}
    for version in versions:
        assert registry.objects.get(version.digest.removeprefix("sha256:")) == version.manifest.encode()
    return len(versions)


def test_a_cut_at_any_step_of_a_registration_leaves_one_version_after_restart_and_retry(
    stopped: Any, home: Path
) -> None:
    """Each step of the registration is cut once; the restart finishes or undoes, the caller sends again."""
    fuse = Fuse()
    first = reopen(home, fuse)
    first.service.beginning.start()
    stored = {
        "model_sha256": first.objects.put(stopped.models.good()),
        "golden_sha256": first.objects.put(stopped.models.golden()),
    }
    first.close()
    cuts = 0
    for number in range(1, 200):
        registry = reopen(home, fuse)
        fuse.steps_left = number
        request = stopped_candidate(stopped, f"r{number}", stored)
        try:
            registry.admission.register(candidate_from_wire(request), "service:training")
            finished = True
        except CutError:
            finished = False
            cuts += 1
        fuse.steps_left = 1 << 30
        registry.close()
        restarted = reopen(home, fuse)
        restarted.service.beginning.start()
        seen = require_consistent(restarted)
        assert seen in (number - 1, number)
        answer = restarted.admission.register(candidate_from_wire(request), "service:training")
        assert (answer.version.release, require_consistent(restarted)) == (number, number)
        restarted.close()
        if finished:
            break
    assert cuts >= 15


def stopped_candidate(bench: Any, request_id: str, stored: dict[str, Any]) -> Any:
    """A request whose files are stored already."""
    from onecode.registry.v1 import registry_pb2 as pb

    return pb.RegisterVersionRequest(
        project="default", request_id=request_id, model="shuttle", contract=bench.models.contract(), **stored
    )


def test_a_cut_at_any_step_of_the_first_start_leaves_one_root(home: Path) -> None:
    roots = set()
    for number in range(1, 60):
        fuse = Fuse(number)
        registry = reopen(home, fuse)
        try:
            registry.service.beginning.start()
            finished = True
        except CutError:
            finished = False
        registry.close()
        if (home / "public" / "root.json").exists():
            roots.add((home / "public" / "root.json").read_bytes())
        if finished:
            break
    assert finished
    assert len(roots) == 1


def test_a_registration_whose_file_is_gone_is_undone_and_its_release_never_comes_again(
    stopped: Any, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fuse = Fuse()
    registry = reopen(home, fuse)
    registry.service.beginning.start()
    model, golden = registry.objects.put(stopped.models.good()), registry.objects.put(stopped.models.golden())
    request = stopped_candidate(stopped, "r1", {"model_sha256": model, "golden_sha256": golden})

    class LostError(BaseException):
        """The process ends after the row is stored."""

    def lost(*_: Any) -> Any:
        raise LostError

    with monkeypatch.context() as patched:
        patched.setattr(Registration, "_finish", lost)
        with pytest.raises(LostError):
            registry.admission.register(candidate_from_wire(request), "service:training")
    registry.objects.delete(golden)
    registry.close()
    restarted = reopen(home, fuse)
    restarted.service.beginning.start()
    assert require_consistent(restarted) == 0
    restarted.objects.put(stopped.models.golden())
    answer = restarted.admission.register(candidate_from_wire(request), "service:training")
    assert answer.version.release == 2
    restarted.close()


def test_a_sweep_takes_what_nobody_needs_and_leaves_what_a_version_needs(stopped: Any, home: Path) -> None:
    import os
    import threading

    registry = reopen(home, Fuse())
    registry.service.beginning.start()
    model, golden = registry.objects.put(stopped.models.good()), registry.objects.put(stopped.models.golden())
    request = stopped_candidate(stopped, "r1", {"model_sha256": model, "golden_sha256": golden})
    version = registry.admission.register(candidate_from_wire(request), "x").version
    old, young = registry.objects.put(b"old"), registry.objects.put(b"young")
    for name in (model, golden, old, version.digest.removeprefix("sha256:")):
        path = home / "objects" / name[:2] / name[2:]
        os.utime(path, (1_000_000, 1_000_000))
    sweep = next(loop for loop in registry.service.loops if loop.name == "sweep")
    assert sweep._turn(threading.Event()) is False
    left = {name for name, _ in registry.objects.list()}
    assert left == {model, golden, young, version.digest.removeprefix("sha256:")}
    registry.close()
