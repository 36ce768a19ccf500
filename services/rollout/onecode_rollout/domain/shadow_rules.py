"""Decide what follows a shadow: go on, wait, or hold, with the sentence that says why.

Errors convict by the rule of all stages. A difference convicts nobody: a better model differs too. Where most answers
differ a person looks.
"""

import math
from typing import NamedTuple

from onecode_rollout.domain.evaluation import Answer
from onecode_rollout.domain.planner import span
from onecode_rollout.domain.rollout import SHADOW_GATE
from onecode_rollout.domain.sentences import odds, versions
from onecode_rollout.domain.shadow import ENOUGH_PAIRS
from onecode_rollout.domain.situation import Situation


class Outcome(NamedTuple):
    """What has to be done: the fields of a move."""

    event: str
    kind: str
    rule: str
    reason: str
    sentence: str


def shadow_outcome(situation: Situation) -> Outcome | None:
    """Return what follows the shadow now, or None while it lasts."""
    rollout, shadow = situation.rollout, situation.shadow
    preset = rollout.plan.preset
    text = shadow.in_words(*versions(rollout))
    if rollout.overrides.gate == SHADOW_GATE:
        return Outcome("begin", "widen", "operator.gate", "", f"{text} This was accepted by hand.")
    is_over = situation.now - rollout.step_start.at >= rollout.plan.shadow_s
    if is_over and shadow.pairs >= ENOUGH_PAIRS:
        if 2 * shadow.different > shadow.pairs:
            return Outcome("hold", "hold", "shadow.different", "gate", f"{text} A person looks before anybody sees it.")
        return Outcome("begin", "widen", "shadow.pairs", "", text)
    if situation.now - max(situation.last_counted, rollout.changed) >= preset.no_data_after_s:
        held = f"{text} Held after {span(preset.no_data_after_s)}: no data is no evidence."
        return Outcome("hold", "hold", "shadow.no_data", "no_data", held)
    if is_over and situation.now - rollout.changed >= max(preset.limit_s, rollout.plan.shadow_s):
        held = f"{text} {ENOUGH_PAIRS} requests are needed before the first step."
        return Outcome("hold", "hold", "shadow.limit", "inconclusive", held)
    return None


def shadow_worse(situation: Situation, weighed: Answer) -> str:
    """Say that the candidate fails more often than the stable version."""
    rollout = situation.rollout
    limit = math.log(1 / rollout.plan.preset.alpha) + rollout.overrides.shadow
    return (
        f"{situation.shadow.in_words(*versions(rollout))} The odds that it fails more than"
        f" {rollout.plan.preset.r0:g} times as often are {odds(weighed.worse)} (limit {odds(limit)})."
    )
