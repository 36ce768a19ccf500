"""Say in one sentence what is going on, and always whether a person must do anything."""

import math
from collections.abc import Sequence

from onecode_rollout.domain.evaluation import (
    GATE_LEVEL,
    GATE_RATES,
    GATE_RATIOS,
    Answer,
    Interval,
    totals,
)
from onecode_rollout.domain.members import Installs, Member, has_taken
from onecode_rollout.domain.planner import clean_requests_needed, requests_needed, span
from onecode_rollout.domain.rollout import Rollout, share_of
from onecode_rollout.domain.shadow import ENOUGH_PAIRS
from onecode_rollout.domain.situation import Situation, Suspect

_LARGE = 13.8
_NAMED = 4

NOTHING_TO_DO = "Nothing to do."


def percent(part: int, whole: int) -> str:
    """Return ``3 of 120 (2.5 %)``."""
    share = f" ({100 * part / whole:.2g} %)" if whole else ""
    return f"{part:,} of {whole:,}{share}"


def odds(log_e: float) -> str:
    """Return log odds for people: ``25:1``; huge and tiny ones as powers of ten."""
    if abs(log_e) > _LARGE:
        return f"10^{log_e / math.log(10):.0f}:1"
    value = math.exp(log_e)
    return f"{value:,.0f}:1" if value >= 10 else f"{value:.2g}:1"  # noqa: PLR2004 - one digit is not enough below


def versions(rollout: Rollout) -> tuple[str, str]:
    """Return the names of candidate and stable: ``v2``, ``v1``."""
    return f"v{rollout.candidate_release}", f"v{rollout.stable_release}" if rollout.stable else "nothing"


def arms(rollout: Rollout, intervals: Sequence[Interval]) -> str:
    """Return the bare counts of both arms."""
    sums = totals(intervals)
    candidate, stable = versions(rollout)
    return f"candidate {candidate} failed {percent(sums.k_c, sums.n_c)}, stable {stable} {percent(sums.k_b, sums.n_b)}"


def install_failed(failed: Sequence[tuple[str, str]], outcomes: int, log_e: float, limit: float) -> str:
    """Say that too many installations failed."""
    return (
        f"{percent(len(failed), outcomes)} installations failed: {_causes(failed)}; the odds that more than 2 % fail"
        f" are {odds(log_e)} (limit {odds(limit)})."
    )


def nobody_left(failed: Sequence[tuple[str, str]], refused: Sequence[tuple[str, str]]) -> str:
    """Say that no member can serve the candidate."""
    return f"No member can serve the candidate: {_causes((*failed, *refused))}."


def errors_worse(rollout: Rollout, intervals: Sequence[Interval], weighed: Answer) -> str:
    """Say that the candidate fails more often."""
    return (
        f"The {arms(rollout, intervals)}: the odds that it is worse than {rollout.plan.preset.r0:g} times are"
        f" {odds(weighed.worse)} (limit {odds(math.log(1 / rollout.plan.preset.alpha) + rollout.overrides.worse)})."
    )


def good_enough(rollout: Rollout, intervals: Sequence[Interval], weighed: Answer) -> tuple[str, str]:
    """Say that promotion is proven; return also the rule."""
    limit = odds(rollout.plan.preset.params.promote_at)
    if weighed.better >= rollout.plan.preset.params.promote_at:
        why = f"the odds against {rollout.plan.preset.r1:g} times worse are {odds(weighed.better)} (limit {limit})"
        return f"The {arms(rollout, intervals)}: {why}.", "errors.better"
    floor = f"{100 * rollout.plan.preset.floor:.2g} %"
    why = f"the odds that it fails less often than {floor} are {odds(weighed.floor)} (limit {limit})"
    return f"The {arms(rollout, intervals)}: {why}.", "errors.floor"


def gate_passed(rollout: Rollout, intervals: Sequence[Interval], weighed: Answer) -> tuple[str, str]:
    """Say that the step may be left; return also the rule."""
    gate = min(rollout.step, len(GATE_RATIOS) - 1)
    if weighed.gate_ratio >= GATE_LEVEL:
        why = f"the odds against {GATE_RATIOS[gate]:g} times worse are {odds(weighed.gate_ratio)}"
        rule = "errors.gate_ratio"
    else:
        why = f"the odds that it fails less often than {100 * GATE_RATES[gate]:g} % are {odds(weighed.gate_rate)}"
        rule = "errors.gate_rate"
    return f"The {arms(rollout, intervals)}: {why} (limit {odds(GATE_LEVEL)}).", rule


def wave_passed(counts: Installs, log_e: float) -> str:
    """Say that a wave of gateways went well enough."""
    return f"{percent(len(counts.failed), counts.outcomes)} installations failed: the gate's odds are {odds(log_e)}."


def too_few_members(members: int, counts: Installs) -> str:
    """Say why a person opens the gate of a small fleet."""
    return (
        f"{members} members are too few to prove a failure rate, so the gate is opened by hand:"
        f" {percent(len(counts.failed), counts.outcomes)} installations failed."
    )


def not_believed(suspects: Sequence[Suspect]) -> str:
    """Say whose counters are dropped."""
    named = "; ".join(f"{one.source}: {one.cause}" for one in suspects[:_NAMED])
    return f"Counters cannot be believed ({named}): the source counts for neither version, nothing widens."


def misallocated(log_e: float) -> str:
    """Say that the split is not the planned one."""
    return f"The requests are not split as planned (odds {odds(log_e)}): nothing widens until the cause is known."


def refusals(refused: Sequence[tuple[str, str]]) -> str:
    """Say who refused the candidate."""
    return f"{len(refused)} members refused the candidate: {_causes(refused)}."


def no_data(after_s: int) -> str:
    """Say that there is no evidence."""
    return f"For {span(after_s)} no interval saw both versions: held. No data is no evidence."


def inconclusive(rollout: Rollout, intervals: Sequence[Interval]) -> str:
    """Say that the limit was reached."""
    return f"After {span(rollout.plan.preset.limit_s)} nothing is proven: the {arms(rollout, intervals)}."


def succeeded(rollout: Rollout, members: Sequence[Member]) -> str:
    """Say who serves the candidate, and who not yet."""
    taken = sum(has_taken(member, rollout) for member in members)
    late = [member.source for member in members if not has_taken(member, rollout)]
    tail = f"; {', '.join(late[:_NAMED])} follow when they return" if late else ""
    return f"{taken} of {len(members)} members answer with v{rollout.candidate_release} after probation{tail}."


def rolled_back(rollout: Rollout) -> str:
    """Say that the candidate is gone."""
    if not rollout.stable:
        return f"No reachable member serves v{rollout.candidate_release}; the model is out of the policy."
    return f"Every affected member that is reachable serves v{rollout.stable_release} again."


def _causes(pairs: Sequence[tuple[str, str]]) -> str:
    named = ", ".join(f"{source} ({cause or 'no cause given'})" for source, cause in pairs[:_NAMED])
    more = len(pairs) - _NAMED
    return f"{named} and {more} more" if more > 0 else named


def now_sentence(situation: Situation, weighed: Answer) -> str:
    """Return what an operator needs first: state, numbers, what is missing, and what to do."""
    rollout = situation.rollout
    candidate, stable = versions(rollout)
    if rollout.state == "running":
        return _running(situation, weighed)
    texts = {
        "awaiting_approval": (
            f"Waits for {rollout.needed_approvals - len(rollout.approvals)} more approval(s) by somebody other than"
            f" {rollout.created_by}."
        ),
        "scheduled": (
            f"{candidate} starts"
            f"{'' if situation.slots_free else ' when the rollout that is open on its segments has ended'}."
            f" {NOTHING_TO_DO}"
        ),
        "paused": (f"Held ({rollout.reason}), exposure is frozen: {_found(situation)} {_todo(rollout)}"),
        "promoting": f"{candidate} goes to everybody: {_progress(situation)}. {_promoting_todo(situation)}",
        "rolling_back": f"{candidate} is taken back ({rollout.reason}), {stable} returns. {NOTHING_TO_DO}",
        "rollback_incomplete": (
            f"{candidate} was taken back ({rollout.reason}), but some members were not heard: look at them."
        ),
    }
    return texts.get(rollout.state) or _ended(rollout, candidate, stable)


def _promoting_todo(situation: Situation) -> str:
    failed = situation.counts.failed
    if not failed:
        return NOTHING_TO_DO
    return f"Look at {_causes(failed)}; or pause and promote with force to end without them."


def _running(situation: Situation, weighed: Answer) -> str:
    rollout = situation.rollout
    if rollout.first_release:
        return f"First release of {versions(rollout)[0]}. {NOTHING_TO_DO}"
    if rollout.in_shadow:
        return f"Running in shadow, nobody is answered by it. {_found(situation)} {_left(situation)} {NOTHING_TO_DO}"
    share = share_of(rollout.step_start.width)
    head = (
        f"Running, step {rollout.step + 1} of {len(rollout.plan.steps)} ({100 * share:g} % of"
        f" {rollout.plan.unit}s): {arms(rollout, situation.intervals)}."
    )
    if rollout.plan.unit == "gateway":
        return f"{head} {_progress(situation).capitalize()}. {NOTHING_TO_DO}"
    return f"{head} {_missing(situation, weighed)} {NOTHING_TO_DO}"


def _found(situation: Situation) -> str:
    rollout = situation.rollout
    if rollout.in_shadow:
        return situation.shadow.in_words(*versions(rollout))
    return f"{arms(rollout, situation.intervals)}."


def _left(situation: Situation) -> str:
    """Say what the shadow still needs before the first step."""
    plan, missing = situation.rollout.plan, ENOUGH_PAIRS - situation.shadow.pairs
    seconds = plan.shadow_s - (situation.now - situation.rollout.step_start.at)
    parts = [f"{span(seconds)} more"] if seconds > 0 else []
    parts += [f"{missing:,} more requests"] if missing > 0 else []
    return f"The first step waits for {' and '.join(parts)}." if parts else "The first step begins."


def _missing(situation: Situation, weighed: Answer) -> str:
    rollout, preset = situation.rollout, situation.rollout.plan.preset
    if not situation.step_is_observed:
        left = rollout.plan.min_observe_s(rollout.step) - situation.step_observed_s
        return f"The step is observed for {span(left)} more."
    sums = totals(situation.intervals)
    gate = min(rollout.step, len(GATE_RATIOS) - 1)
    share = share_of(rollout.step_start.width)
    if rollout.on_last_step:
        goal, level, null = "to promote", preset.beta / 2, preset.r1
        rate, have = preset.floor, max(weighed.better, weighed.floor, 0.0)
    else:
        goal, level, null = "to widen", math.exp(-GATE_LEVEL), GATE_RATIOS[gate]
        rate, have = GATE_RATES[gate], max(weighed.gate_ratio, weighed.gate_rate, 0.0)
    errors = (sums.k_c + sums.k_b) / max(1, sums.n_c + sums.n_b)
    by_rate = clean_requests_needed(rate, level) - sums.n_c if not sums.k_c else math.inf
    by_ratio = share * requests_needed(level, errors, share, 1.0, null) if errors else math.inf
    part = max(0.0, 1 + have / math.log(level))
    needed = min(max(0.0, by_rate), by_ratio * part)
    if needed in (0.0, math.inf):
        return ""
    return f"About {needed:,.0f} more candidate requests are needed {goal}{_time(situation, needed)}."


def _time(situation: Situation, needed: float) -> str:
    recent = [one for one in situation.intervals if one.start >= situation.rollout.step_start.at][-10:]
    seen = totals(recent).n_c
    if not seen:
        return ""
    seconds = len(recent) * situation.rollout.plan.preset.interval_s
    return f", about {span(needed * seconds / seen)}"


def _progress(situation: Situation) -> str:
    counts = situation.counts
    return (
        f"{counts.committed} of {len(situation.members)} members have committed it, {counts.open} are under way,"
        f" {len(counts.failed)} failed"
    )


def _todo(rollout: Rollout) -> str:
    return {
        "operator": "Resume, promote or roll back.",
        "no_data": "It goes on by itself when both versions get requests; nothing to do unless traffic is expected.",
        "gate": "Look at the evidence and resume to widen, or roll back.",
        "bad": "Decide: roll back, or resume with override and a reason"
        + (" (it rolls back by itself otherwise)." if rollout.due else "."),
        "invalid": "Find the cause, then resume with override and a reason, or roll back.",
        "inconclusive": "Resume to observe longer, promote with force, or roll back.",
        "outage": "Look at the network of the silent members, then resume.",
        "refused": "Look at why they refuse, then resume or roll back.",
        "quorum": "Promote with force to end it with stragglers, or roll back.",
    }.get(rollout.reason, "Resume or roll back.")


def _ended(rollout: Rollout, candidate: str, stable: str) -> str:
    return {
        "succeeded": f"Released: {candidate} is stable. {NOTHING_TO_DO}",
        "rolled_back": f"Rolled back ({rollout.reason}): {stable} is served. Nothing to do but to look at {candidate}.",
        "aborted": "Ended with the split as it is: start a new rollout to unite the segment.",
        "superseded": f"A newer rollout took over ({rollout.reason}). {NOTHING_TO_DO}",
        "rejected": f"Rejected ({rollout.reason}). {NOTHING_TO_DO}",
        "canceled": f"Canceled ({rollout.reason}). {NOTHING_TO_DO}",
    }.get(rollout.state, "Not submitted yet.")
