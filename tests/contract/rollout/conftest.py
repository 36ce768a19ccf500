"""The use cases on a real database with a clock that tests move; registry and bus are recorded, not reached."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onecode_common.database import Database
from onecode_common.errors import ConflictError, NotFoundError, UnavailableError
from onecode_common.migrations import upgrade
from onecode_rollout.adapters.records import SqlRecords
from onecode_rollout.adapters.signatures import TufFleetSigner, record_signer
from onecode_rollout.domain.compatibility import Tensor, Version
from onecode_rollout.domain.plan import Plan, Preset, Step
from onecode_rollout.domain.reports import ActionReport, CounterReport, Report, StatusReport
from onecode_rollout.ports import Ports
from onecode_rollout.service import build

UNSET = Preset("", 0, 0, 0, 0, 0, 0, 0, 0, 0.0, 0.0, 0.0, 0.0, 0.0)


def digest(number: int) -> str:
    """Return the digest of a version."""
    return f"sha256:{number:064x}"


class MovedClock:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.seconds = 1_800_000_000.0

    def now(self) -> datetime:
        return datetime.fromtimestamp(self.seconds, UTC)

    def monotonic(self) -> float:
        return self.seconds


class RecordedRegistry:
    """Knows versions 1 to 9; remembers what was asked of it."""

    def __init__(self) -> None:
        self.metadata, self.champion, self.down, self.version_served = b"", "", False, 0
        self.policies: dict[str, tuple[int, bytes]] = {}
        self.datatypes = dict.fromkeys(range(1, 10), "FP32")

    def version(self, wanted: str) -> Version:
        for number, datatype in self.datatypes.items():
            if digest(number) == wanted:
                return Version("shuttle", number, wanted, (Tensor("features", datatype, (-1, 9)),))
        raise NotFoundError(f"no version {wanted}", code="version.unknown")

    def release(self, model: str, number: int) -> Version:
        if self.down:
            raise UnavailableError("down")
        if model != "shuttle":
            raise NotFoundError(f"no model {model}", code="model.unknown")
        return self.version(digest(number))

    def publish(self, version: int, metadata: bytes, policies: dict[str, bytes]) -> None:
        if self.down:
            raise UnavailableError("down")
        if version < self.version_served:
            raise ConflictError("an older version", code="policy.older")
        self.metadata, self.version_served = metadata, version
        self.policies.update({path: (version, content) for path, content in policies.items()})

    def published(self) -> bytes:
        return self.metadata

    def root(self) -> bytes:
        return b"{}"

    def move_champion(self, _model: str, wanted: str) -> None:
        self.champion = wanted


class RecordedHints:
    """Remembers wake-ups and acknowledgements."""

    def __init__(self) -> None:
        self.woken: list[tuple[str, int]] = []
        self.acknowledged: list[tuple[str, list[int]]] = []

    def wake(self, segment: str, generation: int) -> None:
        self.woken.append((segment, generation))

    def acknowledge(self, source: str, sequences: list[int]) -> None:
        self.acknowledged.append((source, list(sequences)))


class NoTokens:
    """Admits every signature: tokens are another test's affair."""

    def check_signature(self, *_: object) -> None:
        return


class World:
    """A service, its clock and its surroundings."""

    def __init__(self, url: str) -> None:
        self.url, self.clock, self.registry, self.hints = url, MovedClock(), RecordedRegistry(), RecordedHints()
        self.signer = TufFleetSigner(Ed25519PrivateKey.generate())
        self.random = iter(range(1 << 30))
        self.sequence = 0
        self.database: Database | None = None
        self.restart()
        self.service.fleet.ensure_cloud()

    def restart(self) -> None:
        """Start again from the rows, as after a kill."""
        if self.database is not None:
            self.database.close()
        self.database = Database(self.url)
        upgrade(self.database, "onecode_rollout")
        self.records = SqlRecords(self.database, self.clock, "default")
        self.ports = Ports(
            records=self.records,
            registry=self.registry,  # type: ignore[arg-type]
            fleet_signer=self.signer,
            sign_record=record_signer(Ed25519PrivateKey.generate()),
            hints=self.hints,  # type: ignore[arg-type]
            tokens=NoTokens(),  # type: ignore[arg-type]
            clock=self.clock,
            random_bytes=lambda size: next(self.random).to_bytes(size, "big"),
        )
        self.service = build(self.ports, "default", 1.0)

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, then let the controller decide until nothing is left to decide, and publish."""
        self.clock.seconds += seconds
        while self.service.controller.step_all():
            pass
        self.service.publisher._turn(_Running())  # type: ignore[arg-type]

    def create(self, rollout_id: str, number: int, *shares: int, by: str = "u_anna", **changes: Any) -> Any:
        asked = Plan(
            "shuttle", digest(number), changes.pop("segments", ("cloud",)), metrics=changes.pop("metrics", ()),
            steps=changes.pop("steps", None) or tuple(Step(share) for share in shares), **changes,
        )  # fmt: skip
        return self.service.rollouts.create(rollout_id, asked, UNSET, by)

    def state(self, rollout_id: str) -> tuple[str, str]:
        found = self.service.rollouts.get(rollout_id).rollout
        return found.state, found.reason

    def tell(self, source: str = "cloud", **body: Any) -> None:
        """Send one report of a source."""
        self.sequence += 1
        report = Report("boot", body.pop("sequence", self.sequence), int(self.clock.seconds), **body)
        self.service.telemetry.acknowledge(self.service.telemetry.take({source: [report]}))

    def installed(self, number: int, source: str = "cloud", state: str = "committed") -> None:
        """Report that the version named by the policy is installed and answers."""
        policy, rollout = self.policy(), self.newest()
        revision = policy.entries["shuttle"].revision if "shuttle" in policy.entries else 0
        action = ActionReport("shuttle", rollout, revision, digest(number), state, "", digest(number), "", "golden")
        self.tell(source, action=action)
        self.tell(source, status=StatusReport(policy.generation, {"shuttle": digest(number)}))

    def counted(self, number: int, requests: int, errors: int = 0, source: str = "cloud", ago: int = 0) -> None:
        """Report the totals of a minute."""
        start = (int(self.clock.seconds) - ago) // 60 * 60
        counter = CounterReport("shuttle", self.newest(), 1, digest(number), "", start, 60, requests, errors, 0, 0)
        self.tell(source, counters=(counter,))

    def newest(self) -> str:
        return str(self.service.rollouts.list("", 1, "")[0][0].rollout.rollout_id)

    def policy(self, segment: str = "cloud") -> Any:
        with self.records.transaction() as rows:
            return rows.policies.policy(segment)

    def release(self, number: int = 1) -> None:
        """Bring a first version to the cloud."""
        self.create(f"r-first-{number}", number, 10_000)
        self.turn()
        self.installed(number)
        self.turn()
        assert self.state(f"r-first-{number}")[0] == "succeeded"


class _Running:
    def is_set(self) -> bool:
        return False

    def wait(self, _seconds: float) -> bool:
        return False


@pytest.fixture
def world(record_url: str) -> Iterator[World]:
    """A world on each kind of database."""
    found = World(record_url)
    yield found
    assert found.database is not None
    found.database.close()


@pytest.fixture
def version() -> Callable[[int], str]:
    """Return the digest of a version by number."""
    return digest
