"""Show releases: the state in one sentence, the evidence drawn, who is affected, and what an operator may do."""

from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.responses import RedirectResponse

from onecode.rollout.v1 import rollout_pb2 as pb
from onecode_common.errors import ConflictError, NotFoundError, PreconditionError
from onecode_console.domain.evidence_chart import Limits, Sample, evidence_charts, odds, remaining
from onecode_console.domain.rollout_story import Arm, RolloutFacts, story
from onecode_console.domain.shadow_story import Shadowed
from onecode_console.domain.texts import Text, text
from onecode_console.domain.words import ACTIONS, DECISIONS, OPEN_ROLLOUTS, ROLLOUTS, RULES, word
from onecode_console.pages.desk import Desk
from onecode_console.pages.phrases import error_text
from onecode_console.pages.questions import named
from onecode_console.visit import current_visitor

_PAGE = 50
_MAX_REASON = 500
_MOST_POINTS = 240
_ATTENTION = ("paused", "awaiting_approval", "rollback_incomplete")
_FIRST = ("lost", "unreached", "rejected", "rolled_back", "timed_out", "refused")

_SPLIT = ("running", "paused", "promoting", "aborted")
_TAKEN = ("switching", "probation", "committed")

_METHODS = {
    "pause": ("PauseRollout", ()),
    "resume": ("ResumeRollout", ("override",)),
    "promote": ("PromoteRollout", ("force",)),
    "rollback": ("RollbackRollout", ()),
    "abort": ("AbortRollout", ()),
    "cancel": ("CancelRollout", ()),
    "approve": ("ApproveRollout", ()),
    "reject": ("ApproveRollout", ()),
}


def install(router: APIRouter, desk: Desk) -> None:
    """Add the list, the page of a rollout, and its buttons."""

    @router.get("/rollouts", name="rollouts")
    def rollouts(request: Request, after: str = "") -> Response:
        found = desk.questions.ask("rollout.ListRollouts", page_size=_PAGE, page_token=after)
        rows = [rollout_row(one) for one in found.rollouts]
        data = {"nav": "rollouts", "rows": rows, "next": found.next_page_token}
        return desk.show(request, "rollouts", data)

    @router.get("/rollouts/{rollout_id}", name="rollout")
    def rollout(request: Request, rollout_id: str) -> Response:
        return desk.show(request, "rollout", _data(desk, rollout_id), live=True)

    @router.post("/rollouts/{rollout_id}/{action}", name="rollout action")
    def act(request: Request, rollout_id: str, action: str) -> Response:
        if action not in _METHODS:
            message = f"no action {action[:40]!r}"
            raise NotFoundError(message, code="page.unknown")
        here = f"/p/{desk.pages.project}/rollouts/{rollout_id}"
        try:
            _send(desk, rollout_id, action, request.state.form)
        except (ConflictError, PreconditionError) as error:
            # Somebody was faster, or the state has moved on: say so above the present state.
            data = {**_data(desk, rollout_id), "notice": error_text(error)}
            return desk.pages.draw(request, "rollout.html", data, 409)
        return RedirectResponse(here, 303)


def _send(desk: Desk, rollout_id: str, action: str, form: dict[str, str]) -> None:
    method, switches = _METHODS[action]
    fields: dict[str, Any] = {name: form.get(name) == "yes" for name in switches}
    if action == "reject":
        fields["reject"] = True
    if action != "cancel":
        fields["reason"] = form.get("reason", "").strip()[:_MAX_REASON] or f"{current_visitor().subject}: {action}"
    desk.questions.ask(f"rollout.{method}", rollout_id=rollout_id, **fields)


def _data(desk: Desk, rollout_id: str) -> dict[str, Any]:
    ask = desk.questions.ask
    found = desk.questions.together(
        {
            "rollout": lambda: ask("rollout.GetRollout", rollout_id=rollout_id).rollout,
            "told": lambda: ask("rollout.ExplainRollout", rollout_id=rollout_id),
            "names": desk.questions.names,
        }
    )
    one = found["rollout"]
    if one is None:
        one = ask("rollout.GetRollout", rollout_id=rollout_id).rollout
    return rollout_data(one, found["told"], found["names"] or {})


def rollout_row(one: Any) -> dict[str, Any]:
    """Return a line of the list."""
    return {
        "one": one,
        "word": word(ROLLOUTS, one.state),
        "attention": one.state in _ATTENTION,
        "facts": facts_of(one),
        "segments": ", ".join(one.plan.segments),
    }


def facts_of(one: Any) -> RolloutFacts:
    """Return what the sentence is made from."""
    return RolloutFacts(
        state=one.state,
        reason=one.reason,
        step=one.step,
        steps=tuple(step.share for step in one.plan.steps),
        by_gateways=one.plan.unit == pb.UNIT_GATEWAY,
        candidate=_name(one.candidate_release, one.plan.candidate),
        stable=_name(one.stable_release, one.stable),
        candidate_arm=Arm(one.candidate_count.requests, one.candidate_count.errors),
        stable_arm=Arm(one.stable_count.requests, one.stable_count.errors),
        remaining=remaining(_samples(one), _limits(one)) if one.state == "running" else 0,
        shadow=_shadow(one.shadow) if one.HasField("shadow") else None,
    )


def _shadow(found: Any) -> Shadowed:
    return Shadowed(
        found.pairs,
        found.different,
        found.failed,
        found.dropped,
        found.largest_difference,
        found.running,
        found.needed_pairs,
    )


def _name(release: int, digest: str) -> str:
    return f"v{release}" if release else digest.removeprefix("sha256:")[:12]


def rollout_data(one: Any, told: Any, names: dict[str, str]) -> dict[str, Any]:
    """Return what the template of a rollout shows."""
    facts = facts_of(one)
    samples = _samples(one)
    members = sorted((_member(each, one, names) for each in one.members), key=lambda each: each["rank"])
    decisions = list(told.decisions) if told is not None else []
    return {
        "nav": "rollouts",
        "one": one,
        "facts": facts,
        "word": word(ROLLOUTS, one.state),
        "attention": one.state in _ATTENTION,
        "open": one.state in OPEN_ROLLOUTS,
        "sentences": story(facts),
        "charts": evidence_charts(samples, _limits(one)),
        "last": samples[-1] if samples else None,
        "points": [(each.requests, _reading(each)) for each in samples[-_MOST_POINTS:]],
        "members": members,
        "on_candidate": sum(each["on_candidate"] for each in members),
        "may": frozenset(one.next_actions),
        "steps": [_step(index, each, one) for index, each in enumerate(one.plan.steps)],
        "decisions": [_decision(each) for each in reversed(decisions)],
        "told": told is not None,
    }


def _samples(one: Any) -> list[Sample]:
    return [
        Sample(each.candidate_requests, each.log_e_worse, each.log_e_better, each.log_e_floor, each.step)
        for each in one.evidence
    ]


def _limits(one: Any) -> Limits:
    return Limits(one.threshold_rollback, one.threshold_promote, one.threshold_floor)


def _reading(each: Sample) -> Text:
    return text(
        "%(requests)s candidate requests, step %(step)s: worse %(worse)s, good enough %(better)s",
        requests=each.requests,
        step=str(each.step + 1),
        worse=odds(each.worse),
        better=odds(max(each.better, each.floor)),
    )


def _member(each: Any, one: Any, names: dict[str, str]) -> dict[str, Any]:
    # Where requests are split, a member serves both versions and reports the one in use.
    has_both = one.state in _SPLIT and each.action in _TAKEN
    return {
        "one": each,
        "word": word(ACTIONS, each.action),
        "serves": named(names, each.served_digest) if each.served_digest else "",
        "on_candidate": has_both or (bool(each.served_digest) and each.served_digest == one.plan.candidate),
        "rank": (each.action not in _FIRST, each.segment, each.source),
    }


def _step(index: int, each: Any, one: Any) -> dict[str, Any]:
    over = one.state in ("succeeded", "promoting") or index < one.step
    last = index == one.step and one.started.seconds and not one.shadow.running
    return {
        "share": each.share / 10_000,
        "manual": each.manual_gate,
        "observe": each.min_observe_seconds or one.plan.preset.min_observe_seconds,
        "mark": "done" if over else "here" if last else "todo",
    }


def _decision(each: Any) -> dict[str, Any]:
    return {
        "one": each,
        "label": DECISIONS.get(each.kind, each.kind),
        "before": word(ROLLOUTS, each.from_state),
        "after": word(ROLLOUTS, each.to_state),
        "rule": RULES.get(each.rule, each.rule) if each.by == "rule" else "",
    }
