"""Take reports: each event once, each counter replaced by key, and nothing from a source that is not known."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from prometheus_client import Counter

from onecode_rollout.domain.fleet import Source
from onecode_rollout.domain.members import CLOUD
from onecode_rollout.domain.reports import (
    ActionReport,
    CounterReport,
    Report,
    StatusReport,
    clock_fault,
    counter_fault,
    is_evidence,
    readable_action,
    short,
    short_pairs,
)
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.situation import Suspect
from onecode_rollout.domain.states import TERMINAL
from onecode_rollout.ports import Ports, Rows

_log = logging.getLogger(__name__)
_refused = Counter("onecode_rollout_reports_refused_total", "Reports that were dropped.", ["why"])
_taken = Counter("onecode_rollout_reports_total", "Reports that were taken.", ["kind"])
_MAX_SEQUENCE = 1 << 62
_SHADOW = "shadow"


class Telemetry:
    """Reports of gateways and of the cloud."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports
        self.wake_controller: Callable[[], None] = lambda: None

    def take(self, reports: Mapping[str, Sequence[Report]]) -> dict[str, list[int]]:
        """Keep reports by source and return the sequences by source that are now committed.

        What cannot be believed is dropped and acknowledged too: sending it again would not help. An unknown or
        revoked source gets no answer at all.
        """
        now = self._ports.clock.now().timestamp()
        accepted: dict[str, list[int]] = {}
        with self._ports.records.transaction() as rows:
            cache: dict[str, Rollout | None] = {}
            for name, batch in reports.items():
                source = self._source(rows, name)
                if source is None:
                    _refused.labels("unknown_source").inc(len(batch))
                    continue
                accepted[name] = _Intake(rows, source, cache, now).take(batch)
        self.wake_controller()
        return accepted

    def acknowledge(self, accepted: Mapping[str, Sequence[int]]) -> None:
        """Tell the sources what is committed; a lost word makes them send again, which changes nothing."""
        for source, sequences in accepted.items():
            self._ports.hints.acknowledge(source, sequences)

    def _source(self, rows: Rows, name: str) -> Source | None:
        if name == CLOUD:
            return rows.fleet.source(CLOUD) or Source(CLOUD, CLOUD)
        gateway = rows.fleet.gateway(name)
        if gateway is None or gateway.state != "active":
            return None
        told = rows.fleet.source(name) or Source(name, gateway.segment)
        return replace(told, segment=gateway.segment)


class _Intake:
    """The reports of one source in one transaction."""

    def __init__(self, rows: Rows, source: Source, cache: dict[str, Rollout | None], now: float) -> None:
        self._rows = rows
        self._source = source
        self._rollouts = cache
        self._now = now

    def take(self, batch: Sequence[Report]) -> list[int]:
        self._source = replace(self._source, last_heard=self._now)
        sequences = []
        for report in batch:
            if not 0 < report.sequence < _MAX_SEQUENCE:
                _refused.labels("sequence").inc()
                continue
            sequences.append(report.sequence)
            self._one(report)
        self._rows.fleet.save_source(self._source)
        return sequences

    def _one(self, report: Report) -> None:
        if report.boot_id:
            self._source = replace(self._source, boot_id=short(report.boot_id))
        if report.status is not None:
            self._status(report.sequence, report.status)
        if report.action is not None:
            self._action(report.sequence, report.action)
        fault = clock_fault(report, self._now)
        for counter in report.counters:
            self._counter(report, counter, fault)

    def _status(self, sequence: int, status: StatusReport) -> None:
        if sequence <= self._source.status_sequence:
            return
        _taken.labels("status").inc()
        self._source = replace(
            self._source,
            status_sequence=sequence,
            generation=max(0, min(status.generation, _MAX_SEQUENCE)),
            serving=short_pairs(status.serving),
            health=short(status.health),
            outbox=max(0, min(status.outbox, _MAX_SEQUENCE)),
            rss_bytes=max(0, min(status.rss_bytes, _MAX_SEQUENCE)),
            agent_version=short(status.agent_version),
            facts=short_pairs(status.facts),
            http_url=short(status.http_url),
            grpc_address=short(status.grpc_address),
        )

    def _action(self, sequence: int, action: ActionReport) -> None:
        if not readable_action(action) or not 0 <= action.revision < _MAX_SEQUENCE:
            _refused.labels("action").inc()
            return
        tidy = replace(
            action,
            rollout=short(action.rollout),
            cause=short(action.cause),
            served_digest=short(action.served_digest),
            detail=short(action.detail),
            evidence=short(action.evidence),
        )
        if self._rows.reports.put_action(self._source.source, sequence, tidy, self._now):
            _taken.labels("action").inc()

    def _counter(self, report: Report, counter: CounterReport, clock: str) -> None:
        rollout = self._rollout(counter.rollout)
        if rollout is None or rollout.plan.model != counter.model or self._source.segment not in rollout.plan.segments:
            _refused.labels("unknown_rollout").inc()
            return
        roles = {rollout.plan.candidate: "candidate", rollout.stable: "stable"}
        is_open = rollout.state not in TERMINAL
        owned = roles if is_open else {}
        fault = clock or counter_fault(counter, owned, self._now)
        if fault:
            _refused.labels("impossible").inc()
            if is_open:
                _log.warning("source %s is dropped from rollout %s: %s", self._source.source, counter.rollout, fault)
                self._rows.rollouts.add_suspect(counter.rollout, Suspect(self._source.source, fault), self._now)
            return
        if counter.role == _SHADOW:
            if is_open:
                _taken.labels("shadow").inc()
                boot_id = short(report.boot_id)
                self._rows.reports.put_shadow(self._source.source, boot_id, report.sequence, counter)
            return
        if is_evidence(counter, owned, self._now):
            _taken.labels("counter").inc()
            self._rows.reports.put_counter(
                self._source.source, short(report.boot_id), report.sequence, counter, self._now
            )

    def _rollout(self, rollout_id: str) -> Rollout | None:
        if rollout_id not in self._rollouts:
            self._rollouts[rollout_id] = self._rows.rollouts.get(rollout_id) if rollout_id else None
        return self._rollouts[rollout_id]
