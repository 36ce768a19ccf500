"""Show where things stand: the next step, what needs a person, what runs, how services are."""

from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, Request, Response
from google.protobuf.message import Message

from onecode_console.domain.attention import Counts, Need, Seen, needs, next_step
from onecode_console.domain.texts import Text
from onecode_console.domain.words import OPEN_ROLLOUTS, OPEN_RUNS, PEERS, ROLLOUTS, RUNS, word
from onecode_console.pages.desk import Desk
from onecode_console.pages.runs import run_state

_SHOWN = 6
_PAGE = 100


def install(router: APIRouter, desk: Desk) -> None:
    """Add the overview."""

    @router.get("", name="overview")
    def overview(request: Request) -> Response:
        return desk.show(request, "overview", overview_data(desk), live=True)


def overview_data(desk: Desk) -> dict[str, Any]:
    """Return what the template shows."""
    ask = desk.questions.ask
    found = desk.questions.together(
        {
            "datasets": lambda: ask("ingestion.ListDatasets", page_size=_PAGE).datasets,
            "runs": lambda: ask("training.ListRuns", page_size=_PAGE).runs,
            "models": lambda: ask("registry.ListModels").models,
            "rollouts": lambda: ask("rollout.ListRollouts", page_size=_PAGE).rollouts,
            "gateways": lambda: ask("rollout.ListGateways").gateways,
            "services": desk.health.look,
        }
    )
    counts = Counts(*(_count(found[name]) for name in ("datasets", "runs", "models", "rollouts", "gateways")))
    runs, rollouts = found["runs"] or (), found["rollouts"] or ()
    return {
        "nav": "overview",
        "counts": counts,
        "most": _PAGE,
        "step": next_step(counts),
        "needs": _needs(found),
        "running": [
            *(_running_rollout(one) for one in rollouts if one.state in OPEN_ROLLOUTS),
            *(_running_run(one) for one in runs if run_state(one) in OPEN_RUNS),
        ][:_SHOWN],
        "services": [{**one, "label": PEERS[str(one["name"])]} for one in found["services"]],
    }


def _count(things: Sequence[Message] | None) -> int | None:
    return None if things is None else len(things)


def _needs(found: dict[str, Any]) -> list[Need]:
    rollouts = [
        Seen(_title(one), f"rollouts/{one.rollout_id}", one.state, one.reason) for one in found["rollouts"] or ()
    ]
    runs = [Seen(one.model or one.run_id, f"runs/{one.run_id}", run_state(one)) for one in found["runs"] or ()]
    stale = [Seen(one.name, "gateways", "stale") for one in found["gateways"] or () if one.stale]
    away = [Text(PEERS[str(one["name"])]) for one in found["services"] if not one["ready"]]
    return needs(rollouts, runs, stale, away)


def _title(one: Any) -> str:
    model = str(one.plan.model or one.rollout_id)
    return f"{model} v{one.candidate_release}" if one.candidate_release else model


def _running_rollout(one: Any) -> dict[str, Any]:
    steps = len(one.plan.steps)
    return {
        "page": f"rollouts/{one.rollout_id}",
        "name": _title(one),
        "word": word(ROLLOUTS, one.state),
        "kind": "rollout",
        "progress": one.step / steps if steps else 0.0,
        "step": f"{min(one.step + 1, max(1, steps))}/{max(1, steps)}",
    }


def _running_run(one: Any) -> dict[str, Any]:
    return {
        "page": f"runs/{one.run_id}",
        "name": one.model or one.run_id,
        "word": word(RUNS, run_state(one)),
        "kind": "run",
        "progress": one.progress,
        "step": "",
    }
