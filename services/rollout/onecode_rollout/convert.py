"""Translate between the wire and the domain, and nothing else."""

from google.protobuf.timestamp_pb2 import Timestamp

from onecode.edge.v1 import edge_pb2 as edge
from onecode.rollout.v1 import rollout_pb2 as pb
from onecode_rollout.domain.chart import EvidencePoint
from onecode_rollout.domain.decision import Decision
from onecode_rollout.domain.enrolment import fingerprint
from onecode_rollout.domain.fleet import Source
from onecode_rollout.domain.members import Member
from onecode_rollout.domain.plan import Budget, Plan, Preset, Step
from onecode_rollout.domain.planner import Estimate
from onecode_rollout.domain.reports import ActionReport, CounterReport, Report, StatusReport
from onecode_rollout.domain.shadow import ENOUGH_PAIRS
from onecode_rollout.ports import ArmTotal
from onecode_rollout.usecases.fleet import GatewayView, SegmentView
from onecode_rollout.usecases.views import RolloutView

_UNITS = {pb.UNIT_UNSPECIFIED: "request", pb.UNIT_REQUEST: "request", pb.UNIT_KEY: "key", pb.UNIT_GATEWAY: "gateway"}
_UNIT_NUMBERS = {"request": pb.UNIT_REQUEST, "key": pb.UNIT_KEY, "gateway": pb.UNIT_GATEWAY}


def time_to_wire(seconds: float) -> Timestamp | None:
    """Return a timestamp; None for 0, which means "not yet"."""
    if not seconds:
        return None
    stamp = Timestamp()
    stamp.FromMicroseconds(round(seconds * 1e6))
    return stamp


def plan_from_wire(plan: pb.Plan) -> Plan:
    """Return the plan as asked for; its preset is read by :func:`preset_from_wire`."""
    return Plan(
        model=plan.model,
        candidate=plan.candidate,
        segments=tuple(plan.segments),
        unit=_UNITS.get(plan.unit, str(plan.unit)),
        steps=tuple(Step(one.share, one.manual_gate, one.min_observe_seconds) for one in plan.steps),
        metrics=tuple(Budget(one.metric, one.must_pass, one.on_bad) for one in plan.metrics),
        supersede=plan.supersede,
        shadow_s=plan.shadow_seconds,
    )


def preset_from_wire(preset: pb.Preset) -> Preset:
    """Return the preset as asked for; 0 means its default."""
    return Preset(
        name=preset.name,
        min_observe_s=preset.min_observe_seconds,
        probation_s=preset.probation_seconds,
        interval_s=preset.interval_seconds,
        poll_s=preset.poll_seconds,
        report_s=preset.report_seconds,
        no_data_after_s=preset.no_data_after_seconds,
        limit_s=preset.limit_seconds,
        lost_after_s=preset.lost_after_seconds,
        alpha=preset.alpha,
        beta=preset.beta,
        r0=preset.r0,
        r1=preset.r1,
        floor=preset.floor,
    )


def plan_to_wire(plan: Plan) -> pb.Plan:
    """Return the complete plan."""
    preset = plan.preset
    return pb.Plan(
        model=plan.model,
        candidate=plan.candidate,
        segments=plan.segments,
        unit=_UNIT_NUMBERS[plan.unit],
        steps=[
            pb.Step(share=one.share, manual_gate=one.manual_gate, min_observe_seconds=one.min_observe_s)
            for one in plan.steps
        ],
        preset=pb.Preset(
            name=preset.name,
            min_observe_seconds=preset.min_observe_s,
            probation_seconds=preset.probation_s,
            interval_seconds=preset.interval_s,
            poll_seconds=preset.poll_s,
            report_seconds=preset.report_s,
            no_data_after_seconds=preset.no_data_after_s,
            limit_seconds=preset.limit_s,
            lost_after_seconds=preset.lost_after_s,
            alpha=preset.alpha,
            beta=preset.beta,
            r0=preset.r0,
            r1=preset.r1,
            floor=preset.floor,
        ),
        metrics=[pb.MetricBudget(metric=m.metric, must_pass=m.must_pass, on_bad=m.on_bad) for m in plan.metrics],
        supersede=plan.supersede,
        shadow_seconds=plan.shadow_s,
    )


def estimate_to_wire(estimate: Estimate) -> pb.Estimate:
    """Return what a plan will need."""
    return pb.Estimate(
        sentence=estimate.sentence,
        requests_to_catch_doubling=estimate.requests_to_catch_doubling,
        requests_to_promote=estimate.requests_to_promote,
        traffic_can_pay=estimate.traffic_can_pay,
    )


def rollout_to_wire(view: RolloutView, project: str) -> pb.Rollout:
    """Return a rollout for people."""
    rollout, params = view.rollout, view.rollout.plan.preset.params
    return pb.Rollout(
        rollout_id=rollout.rollout_id,
        project=project,
        state=rollout.state,
        reason=rollout.reason,
        plan=plan_to_wire(rollout.plan),
        stable=rollout.stable,
        step=rollout.step,
        generation=rollout.generation,
        revision=rollout.revision,
        created_by=rollout.created_by,
        created=time_to_wire(rollout.created),
        started=time_to_wire(rollout.started),
        finished=time_to_wire(rollout.finished),
        sentence=view.sentence,
        candidate_count=_count(view.candidate),
        stable_count=_count(view.stable),
        evidence=[_point(one) for one in view.points],
        members=[_member(member, state, rollout.plan.model) for member, state in view.members],
        threshold_rollback=params.rollback_at + rollout.overrides.worse,
        threshold_promote=params.promote_at,
        threshold_floor=params.promote_at,
        estimate=estimate_to_wire(rollout.estimate),
        stable_release=rollout.stable_release,
        candidate_release=rollout.candidate_release,
        next_actions=view.next_actions,
        shadow=_shadow(view) if rollout.plan.shadow_s and rollout.stable else None,
    )


def decision_to_wire(decision: Decision, *, agrees: bool) -> pb.Decision:
    """Return a decision with whether its replay agrees."""
    return pb.Decision(
        number=decision.number,
        time=time_to_wire(decision.time),
        kind=decision.kind,
        from_state=decision.from_state,
        to_state=decision.to_state,
        rule=decision.rule,
        by=decision.by,
        sentence=decision.sentence,
        record=decision.record,
        signature=decision.signature,
        previous=decision.previous,
        generation=decision.generation,
        replay_agrees=agrees,
    )


def segment_to_wire(view: SegmentView, project: str) -> pb.Segment:
    """Return a segment."""
    return pb.Segment(
        name=view.segment.name,
        project=project,
        gateways=view.gateways,
        generation=view.policy.generation if view.policy is not None else 0,
        serving=view.serving,
        approvals=view.segment.approvals,
    )


def gateway_to_wire(view: GatewayView, project: str) -> pb.Gateway:
    """Return a gateway with what it told last."""
    gateway = view.gateway
    told = view.told or Source(gateway.gateway_id, gateway.segment)
    return pb.Gateway(
        gateway_id=gateway.gateway_id,
        project=project,
        name=gateway.gateway_id,
        segment=gateway.segment,
        state=gateway.state,
        fingerprint=fingerprint(gateway.public_key) if gateway.public_key else "",
        last_heard=time_to_wire(told.last_heard),
        stale=view.stale,
        generation=told.generation,
        serving=dict(told.serving),
        desired=view.desired,
        agent_version=told.agent_version,
        outbox=told.outbox,
        health=told.health,
        http_url=told.http_url,
        grpc_address=told.grpc_address,
        rss_bytes=told.rss_bytes,
        facts=dict(told.facts),
        requests=view.requests,
    )


def report_from_wire(report: edge.Report) -> Report:
    """Return a report; the source that its body names is ignored."""
    kind = report.WhichOneof("body")
    return Report(
        boot_id=report.boot_id,
        sequence=report.sequence,
        sent_at=report.sent_at,
        counters=tuple(_counter(one) for one in report.counters.counters) if kind == "counters" else (),
        action=_action(report.action) if kind == "action" else None,
        status=_status(report.status) if kind == "status" else None,
    )


def _counter(one: edge.Counter) -> CounterReport:
    return CounterReport(
        model=one.model,
        rollout=one.rollout,
        revision=one.revision,
        digest=one.digest,
        role=one.role,
        interval_start=one.interval_start,
        interval_s=one.interval_seconds,
        requests=one.requests,
        errors=one.errors,
        non_finite=one.non_finite,
        unassigned=one.unassigned,
        latency=tuple(one.latency.counts),
        different=one.different,
        dropped=one.dropped,
        largest=one.largest_difference,
    )


def _action(one: edge.Action) -> ActionReport:
    return ActionReport(
        one.model,
        one.rollout,
        one.revision,
        one.digest,
        one.state,
        one.cause,
        one.served_digest,
        one.detail,
        one.evidence,
    )


def _status(one: edge.Status) -> StatusReport:
    return StatusReport(
        generation=one.generation,
        serving=dict(one.serving),
        health=one.health,
        outbox=one.outbox,
        rss_bytes=one.rss_bytes,
        agent_version=one.agent_version,
        facts=dict(one.facts),
        http_url=one.http_url,
        grpc_address=one.grpc_address,
    )


def _point(one: EvidencePoint) -> pb.EvidencePoint:
    return pb.EvidencePoint(
        time=time_to_wire(one.at),
        candidate_requests=one.n_c,
        candidate_errors=one.k_c,
        stable_requests=one.n_b,
        stable_errors=one.k_b,
        log_e_worse=one.worse,
        log_e_better=one.better,
        log_e_floor=one.floor,
        step=one.step,
    )


def _shadow(view: RolloutView) -> pb.ShadowCount:
    found, running = view.shadow, view.rollout.in_shadow
    sums = pb.ShadowCount(pairs=found.pairs, different=found.different, failed=found.failed, dropped=found.dropped)
    sums.MergeFrom(pb.ShadowCount(largest_difference=found.largest, running=running, needed_pairs=ENOUGH_PAIRS))
    return sums


def _count(total: ArmTotal) -> pb.ArmCount:
    return pb.ArmCount(requests=total.requests, errors=total.errors, non_finite=total.non_finite)


def _member(member: Member, state: str, model: str) -> pb.Member:
    return pb.Member(
        source=member.source,
        segment=member.segment,
        action=state,
        cause=member.trial.cause if member.trial is not None else "",
        served_digest=member.serving.get(model, "") or (member.trial.served_digest if member.trial is not None else ""),
        last_heard=time_to_wire(member.last_heard),
    )
