"""Plan, create and read rollouts."""

from collections.abc import Sequence
from dataclasses import asdict

from onecode_common.canonical import digest_of
from onecode_common.errors import ConflictError, InvalidError, NotFoundError, PreconditionError
from onecode_common.ids import check_id
from onecode_rollout.domain.controller import APPROVAL_S, Move
from onecode_rollout.domain.decision import Decision, replay_agrees
from onecode_rollout.domain.plan import Plan, Preset, completed
from onecode_rollout.domain.planner import Estimate
from onecode_rollout.domain.policy import Arm
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.ports import Ports, Rows, Traffic
from onecode_rollout.usecases import starts
from onecode_rollout.usecases.transitions import Transitions
from onecode_rollout.usecases.views import RolloutView, view

_PAGE = 50
_LARGEST_PAGE = 200
_NEWEST = 1 << 62


class Rollouts:
    """Rollouts of one project, for the console."""

    def __init__(self, ports: Ports, transitions: Transitions) -> None:
        self._ports = ports
        self._transitions = transitions

    def plan(self, asked: Plan, preset: Preset, per_second: float, error_rate: float) -> tuple[Estimate, Plan]:
        """Return what a plan would need, and the plan with its defaults; nothing is kept.

        Args:
            asked: The plan.
            preset: Its preset; 0 = default.
            per_second: Requests a second; 0 takes what the model saw in the last hour.
            error_rate: Of the stable version; 0 likewise.
        """
        if not (0 <= per_second < float("inf")) or not (0 <= error_rate < 1):
            message = f"requests_per_second {per_second} or error_rate {error_rate} is not possible"
            raise InvalidError(message, code="plan.traffic")
        plan = completed(asked, preset)
        with self._ports.records.transaction() as rows:
            stable = starts.stable_arm(rows, plan)
            seen = starts.traffic(rows, plan, self._now())
        known, candidate = starts.versions(self._ports, plan, stable)
        starts.check_versions(plan, known, candidate)
        assumed = Traffic(per_second or seen.per_second, error_rate or seen.error_rate)
        return starts.estimated(plan, assumed, first_release=stable is None), plan

    def create(self, rollout_id: str, asked: Plan, preset: Preset, by: str) -> RolloutView:
        """Keep and submit a rollout; the same id and plan again is answered as the first time.

        Raises:
            ConflictError: The id is taken by another plan.
            PreconditionError: Another rollout of the model is open on a segment, or segments disagree.
            InvalidError: The plan cannot be.
            NotFoundError: A version or segment does not exist.
        """
        check_id(rollout_id, "rollout id")
        plan = completed(asked, preset)
        body = _body(plan)
        with self._ports.records.transaction() as rows:
            known = rows.rollouts.get(rollout_id)
            if known is not None:
                return view(rows, _same(known, body), self._now())
            stable = starts.stable_arm(rows, plan)
        before, candidate = starts.versions(self._ports, plan, stable)
        starts.check_versions(plan, before, candidate)
        with self._ports.records.transaction() as rows:
            known = rows.rollouts.get(rollout_id)
            if known is None:
                known = self._keep(rows, rollout_id, plan, body, by, candidate.release, stable)
            return view(rows, _same(known, body), self._now())

    def get(self, rollout_id: str) -> RolloutView:
        """Return one. Raises NotFoundError."""
        with self._ports.records.transaction() as rows:
            return view(rows, find(rows, rollout_id), self._now())

    def version_of(self, rollout_id: str) -> int:
        """Return a number that grows with each change of the record. Raises NotFoundError."""
        with self._ports.records.transaction() as rows:
            return find(rows, rollout_id).version

    def list(self, model: str, size: int, token: str) -> tuple[Sequence[RolloutView], str]:
        """Return a page, newest first, and the token of the next one.

        Raises:
            InvalidError: The token is not one of ours.
        """
        if token and not (token.isascii() and token.isdigit() and len(token) < 19):  # noqa: PLR2004 - 64 bits
            raise InvalidError(f"page token {token[:40]!r} is unknown: start without one", code="page.token")
        wanted = min(size if size > 0 else _PAGE, _LARGEST_PAGE)
        with self._ports.records.transaction() as rows:
            found = rows.rollouts.page(model, int(token) if token else _NEWEST, wanted + 1)
            views = [view(rows, one, self._now(), brief=True) for one in found[:wanted]]
        return views, str(found[wanted - 1].sequence) if len(found) > wanted else ""

    def explain(self, rollout_id: str) -> tuple[Sequence[tuple[Decision, bool]], str]:
        """Return every decision, whether its replay gives the same bits, and the sentence of now."""
        with self._ports.records.transaction() as rows:
            rollout = find(rows, rollout_id)
            decisions = rows.rollouts.decisions(rollout_id)
            sentence = view(rows, rollout, self._now(), brief=True).sentence
        return [(one, replay_agrees(one.record)) for one in decisions], sentence

    def _keep(
        self, rows: Rows, rollout_id: str, plan: Plan, body: str, by: str, release: int, stable: Arm | None
    ) -> Rollout:
        for segment in plan.segments:
            holder = rows.rollouts.slot_holder(segment, plan.model)
            if holder and not plan.supersede:
                message = f"rollout {holder} of {plan.model} is open on segment {segment}: end it, or supersede it"
                raise PreconditionError(message, code="rollout.slot_taken", params={"rollout": holder})
        known = {segment.name: segment for segment in rows.fleet.segments()}
        seen = starts.traffic(rows, plan, self._now())
        draft = rows.rollouts.add(
            Rollout(
                rollout_id=rollout_id,
                plan=plan,
                body=body,
                created_by=by,
                created=self._now(),
                changed=self._now(),
                stable=stable.digest if stable else "",
                stable_release=stable.release if stable else 0,
                candidate_release=release,
                needed_approvals=max(known[name].approvals for name in plan.segments),
                estimate=starts.estimated(plan, seen, first_release=stable is None),
            )
        )
        return self._submit(rows, draft, by)

    def _submit(self, rows: Rows, draft: Rollout, by: str) -> Rollout:
        if draft.needed_approvals:
            text = f"Waits for {draft.needed_approvals} approval(s)."
            move = Move("submit_for_approval", "create", "operator", "", text, self._now() + APPROVAL_S)
            return self._transitions.apply(rows, draft, move, by=by)
        scheduled = self._transitions.apply(
            rows, draft, Move("submit", "create", "operator", "", "Created; no approval is needed."), by=by
        )
        return starts.start(rows, self._transitions, scheduled)

    def _now(self) -> float:
        return self._ports.clock.now().timestamp()


def find(rows: Rows, rollout_id: str) -> Rollout:
    """Return a rollout. Raises NotFoundError."""
    rollout = rows.rollouts.get(rollout_id)
    if rollout is None:
        message = f"there is no rollout {rollout_id[:100]!r}"
        raise NotFoundError(message, code="rollout.unknown", params={"rollout": rollout_id[:100]})
    return rollout


def _body(plan: Plan) -> str:
    """Return the digest of a plan; one without a shadow has that which releases without shadows gave it."""
    document = asdict(plan)
    if not plan.shadow_s:
        del document["shadow_s"]
    return digest_of(document)


def _same(rollout: Rollout, body: str) -> Rollout:
    if rollout.body != body:
        message = f"rollout id {rollout.rollout_id} is taken by another plan: choose a new id"
        raise ConflictError(message, code="rollout.id_taken", params={"rollout": rollout.rollout_id})
    return rollout
