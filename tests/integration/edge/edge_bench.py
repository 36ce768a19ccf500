"""A gateway's state machine on a real disk, with processes and downloads that only pretend: milliseconds each."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from signed_repository import arm, model, policy, sha

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.canonical import canonical
from onecode_delivery.policy import Policy, parse_policy
from onecode_delivery.store import ModelStore
from onecode_edge.adapters.database import Database
from onecode_edge.adapters.journal import Journal
from onecode_edge.adapters.outbox import Outbox
from onecode_edge.adapters.processes import Death, ServeProcess
from onecode_edge.adapters.sets import Sets
from onecode_edge.conductor import Conductor
from onecode_edge.domain import transition as states
from onecode_edge.domain.modelset import ModelSet
from onecode_edge.domain.observed import Observed
from onecode_edge.layout import Layout
from onecode_edge.seal import read_seal
from onecode_edge.situation import Situation

GATEWAY = "gw-1"


class HandClock:
    """A clock that is moved by hand."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def now(self) -> datetime:
        return datetime(2026, 11, 21, tzinfo=UTC) + timedelta(seconds=self.seconds)

    def monotonic(self) -> float:
        return self.seconds


def ended(process: ServeProcess, cause: str, totals: Mapping[str, Observed]) -> Death:
    """Return the death of a process that nobody asked to end."""
    return Death(process.name, process.set_id, expected=False, cause=cause, detail="killed", totals=totals)


class PretendedProcesses:
    """Serving processes that load what the seal on disk says, and do what the test tells them to."""

    def __init__(self, layout: Layout, clock: HandClock) -> None:
        self.gateway = GATEWAY
        self._layout = layout
        self._clock = clock
        self.running: dict[str, ServeProcess] = {}
        self.deaths: list[Death] = []
        self.started: list[str] = []
        self.fail: dict[str, str] = {}
        self.behave: dict[str, Observed] = {}
        self.wrong: set[str] = set()
        self.models: dict[str, ModelSet] = {}

    def all(self) -> list[ServeProcess]:
        return list(self.running.values())

    def of(self, set_id: str) -> ServeProcess | None:
        return next((one for one in self.running.values() if one.set_id == set_id and not one.leaving), None)

    def begin(self, set_id: str) -> None:
        name = f"serve-{len(self.started)}"
        self.started.append(set_id)
        self.running[name] = ServeProcess(name, set_id, self._clock.monotonic())

    def leave(self, keep: str) -> None:
        self.running = {name: one for name, one in self.running.items() if name == keep}

    def poll(self) -> list[Death]:
        for name, process in list(self.running.items()):
            models = read_seal(self._layout, process.set_id).models
            bad = next((digest for digest in models.digests if digest in self.fail), None)
            if bad is not None:
                del self.running[name]
                self.deaths.append(ended(process, self.fail[bad], {}))
                continue
            if process.phase == "loading":
                self.models[name] = models
            process.phase = "serving"
            process.serving = {entry.name: entry.stable.digest for entry in self.models[name].entries}
            process.totals = {digest: self.behave.get(digest, Observed()) for digest in models.digests}
        found, self.deaths = self.deaths, []
        return found

    def die(self, cause: str = "") -> None:
        """End every process without being asked."""
        for process in self.running.values():
            self.deaths.append(ended(process, cause, process.totals))
        self.running = {}

    def route(self, process: ServeProcess, models: ModelSet, interval_s: int) -> None:
        self.models[process.name] = models
        process.routed = (models, interval_s)

    def prove(self, process: ServeProcess) -> tuple[str, dict[str, str]]:
        digests = self.models[process.name].digests
        wrong = "; ".join(sorted(digests & self.wrong))
        return wrong, {digest: "" if digest in self.wrong else digest for digest in digests}

    def collect(self) -> None:
        return


class Bench:
    """One gateway; :meth:`restart` forgets everything that is not on its disk."""

    def __init__(self, folder: Path) -> None:
        self.layout = Layout(folder)
        self.clock = HandClock()
        self.generation = 0
        self.policy: Policy | None = None
        self.refuse: dict[str, str] = {}
        self.offline = False
        self.database: Database | None = None
        self.one = self.version(1)
        self.two = self.version(2)
        self.three = self.version(3)
        self.restart()

    def version(self, release: int, name: str = "shuttle") -> str:
        """Put a version on the disk and return its digest."""
        self.layout.make()
        store = ModelStore(self.layout.root)
        files = {"model.onnx": f"model {name} {release}".encode(), "golden.jsonl": b"golden"}
        listed = [{"name": key, "sha256": sha(value), "length": len(value)} for key, value in files.items()]
        manifest = canonical({"model": name, "release": release, "files": listed})
        for content in (*files.values(), manifest):
            store.add(sha(content), content)
        return f"sha256:{sha(manifest)}"

    def restart(self, *, alive: bool = False) -> None:
        """Start again from the disk; ``alive``: the serving processes outlived the side that decides."""
        if self.database is not None:
            self.database.close()
        before = self.processes if alive else None
        self.database = Database(self.layout.database, self.layout.root / "sequence")
        self.outbox = Outbox(self.database, GATEWAY, "boot")
        self.journal = Journal(self.database, self.outbox, self.clock)
        self.store = ModelStore(self.layout.root)
        self.store.empty_tmp()
        self.sets = Sets(self.layout, self.store)
        self.processes = before or PretendedProcesses(self.layout, self.clock)
        history: Callable[[frozenset[str], float], Observed] = self.outbox.observed
        processes: Any = self.processes
        self.situation = Situation(self.sets, self.journal, processes, history, self.clock, GATEWAY)
        self.conductor = Conductor(self.situation)
        self.conductor.recover()
        if self.policy is not None:
            self.conductor.offer(self.policy)

    def publish(self, *models: Mapping[str, Any], **changes: Any) -> None:
        self.generation += 1
        document = {**policy(self.generation, *map(dict, models)), **changes}
        self.policy = parse_policy(json.dumps(document).encode(), "default", "line-1")
        self.conductor.offer(self.policy)

    def all_to(self, release: int, digest: str, **changes: Any) -> None:
        revision = changes.pop("revision", self.generation + 1)
        self.publish(model("shuttle", revision, arm(0, 10_000, release, digest), **changes))

    def split(self, share: int, candidate: str, release: int = 2, **changes: Any) -> None:
        revision = changes.pop("revision", self.generation + 1)
        arms = arm(0, share, release, candidate, "candidate"), arm(share, 10_000, 1, self.one)
        self.publish(model("shuttle", revision, *arms, **changes))

    def turn(self, seconds: float = 0.5) -> None:
        """Do what all threads of the agent would do once."""
        self.clock.seconds += seconds
        self.conductor.tick()
        work = self.conductor.work()
        if work is None or (work.state == states.DOWNLOADING and (self.offline or self.sets.damaged(work.target))):
            return
        if work.state == states.DOWNLOADING:
            self.conductor.prepared(work, states.VERIFIED)
        elif work.digest in self.refuse:
            self.conductor.prepared(work, states.REJECTED, cause=self.refuse[work.digest], bad=work.digest)
        else:
            self.conductor.prepared(work, states.STAGED)

    def run(self, turns: int = 12) -> None:
        for _ in range(turns):
            self.turn()

    def committed(self) -> None:
        """Run until nothing is under way."""
        for _ in range(200):
            self.turn()
            if self.situation.transition is None:
                return
        message = "the change never ends"
        raise AssertionError(message)

    def served(self) -> dict[str, dict[str, int]]:
        """Return buckets by digest by model, as the process that answers has them."""
        process = self.situation.serving()
        if process is None:
            return {}
        entries = self.processes.models[process.name].entries
        return {
            entry.name: {one.digest: one.end - one.start for one in entry.arms if one.end > one.start}
            for entry in entries
        }

    def actions(self) -> list[pb.Action]:
        """Return every action report that was ever written, in order."""
        assert self.database is not None
        with self.database.transaction() as connection:
            rows = connection.execute("SELECT body FROM outbox WHERE kind='action' ORDER BY sequence").fetchall()
        return [pb.Action.FromString(row[0]) for row in rows]

    def states(self, digest: str) -> list[str]:
        return [action.state for action in self.actions() if action.digest == digest]
