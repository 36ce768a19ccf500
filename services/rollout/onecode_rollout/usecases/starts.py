"""Begin rollouts: check the plan against what is served now, take the slots, end what is superseded."""

from dataclasses import replace

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, PreconditionError
from onecode_rollout.domain.compatibility import Version, differences
from onecode_rollout.domain.controller import Move
from onecode_rollout.domain.plan import Plan
from onecode_rollout.domain.planner import Estimate, estimate, span
from onecode_rollout.domain.policy import Arm, Entry
from onecode_rollout.domain.rollout import Rollout, share_of
from onecode_rollout.ports import Ports, Rows, Traffic
from onecode_rollout.usecases.transitions import Transitions

TRAFFIC_WINDOW_S = 3600
"""How far back the planner looks for traffic."""


def stable_arm(rows: Rows, plan: Plan) -> Arm | None:
    """Return the version that all segments of a plan serve now; None on a first release.

    Raises:
        NotFoundError: A segment does not exist.
        PreconditionError: The segments serve different versions.
    """
    found: dict[str, Arm | None] = {}
    for segment in plan.segments:
        policy = rows.policies.policy(segment)
        if policy is None:
            message = f"there is no segment {segment}: create it first"
            raise NotFoundError(message, code="segment.unknown", params={"segment": segment})
        found[segment] = _served(policy.entries.get(plan.model))
    digests = {arm.digest if arm is not None else "" for arm in found.values()}
    if len(digests) > 1:
        said = ", ".join(f"{name}: {f'v{arm.release}' if arm else 'nothing'}" for name, arm in found.items())
        message = f"the segments serve different versions of {plan.model} ({said}): release to each group by itself"
        raise PreconditionError(message, code="plan.mixed")
    return next(iter(found.values()))


def traffic(rows: Rows, plan: Plan, now: float) -> Traffic:
    """Return what the model saw in the last hour."""
    return rows.reports.traffic(plan.model, now - TRAFFIC_WINDOW_S)


def estimated(plan: Plan, seen: Traffic, *, first_release: bool) -> Estimate:
    """Return what the plan will need at this traffic."""
    preset = plan.preset
    shares = () if first_release else tuple(share_of(step.share) for step in plan.canary_steps)
    return estimate(shares, preset.params, preset.limit_s, seen.per_second, seen.error_rate)


def check_versions(plan: Plan, stable: Version | None, candidate: Version) -> None:
    """Check that the candidate may follow the stable.

    Raises:
        InvalidError: It is another model's, the same version, not compatible, or a plan without a canary.
    """
    if candidate.model != plan.model:
        message = f"{plan.candidate} is a version of {candidate.model}, not of {plan.model}"
        raise InvalidError(message, code="plan.other_model")
    if stable is None:
        return
    if stable.digest == candidate.digest:
        message = f"v{candidate.release} is what the segments serve already"
        raise InvalidError(message, code="plan.same_version", params={"digest": plan.candidate})
    found = differences(stable, candidate)
    if found:
        message = f"clients of v{stable.release} cannot talk to v{candidate.release}: {'; '.join(found)}"
        raise InvalidError(message, code="plan.incompatible", params={"differences": "; ".join(found)})
    if not plan.canary_steps:
        message = "the only step gives everything to the candidate, so that nothing could be compared"
        raise InvalidError(message, code="plan.no_canary", hint="add a step below 10000, or promote with force later")


def start(rows: Rows, transitions: Transitions, rollout: Rollout) -> Rollout:
    """Start a scheduled rollout if its slots are free, or its plan supersedes; else return it unchanged."""
    plan = rollout.plan
    holders = {rows.rollouts.slot_holder(segment, plan.model) for segment in plan.segments} - {"", rollout.rollout_id}
    if holders and not plan.supersede:
        return rollout
    for rollout_id in sorted(holders):
        other = rows.rollouts.get(rollout_id)
        if other is not None:
            _supersede(rows, transitions, other, rollout)
    try:
        stable = stable_arm(rows, plan)
        if stable is not None and stable.digest == plan.candidate:
            raise PreconditionError(f"v{stable.release} is served already", code="plan.same_version")
    except OnecodeError as error:
        text = f"It cannot start: {error.message}."
        return transitions.apply(rows, rollout, Move("refuse_start", "cancel", "start.refused", "stable_changed", text))
    before = {}
    for segment in plan.segments:
        rows.rollouts.take_slot(segment, plan.model, rollout.rollout_id)
        policy = rows.policies.policy(segment)
        before[segment] = policy.entries.get(plan.model) if policy is not None else None
    prepared = replace(
        rollout,
        before=before,
        stable=stable.digest if stable else "",
        stable_release=stable.release if stable else 0,
    )
    what = (
        f"v{stable.release} → v{rollout.candidate_release}"
        if stable
        else f"first release, v{rollout.candidate_release}"
    )
    first = f", first in shadow for {span(plan.shadow_s)}" if plan.shadow_s and stable else ""
    return transitions.apply(rows, prepared, Move("start", "start", "start", "", f"Started: {what}{first}."))


def _supersede(rows: Rows, transitions: Transitions, old: Rollout, new: Rollout) -> None:
    if old.state == "rolling_back":
        # A version that was convicted is taken back in any case; the new rollout's policy does it.
        rows.rollouts.release_slots(old.rollout_id)
        return
    text = f"Rollout {new.rollout_id} of v{new.candidate_release} takes over."
    transitions.apply(rows, old, Move("supersede", "supersede", "superseded", new.rollout_id, text))


def _served(entry: Entry | None) -> Arm | None:
    if entry is None:
        return None
    return entry.stable or entry.arms[0]


def versions(ports: Ports, plan: Plan, stable: Arm | None) -> tuple[Version | None, Version]:
    """Ask the registry for stable and candidate; outside of any transaction.

    Raises:
        NotFoundError: The registry does not know one of them.
    """
    candidate = ports.registry.version(plan.candidate)
    return (ports.registry.version(stable.digest) if stable is not None else None), candidate
