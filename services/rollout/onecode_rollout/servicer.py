"""Expose the use cases over gRPC: translate, delegate, translate back."""

from collections.abc import Iterator

import grpc

from onecode.rollout.v1 import rollout_pb2 as pb
from onecode.rollout.v1 import rollout_pb2_grpc as rpc
from onecode_common.rpc import Rule, current_caller
from onecode_rollout.convert import (
    decision_to_wire,
    estimate_to_wire,
    gateway_to_wire,
    plan_from_wire,
    plan_to_wire,
    preset_from_wire,
    rollout_to_wire,
    segment_to_wire,
    time_to_wire,
)
from onecode_rollout.domain.plan import Plan, Preset
from onecode_rollout.usecases.commands import Commands
from onecode_rollout.usecases.fleet import FleetUse
from onecode_rollout.usecases.rollouts import Rollouts
from onecode_rollout.usecases.views import RolloutView
from onecode_rollout.watch import Watch

_READS = ("ListSegments", "ListGateways", "GetGateway", "PlanRollout", "GetRollout", "ListRollouts")
_STREAMS_AND_EXPLAIN = ("WatchRollout", "ExplainRollout")
_WRITES = (
    "CreateSegment",
    "CreateGateway",
    "RevokeGateway",
    "CreateRollout",
    "ApproveRollout",
    "CancelRollout",
    "PauseRollout",
    "ResumeRollout",
    "PromoteRollout",
    "AbortRollout",
    "RollbackRollout",
)
_SERVICE = "/onecode.rollout.v1.RolloutService/"

RULES = {f"{_SERVICE}{name}": Rule.of("console") for name in (*_READS, *_STREAMS_AND_EXPLAIN)} | {
    f"{_SERVICE}{name}": Rule.of("console", needs_principal=True) for name in _WRITES
}
"""Only the console calls; whoever changes something must be a person or key."""


class RolloutServicer(rpc.RolloutServiceServicer):
    """The wire face of the use cases."""

    def __init__(self, fleet: FleetUse, rollouts: Rollouts, commands: Commands, watch: Watch, project: str) -> None:
        self._fleet = fleet
        self._rollouts = rollouts
        self._commands = commands
        self._watch = watch
        self._project = project

    def CreateSegment(
        self, request: pb.CreateSegmentRequest, _context: grpc.ServicerContext
    ) -> pb.CreateSegmentResponse:
        """Make a segment; the same again is answered as the first time."""
        view = self._fleet.create_segment(request.name, request.approvals, _principal())
        return pb.CreateSegmentResponse(segment=segment_to_wire(view, self._project))

    def ListSegments(self, _request: pb.ListSegmentsRequest, _context: grpc.ServicerContext) -> pb.ListSegmentsResponse:
        """Return all segments."""
        return pb.ListSegmentsResponse(segments=[segment_to_wire(one, self._project) for one in self._fleet.segments()])

    def CreateGateway(
        self, request: pb.CreateGatewayRequest, _context: grpc.ServicerContext
    ) -> pb.CreateGatewayResponse:
        """Invite a gateway; the token is in this answer and nowhere else."""
        invited = self._fleet.create_gateway(request.name, request.segment, _principal(), accept=request.accept)
        return pb.CreateGatewayResponse(
            gateway=gateway_to_wire(invited.gateway, self._project),
            token=invited.token,
            expires=time_to_wire(invited.expires),
            root_sha256=invited.root_sha256,
        )

    def ListGateways(self, request: pb.ListGatewaysRequest, _context: grpc.ServicerContext) -> pb.ListGatewaysResponse:
        """Return the gateways of a segment, or all."""
        found = self._fleet.gateways(request.segment)
        return pb.ListGatewaysResponse(gateways=[gateway_to_wire(one, self._project) for one in found])

    def GetGateway(self, request: pb.GetGatewayRequest, _context: grpc.ServicerContext) -> pb.GetGatewayResponse:
        """Return one gateway."""
        view = self._fleet.gateway(request.gateway_id)
        return pb.GetGatewayResponse(gateway=gateway_to_wire(view, self._project))

    def RevokeGateway(
        self, request: pb.RevokeGatewayRequest, _context: grpc.ServicerContext
    ) -> pb.RevokeGatewayResponse:
        """Refuse a gateway from now on."""
        view = self._fleet.revoke(request.gateway_id, request.reason, _principal())
        return pb.RevokeGatewayResponse(gateway=gateway_to_wire(view, self._project))

    def PlanRollout(self, request: pb.PlanRolloutRequest, _context: grpc.ServicerContext) -> pb.PlanRolloutResponse:
        """Return what a plan would need; nothing is kept."""
        estimate, plan = self._rollouts.plan(*_asked(request.plan), request.requests_per_second, request.error_rate)
        return pb.PlanRolloutResponse(estimate=estimate_to_wire(estimate), plan=plan_to_wire(plan))

    def CreateRollout(
        self, request: pb.CreateRolloutRequest, _context: grpc.ServicerContext
    ) -> pb.CreateRolloutResponse:
        """Keep and submit a rollout; repeating the call with the same id is harmless."""
        view = self._rollouts.create(request.rollout_id, *_asked(request.plan), _principal())
        return pb.CreateRolloutResponse(rollout=self._wire(view))

    def GetRollout(self, request: pb.GetRolloutRequest, _context: grpc.ServicerContext) -> pb.GetRolloutResponse:
        """Return one rollout with its evidence."""
        return pb.GetRolloutResponse(rollout=self._wire(self._rollouts.get(request.rollout_id)))

    def ListRollouts(self, request: pb.ListRolloutsRequest, _context: grpc.ServicerContext) -> pb.ListRolloutsResponse:
        """Return a page, newest first, without evidence."""
        views, token = self._rollouts.list(request.model, request.page_size, request.page_token)
        return pb.ListRolloutsResponse(rollouts=[self._wire(one) for one in views], next_page_token=token)

    def WatchRollout(
        self, request: pb.WatchRolloutRequest, context: grpc.ServicerContext
    ) -> Iterator[pb.WatchRolloutResponse]:
        """Send the rollout now and whenever it changes, until it has ended or the caller hangs up."""
        for view in self._watch.views(request.rollout_id, context.is_active):
            yield pb.WatchRolloutResponse(rollout=self._wire(view))

    def ApproveRollout(
        self, request: pb.ApproveRolloutRequest, _context: grpc.ServicerContext
    ) -> pb.ApproveRolloutResponse:
        """Agree to a rollout, or reject it."""
        act = self._commands.reject if request.reject else self._commands.approve
        return pb.ApproveRolloutResponse(rollout=self._wire(act(request.rollout_id, _principal(), request.reason)))

    def CancelRollout(
        self, request: pb.CancelRolloutRequest, _context: grpc.ServicerContext
    ) -> pb.CancelRolloutResponse:
        """Drop a rollout that has not started."""
        view = self._commands.cancel(request.rollout_id, _principal())
        return pb.CancelRolloutResponse(rollout=self._wire(view))

    def PauseRollout(self, request: pb.PauseRolloutRequest, _context: grpc.ServicerContext) -> pb.PauseRolloutResponse:
        """Freeze exposure."""
        view = self._commands.pause(request.rollout_id, _principal(), request.reason)
        return pb.PauseRolloutResponse(rollout=self._wire(view))

    def ResumeRollout(
        self, request: pb.ResumeRolloutRequest, _context: grpc.ServicerContext
    ) -> pb.ResumeRolloutResponse:
        """Go on."""
        view = self._commands.resume(request.rollout_id, _principal(), request.reason, override=request.override)
        return pb.ResumeRolloutResponse(rollout=self._wire(view))

    def PromoteRollout(
        self, request: pb.PromoteRolloutRequest, _context: grpc.ServicerContext
    ) -> pb.PromoteRolloutResponse:
        """Give the candidate to everybody."""
        view = self._commands.promote(request.rollout_id, _principal(), request.reason, force=request.force)
        return pb.PromoteRolloutResponse(rollout=self._wire(view))

    def AbortRollout(self, request: pb.AbortRolloutRequest, _context: grpc.ServicerContext) -> pb.AbortRolloutResponse:
        """End it with the split as it is; with ``revert`` it is a rollback."""
        act = self._commands.rollback if request.revert else self._commands.abort
        return pb.AbortRolloutResponse(rollout=self._wire(act(request.rollout_id, _principal(), request.reason)))

    def RollbackRollout(
        self, request: pb.RollbackRolloutRequest, _context: grpc.ServicerContext
    ) -> pb.RollbackRolloutResponse:
        """Take the candidate back everywhere."""
        view = self._commands.rollback(request.rollout_id, _principal(), request.reason)
        return pb.RollbackRolloutResponse(rollout=self._wire(view))

    def ExplainRollout(
        self, request: pb.ExplainRolloutRequest, _context: grpc.ServicerContext
    ) -> pb.ExplainRolloutResponse:
        """Return every decision, replayed."""
        decisions, sentence = self._rollouts.explain(request.rollout_id)
        return pb.ExplainRolloutResponse(
            decisions=[decision_to_wire(one, agrees=agrees) for one, agrees in decisions], sentence=sentence
        )

    def _wire(self, view: RolloutView) -> pb.Rollout:
        return rollout_to_wire(view, self._project)


def _asked(plan: pb.Plan) -> tuple[Plan, Preset]:
    return plan_from_wire(plan), preset_from_wire(plan.preset)


def _principal() -> str:
    return current_caller().principal
