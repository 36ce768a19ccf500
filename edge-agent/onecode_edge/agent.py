"""Put the side of the agent that decides together: conductor, preparer, cloud, reports, control socket."""

import logging
import os
import threading
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any
from uuid import uuid4

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.bus import Bus
from onecode_common.clock import SystemClock
from onecode_common.errors import OnecodeError
from onecode_common.loops import Loop
from onecode_delivery.client import Delivery
from onecode_delivery.store import ModelStore
from onecode_edge.adapters.database import Database
from onecode_edge.adapters.identity import Enrolment, Identity, IdentityStore
from onecode_edge.adapters.journal import Journal
from onecode_edge.adapters.orders import Orders
from onecode_edge.adapters.outbox import Outbox
from onecode_edge.adapters.processes import Processes
from onecode_edge.adapters.server import Credential, Server, ServerClock
from onecode_edge.adapters.sets import Sets
from onecode_edge.cloud import Enroller, PolicyLoop
from onecode_edge.conductor import Conductor
from onecode_edge.layout import Layout
from onecode_edge.preparing import Preparer
from onecode_edge.reporting import Reporter, Subjects
from onecode_edge.settings import EdgeSettings
from onecode_edge.situation import Situation
from onecode_serving.trial import TrialReport, try_model

_log = logging.getLogger(__name__)
_TICK_S = 0.1
_REPORT_TURN_S = 0.25
_KNOWN_S = 3.0
_STALE_POLLS = 3


class Agent:
    """Everything of one gateway but the processes that answer.

    Args:
        orders: Descriptor of the line to the supervisor.
        gateway: Id by which routes by gateway are decided until the identity says another: empty before enrolment.

    Attributes:
        metrics: Of the processes that answer.
    """

    name = "agent"

    def __init__(self, settings: EdgeSettings, orders: int) -> None:
        self._settings = settings
        self._layout = Layout(settings.home_dir)
        self.clock = ServerClock(SystemClock())
        self._identities = IdentityStore(self._layout.identity)
        self._server = Server(settings.server_url, self.clock)
        self._enroller = Enroller(self._server, self._identities, settings.enrol_token_file, settings.root_sha256)
        self.identity = self._identities.load(settings.root_sha256)
        gateway = self.identity.enrolment.gateway_id if self.identity else ""
        self._store = ModelStore(self._layout.root)
        self._store.empty_tmp()
        self._database = Database(self._layout.database, self._layout.root / "sequence")
        self.outbox = Outbox(self._database, gateway, uuid4().hex)
        self.journal = Journal(self._database, self.outbox, self.clock)
        self._orders = Orders(orders, self._heard)
        self._processes = Processes(self._layout, self._orders, self.clock, self.outbox.add_counters, gateway)
        self.metrics = self._processes.metrics
        self._situation = Situation(
            Sets(self._layout, self._store), self.journal, self._processes, self.outbox.observed, self.clock, gateway
        )
        self.conductor = Conductor(self._situation)
        self._preparer = Preparer(self.conductor, self.journal, self._store, _trial, self.clock, self._forget_token)
        self.policy_loop: PolicyLoop | None = None
        self._credential: Credential | None = None
        self._bus: Bus | None = None
        self._stopping = threading.Event()
        self._loops = [
            Loop("conduct", self._conduct, idle_s=_TICK_S),
            Loop("prepare", self._preparer.turn, idle_s=_TICK_S),
        ]
        self._joining = threading.Thread(target=self._join, name="join", daemon=True)

    def start(self) -> None:
        """Serve what the disk says, then look for the cloud."""
        self._orders.start()
        self._processes.known.wait(_KNOWN_S)
        self.conductor.recover()
        for loop in self._loops:
            loop.start()
        self._joining.start()

    def stop(self) -> None:
        """End the loops; the serving processes live on."""
        self._stopping.set()
        for loop in reversed(self._loops):
            loop.stop()
        self.conductor.collect()
        if self._bus is not None:
            self._bus.stop()
        self._server.close()
        self._database.close()

    def ready(self) -> str | None:
        """Return why the gateway does not serve what it should, or None."""
        return self.conductor.unready()

    def describe(self) -> dict[str, object]:
        """Return the whole state for people."""
        loop = self.policy_loop
        mine = self.identity.enrolment if self.identity else None
        return {
            "gateway": mine.gateway_id if mine else "",
            "segment": mine.segment if mine else "",
            "enrolled": mine is not None,
            "ready": self.ready(),
            "problem": loop.problem if loop else self._enroller.problem,
            "stale": self._stale(),
            "bus": self._bus.connected if self._bus else None,
            "outbox": self.outbox.waiting(),
            "records": self._database.renewed,
            **self.conductor.describe(),
        }

    def sync(self) -> None:
        """Look for a newer policy now."""
        if self.policy_loop is not None:
            self.policy_loop.look()

    def _heard(self, fact: Mapping[str, Any]) -> None:
        self._processes.heard(fact)

    def _conduct(self, _stopping: threading.Event) -> bool:
        self.conductor.tick()
        if self.conductor.changed.is_set():
            self.conductor.changed.clear()
            for loop in self._loops[1:]:
                loop.wake()
            self.conductor.sweep()
            self._database.checkpoint()
        return False

    def _join(self) -> None:
        """Become known to the cloud, however long it takes, and start what talks to it."""
        try:
            identity = self._enroller.obtain(self._stopping)
            if identity is not None:
                self._connect(identity)
        except OnecodeError:
            _log.exception("the cloud cannot be followed; what is on this disk is served")

    def _connect(self, identity: Identity) -> None:
        mine, settings = identity.enrolment, self._settings
        self.identity = identity
        self._become(mine)
        credential = self._credential = Credential(self._server, identity, self.clock)
        delivery = Delivery(
            self._layout.root,
            mine.distribution_url,
            mine.tenant,
            mine.segment,
            credential.token,
            identity.root,
            self.clock,
        )
        self.policy_loop = PolicyLoop(delivery, credential, identity, self.conductor, self.clock, self._moved)
        self._preparer.source = delivery
        subjects = Subjects(mine.tenant, mine.gateway_id, mine.segment)
        if settings.nats_url:
            self._bus = Bus(settings.nats_url, mine.gateway_id, settings.nats_seed_file)
        reporter = Reporter(
            self.outbox, self._server, credential, self._bus, subjects, self.clock,
            self.conductor.collect, self._status, self._report_s,
        )  # fmt: skip
        policies = Loop("policy", self.policy_loop.turn, idle_s=_REPORT_TURN_S)
        reports = Loop("report", reporter.turn, idle_s=_REPORT_TURN_S)
        self.policy_loop.wake, reporter.wake = policies.wake, reports.wake
        self.policy_loop.begin()
        if self._bus is not None:
            self._bus.start()
            self._bus.subscribe(subjects.acknowledgements, reporter.acknowledged)
            self._bus.subscribe(subjects.wake, self.policy_loop.woken)
        for loop in (policies, reports):
            loop.start()
            self._loops.append(loop)

    def _become(self, enrolment: Enrolment) -> None:
        self.outbox.source = enrolment.gateway_id
        self._processes.gateway = enrolment.gateway_id
        self._situation.gateway = enrolment.gateway_id

    def _moved(self, enrolment: Enrolment) -> None:
        """Take over another segment or distribution by starting anew; what is served goes on meanwhile."""
        _log.info("this gateway now belongs to segment %s at %s", enrolment.segment, enrolment.distribution_url)
        self._identities.update(enrolment)
        os._exit(0)

    def _forget_token(self) -> None:
        if self._credential is not None:
            self._credential.forget()

    def _report_s(self) -> float:
        policy = self.policy_loop.policy if self.policy_loop else None
        return policy.report_s if policy else 0.0

    def _stale(self) -> bool:
        loop = self.policy_loop
        return loop is None or self.clock.monotonic() - loop.fresh > _STALE_POLLS * max(loop.poll_s, 1.0)

    def _status(self) -> pb.Status:
        state = self.conductor.describe()
        generation: Any = state["generation"]
        loop = self.policy_loop
        return pb.Status(
            generation=generation,
            serving=self.conductor.served(),
            health=self.ready() or "ok",
            outbox=self.outbox.waiting(),
            rss_bytes=_resident_bytes(),
            agent_version=_version(),
            facts={"problem": loop.problem if loop else "", "stale": str(self._stale()).lower()},
            http_url=f"{self._settings.scheme}://{self._settings.rest_address}",
            grpc_address=self._settings.grpc_address,
        )


def _trial(onnx: bytes, manifest: Mapping[str, Any], golden: bytes) -> TrialReport:
    return try_model(onnx, manifest, golden)


def _resident_bytes() -> int:
    try:
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _version() -> str:
    return version("onecode")
