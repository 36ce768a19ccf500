"""Say in one sentence what a rollout does and whether anybody must do something: the first thing read at 3 a.m."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onecode_console.domain import shadow_story
from onecode_console.domain.shadow_story import Shadowed
from onecode_console.domain.texts import N_, Share, Text, literal, text

_WHOLE = 10_000


@dataclass(frozen=True, slots=True)
class Arm:
    """What one of the two versions answered so far."""

    requests: int
    errors: int

    @property
    def rate(self) -> Share:
        """Bad answers per request."""
        return Share(self.errors / self.requests if self.requests else 0.0)


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """What the sentence is made from.

    Attributes:
        state: As in the contract, lower case.
        reason: Of a pause or rollback.
        step: Index of the present step.
        steps: Share of each step in basis points.
        by_gateways: Steps are parts of the gateways, not of the requests.
        candidate: Name of the version on trial, for example ``v2``.
        stable: Name of the version in use; empty on a first release.
        candidate_arm: Counts of the version on trial.
        stable_arm: Counts of the version in use.
        remaining: Candidate requests still needed at the present pace; 0 = unknown.
        shadow: What was found while the candidate answered nobody; None where the plan has no shadow.
    """

    state: str
    reason: str
    step: int
    steps: tuple[int, ...]
    by_gateways: bool
    candidate: str
    stable: str
    candidate_arm: Arm
    stable_arm: Arm
    remaining: int = 0
    shadow: Shadowed | None = None

    @property
    def in_shadow(self) -> Shadowed | None:
        """What is found now, if the candidate answers nobody yet."""
        return self.shadow if self.shadow is not None and self.shadow.running else None

    @property
    def share(self) -> Share:
        """Part of the unit that the present step gives to the candidate."""
        if not self.steps:
            return Share(1.0)
        return Share(self.steps[max(0, min(self.step, len(self.steps) - 1))] / _WHOLE)

    @property
    def share_now(self) -> Share:
        """Part of the unit that the candidate gets at this moment."""
        if self.in_shadow is not None:
            return Share(0.0)
        if self.state in ("promoting", "succeeded"):
            return Share(1.0)
        return self.share if self.state in ("running", "paused", "aborted") else Share(0.0)


NOTHING_TO_DO = Text(N_("There is nothing for you to do now."))

_PAUSES: Mapping[str, tuple[str, str]] = {
    "operator": (
        N_("Paused by an operator in step %(step)s of %(steps)s (%(share)s)."),
        N_("Resume it when you are ready, or roll back."),
    ),
    "no_data": (
        N_("Held at %(share)s: no candidate requests arrive. No data is no evidence."),
        N_("Check that traffic reaches the targets; it goes on by itself when data comes."),
    ),
    "invalid": (
        N_("Held at %(share)s: the requests were not split as ordered, so their counts prove nothing."),
        N_("Look for a gateway that reports wrongly; then resume with a reason, or roll back."),
    ),
    "inconclusive": (
        N_("Held at %(share)s: the time limit has passed without a clear verdict."),
        N_("Decide: promote with a reason, or roll back."),
    ),
    "outage": (
        N_("Held at %(share)s: both versions fail alike, most likely because of something outside."),
        N_("Mend the cause outside; then resume."),
    ),
    "bad": (
        N_("Held at %(share)s: version %(candidate)s answers worse than %(stable)s."),
        N_("Decide: roll back, or resume with a reason."),
    ),
    "gate": (
        N_("Step %(step)s of %(steps)s has passed and waits for a person."),
        N_("Resume to go on, or roll back."),
    ),
    "refused": (
        N_("Held at %(share)s: many gateways refuse the version."),
        N_("Look at the gateways below."),
    ),
    "quorum": (
        N_("All requests go to %(candidate)s, but too few gateways have confirmed it."),
        N_("Look at the gateways that are missing; promote with force to end it without them."),
    ),
}

_CAUSES: Mapping[str, str] = {
    "operator": N_("an operator asked for it"),
    "errors": N_("version %(candidate)s fails more often"),
    "golden": N_("version %(candidate)s fails its golden cases"),
    "install": N_("version %(candidate)s cannot be installed"),
    "load": N_("version %(candidate)s cannot be loaded"),
    "latency": N_("version %(candidate)s is too slow"),
    "memory": N_("version %(candidate)s needs too much memory"),
    "crash": N_("version %(candidate)s crashes"),
    "bad": N_("version %(candidate)s fails more often"),
}


def story(facts: RolloutFacts) -> list[Text]:
    """Return sentences: what happens, what was counted, and, always last, what there is to do."""
    return _STORIES.get(facts.state, _other)(facts)


def _counted(facts: RolloutFacts) -> list[Text]:
    candidate, stable = facts.candidate_arm, facts.stable_arm
    if facts.in_shadow is not None:
        return [shadow_story.found(facts.candidate, facts.stable, facts.in_shadow)]
    if not candidate.requests and not stable.requests:
        return [text("No requests were counted yet.")]
    if not facts.stable:
        return [
            text(
                "%(candidate)s failed on %(errors)s of %(requests)s requests (%(rate)s).",
                candidate=facts.candidate,
                errors=candidate.errors,
                requests=candidate.requests,
                rate=candidate.rate,
            )
        ]
    return [
        text(
            "Candidate %(candidate)s failed on %(errors)s of %(requests)s requests (%(rate)s);"
            " %(stable)s in use on %(stable_errors)s of %(stable_requests)s (%(stable_rate)s).",
            candidate=facts.candidate,
            errors=candidate.errors,
            requests=candidate.requests,
            rate=candidate.rate,
            stable=facts.stable,
            stable_errors=stable.errors,
            stable_requests=stable.requests,
            stable_rate=stable.rate,
        )
    ]


def _step_values(facts: RolloutFacts) -> dict[str, str | Share]:
    return {
        "step": str(facts.step + 1),
        "steps": str(max(1, len(facts.steps))),
        "share": facts.share,
        "candidate": facts.candidate,
        "stable": facts.stable or "-",
    }


def _running(facts: RolloutFacts) -> list[Text]:
    if not facts.stable:
        head = text(
            "First release of %(candidate)s: golden cases and probation decide, there is nothing to compare with.",
            candidate=facts.candidate,
        )
        return [head, *_counted(facts), NOTHING_TO_DO]
    if facts.in_shadow is not None:
        head = shadow_story.running(facts.candidate)
        return [head, *_counted(facts), *shadow_story.missing(facts.in_shadow), NOTHING_TO_DO]
    words = (
        N_("Running, step %(step)s of %(steps)s (%(share)s of the gateways).")
        if facts.by_gateways
        else N_("Running, step %(step)s of %(steps)s (%(share)s of the requests).")
    )
    more = []
    if facts.remaining:
        more = [text("About %(requests)s more candidate requests are needed.", requests=facts.remaining)]
    return [Text(words, _step_values(facts)), *_counted(facts), *more, NOTHING_TO_DO]


def _paused(facts: RolloutFacts) -> list[Text]:
    known = {**_PAUSES, **shadow_story.HELD} if facts.in_shadow is not None else _PAUSES
    what, todo = known.get(
        facts.reason,
        (N_("Paused in step %(step)s of %(steps)s (%(share)s)."), N_("Resume it, or roll back.")),
    )
    values = _step_values(facts)
    return [Text(what, values), *_counted(facts), Text(todo, values)]


def _promoting(facts: RolloutFacts) -> list[Text]:
    head = text(
        "Good enough: all requests go to %(candidate)s now; gateways confirm it after their probation.",
        candidate=facts.candidate,
    )
    return [head, *_counted(facts), NOTHING_TO_DO]


def _why(facts: RolloutFacts) -> Text:
    known = _CAUSES.get(facts.reason)
    if known:
        return Text(known, {"candidate": facts.candidate})
    return literal(facts.reason) if facts.reason else text("see the decisions")


def _rolling_back(facts: RolloutFacts) -> list[Text]:
    head = text("Going back to %(stable)s: %(why)s.", stable=facts.stable or "-", why=_why(facts))
    return [head, *_counted(facts), NOTHING_TO_DO]


def _rolled_back(facts: RolloutFacts) -> list[Text]:
    head = text("Rolled back to %(stable)s: %(why)s.", stable=facts.stable or "-", why=_why(facts))
    return [head, *_counted(facts), text("Look at the decisions below before you release again.")]


def _incomplete(facts: RolloutFacts) -> list[Text]:
    head = text("Rolled back to %(stable)s, but some gateways were not reached.", stable=facts.stable or "-")
    return [head, *_counted(facts), text("Look at the gateways below that were not heard from.")]


def _succeeded(facts: RolloutFacts) -> list[Text]:
    head = text("Released: %(candidate)s is served after probation.", candidate=facts.candidate)
    return [head, *_counted(facts), NOTHING_TO_DO]


def _plain(message: str, todo: Text = NOTHING_TO_DO) -> Callable[[RolloutFacts], list[Text]]:
    def tell(facts: RolloutFacts) -> list[Text]:
        return [Text(message, _step_values(facts)), todo]

    return tell


def _other(facts: RolloutFacts) -> list[Text]:
    return [text("State: %(state)s.", state=facts.state or "-"), *_counted(facts), NOTHING_TO_DO]


_STORIES: Mapping[str, Callable[[RolloutFacts], list[Text]]] = {
    "draft": _plain(N_("This is a draft; nothing was released."), Text(N_("Submit it or cancel it."))),
    "awaiting_approval": _plain(
        N_("Nothing was released yet; it waits for approval."), Text(N_("Somebody else than the author must approve."))
    ),
    "scheduled": _plain(N_("It starts as soon as its turn comes.")),
    "running": _running,
    "paused": _paused,
    "promoting": _promoting,
    "rolling_back": _rolling_back,
    "rollback_incomplete": _incomplete,
    "succeeded": _succeeded,
    "rolled_back": _rolled_back,
    "aborted": _plain(
        N_("Aborted: the split stays as it is (%(share)s on %(candidate)s) until the next release."),
        Text(N_("Start another release to end the split.")),
    ),
    "superseded": _plain(N_("A newer release has taken its place.")),
    "rejected": _plain(N_("Rejected: nothing was released.")),
    "canceled": _plain(N_("Canceled: nothing was released.")),
}
