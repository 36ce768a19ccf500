"""Create and read segments and gateways."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from onecode_common.canonical import sha256_hex
from onecode_common.errors import ConflictError, InvalidError, NotFoundError
from onecode_rollout.domain.enrolment import TOKEN_LIFE_S, check_source_name, make_token, token_hash
from onecode_rollout.domain.fleet import Gateway, Segment, Source, stale
from onecode_rollout.domain.members import CLOUD
from onecode_rollout.domain.policy import SegmentPolicy, Times, served
from onecode_rollout.ports import Ports, Rows
from onecode_rollout.usecases.policies import Policies

MAX_APPROVALS = 10
"""More approvers than this are no control but a wall."""


@dataclass(frozen=True, slots=True)
class SegmentView:
    """A segment with what it should serve."""

    segment: Segment
    gateways: int
    policy: SegmentPolicy | None
    serving: dict[str, str]


@dataclass(frozen=True, slots=True)
class GatewayView:
    """A gateway with what it told last and what it should serve."""

    gateway: Gateway
    told: Source | None
    stale: bool
    desired: dict[str, str]
    requests: dict[str, int]


@dataclass(frozen=True, slots=True)
class Invitation:
    """What a new gateway needs; the token is shown this once. Empty when an enrolled one was accepted."""

    gateway: GatewayView
    token: str
    expires: float
    root_sha256: str


class FleetUse:
    """Segments and gateways of one project, for the console."""

    def __init__(self, ports: Ports, policies: Policies) -> None:
        self._ports = ports
        self._policies = policies

    def ensure_cloud(self) -> None:
        """Make the segment of the cloud's server at first start."""
        with self._ports.records.transaction() as rows:
            if rows.fleet.segment(CLOUD) is None:
                rows.fleet.add_segment(Segment(CLOUD, 0, self._now()))
                self._policies.create(rows, CLOUD)

    def create_segment(self, name: str, approvals: int, by: str) -> SegmentView:
        """Make a segment with an empty policy; the same again is answered as the first time.

        Raises:
            InvalidError: The name or number cannot be.
            ConflictError: The name is taken with another number of approvals.
        """
        check_source_name(name, "segment")
        if not 0 <= approvals <= MAX_APPROVALS:
            raise InvalidError(f"approvals {approvals} is not within 0..{MAX_APPROVALS}", code="segment.approvals")
        with self._ports.records.transaction() as rows:
            known = rows.fleet.segment(name)
            if known is not None and known.approvals != approvals:
                message = f"segment {name} exists with {known.approvals} approvals"
                raise ConflictError(message, code="segment.taken", params={"segment": name})
            if known is None:
                known = Segment(name, approvals, self._now())
                rows.fleet.add_segment(known)
                self._policies.create(rows, name)
                rows.audit(by, "segment.create", name)
            return _segment_view(rows, known)

    def segments(self) -> Sequence[SegmentView]:
        """Return all."""
        with self._ports.records.transaction() as rows:
            return [_segment_view(rows, segment) for segment in rows.fleet.segments()]

    def create_gateway(self, name: str, segment: str, by: str, *, accept: bool) -> Invitation:
        """Invite a gateway with a one-time token, or accept one that has enrolled and waits.

        A gateway that has not enrolled yet, or was revoked, gets a new token; its old one dies.

        Raises:
            InvalidError: The name cannot be.
            NotFoundError: There is no such segment.
            ConflictError: It is active, or belongs to another segment.
            UnavailableError: The registry does not answer.
        """
        check_source_name(name, "gateway")
        root_sha256 = sha256_hex(self._ports.registry.root())
        with self._ports.records.transaction() as rows:
            if segment == CLOUD or rows.fleet.segment(segment) is None:
                message = f"there is no segment {segment[:80]!r} for gateways: create it first"
                raise NotFoundError(message, code="segment.unknown", params={"segment": segment[:80]})
            known = rows.fleet.gateway(name)
            _refuse_taken(known, segment)
            if known is not None and known.state == "pending" and known.public_key and accept:
                accepted = replace(known, state="active", accept=True)
                rows.fleet.save_gateway(accepted)
                rows.audit(by, "gateway.accept", name)
                return Invitation(self._gateway_view(rows, accepted), "", 0.0, root_sha256)
            return self._invite(rows, Gateway(name, segment, "pending", accept, self._now(), by), root_sha256)

    def _invite(self, rows: Rows, blank: Gateway, root_sha256: str) -> Invitation:
        token, identifier = make_token(self._ports.random_bytes)
        expires = self._now() + TOKEN_LIFE_S
        invited = replace(blank, token_id=identifier, token_hash=token_hash(token), token_expires=expires)
        rows.fleet.save_gateway(invited)
        rows.audit(blank.created_by, "gateway.invite", blank.gateway_id)
        return Invitation(self._gateway_view(rows, invited), token, expires, root_sha256)

    def gateways(self, segment: str) -> Sequence[GatewayView]:
        """Return all, or those of a segment; the cloud's server comes first, as one of them."""
        with self._ports.records.transaction() as rows:
            cloud = rows.fleet.segment(CLOUD) if segment in {"", CLOUD} else None
            listed = (
                []
                if cloud is None
                else [Gateway(CLOUD, CLOUD, "active", accept=True, created=cloud.created, created_by="")]
            )
            listed += rows.fleet.gateways(segment)
            return [self._gateway_view(rows, gateway) for gateway in listed]

    def gateway(self, gateway_id: str) -> GatewayView:
        """Return one. Raises NotFoundError."""
        with self._ports.records.transaction() as rows:
            return self._gateway_view(rows, _find(rows, gateway_id))

    def revoke(self, gateway_id: str, reason: str, by: str) -> GatewayView:
        """Refuse everything that a gateway sends or fetches from now on; it goes on serving what it has.

        Raises:
            NotFoundError: There is no such gateway.
        """
        with self._ports.records.transaction() as rows:
            known = _find(rows, gateway_id)
            if known.state != "revoked":
                known = replace(known, state="revoked", token_hash="", token_id="")
                rows.fleet.save_gateway(known)
                rows.audit(by, "gateway.revoke", gateway_id, reason[:500])
            return self._gateway_view(rows, known)

    def _gateway_view(self, rows: Rows, gateway: Gateway) -> GatewayView:
        told = rows.fleet.source(gateway.gateway_id)
        policy = rows.policies.policy(gateway.segment)
        report_s = policy.times.report_s if policy is not None else Times().report_s
        return GatewayView(
            gateway,
            told,
            stale(told, report_s, self._now()),
            served(policy.entries) if policy is not None else {},
            rows.reports.requests(gateway.gateway_id),
        )

    def _now(self) -> float:
        return self._ports.clock.now().timestamp()


def _refuse_taken(known: Gateway | None, segment: str) -> None:
    if known is None or known.state == "revoked":
        return
    if known.state == "active":
        message = f"gateway {known.gateway_id} is active: revoke it before it can enrol again"
        raise ConflictError(message, code="gateway.active", params={"gateway": known.gateway_id})
    if known.segment != segment:
        message = f"gateway {known.gateway_id} is invited to segment {known.segment}"
        raise ConflictError(message, code="gateway.taken", params={"gateway": known.gateway_id})


def _find(rows: Rows, gateway_id: str) -> Gateway:
    gateway = rows.fleet.gateway(gateway_id)
    if gateway is None:
        message = f"there is no gateway {gateway_id[:80]!r}"
        raise NotFoundError(message, code="gateway.unknown", params={"gateway": gateway_id[:80]})
    return gateway


def _segment_view(rows: Rows, segment: Segment) -> SegmentView:
    policy = rows.policies.policy(segment.name)
    count = sum(gateway.state != "revoked" for gateway in rows.fleet.gateways(segment.name))
    return SegmentView(segment, count, policy, served(policy.entries) if policy is not None else {})
