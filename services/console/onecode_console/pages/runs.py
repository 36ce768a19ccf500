"""Show training runs: how far, which trials, how good, and whether the shipped file answers like the trained one."""

import json
from typing import Any

from fastapi import APIRouter, Request, Response

from onecode.training.v1 import training_pb2 as training
from onecode_console.domain.score_chart import Scored, cost_charts, score_charts
from onecode_console.domain.words import FAMILIES, OPEN_RUNS, RUNS, STAGES, TRIALS, word
from onecode_console.pages.desk import Desk
from onecode_console.pages.numbers import moment_of
from onecode_console.pages.phrases import run_error_text

_PAGE = 50


def install(router: APIRouter, desk: Desk) -> None:
    """Add the list and the page of a run."""

    @router.get("/runs", name="runs")
    def runs(request: Request, after: str = "") -> Response:
        found = desk.questions.ask("training.ListRuns", page_size=_PAGE, page_token=after)
        rows = [run_row(one) for one in found.runs]
        return desk.show(request, "runs", {"nav": "runs", "rows": rows, "next": found.next_page_token})

    @router.get("/runs/{run_id}", name="run")
    def run(request: Request, run_id: str) -> Response:
        one = desk.questions.ask("training.GetRun", run_id=run_id).run
        return desk.show(request, "run", run_data(one), live=True)


def run_state(one: Any) -> str:
    """Return the name of a run's state."""
    return str(training.RunState.Name(one.state)) if one.state in training.RunState.values() else ""


def run_row(one: Any) -> dict[str, Any]:
    """Return a line of the list."""
    return {
        "run": one,
        "word": word(RUNS, run_state(one)),
        "stage": STAGES.get(one.stage, one.stage),
        "best": one.best_score if one.HasField("best_score") else None,
        "release": f"{one.model} v{one.model_release}" if one.model_release else "",
    }


def run_data(one: Any) -> dict[str, Any]:
    """Return what the template of a run shows."""
    state, budget = run_state(one), _budget(one.recipe)
    baseline = one.baseline_score if one.HasField("baseline_score") else None
    scored = [trial for trial in one.trials if trial.HasField("score") and trial.family != "baseline"]
    by_time = [Scored(each.number, each.family, each.score, each.p95_us) for each in scored]
    names = list(STAGES)
    return {
        "nav": "runs",
        "run": one,
        "word": word(RUNS, state),
        "open": state in OPEN_RUNS,
        "error": run_error_text(one.error_code),
        "stages": [(STAGES[name], _stage_mark(name, one.stage, state, names)) for name in names],
        "trials": [_trial(each, one.winner) for each in one.trials],
        "families": FAMILIES,
        "chart": score_charts(by_time, baseline, one.winner),
        "costs": cost_charts(by_time, budget.get("max_p95_us", 0.0), one.winner),
        "baseline": baseline,
        "best": one.best_score if one.HasField("best_score") else None,
        "budget": budget,
        "winner": next((each for each in one.trials if each.number == one.winner and one.winner), None),
        "parity": one.parity if one.HasField("parity") else None,
        "metrics": sorted(one.test_metrics.items()),
        "recipe": _pretty(one.recipe),
        "seconds": _seconds(one),
    }


def _stage_mark(name: str, present: str, state: str, names: list[str]) -> str:
    if state == "RUN_STATE_SUCCEEDED":
        return "done"
    if present not in names:
        return "todo"
    place, here = names.index(name), names.index(present)
    if place < here:
        return "done"
    return "todo" if place > here else ("here" if state in OPEN_RUNS else "stopped")


def _trial(each: Any, winner: int) -> dict[str, Any]:
    optional = ("score", "score_std", "bytes", "p95_us", "fit_seconds")
    values = {name: getattr(each, name) if each.HasField(name) else None for name in optional}
    return {
        **values,
        "number": each.number,
        "family": FAMILIES.get(each.family, each.family),
        "kind": each.family,
        "parameters": _parameters(each.parameters),
        "word": word(TRIALS, each.state),
        "reason": each.reason,
        "winner": bool(winner) and each.number == winner,
    }


def _parameters(text: str) -> str:
    try:
        document = json.loads(text or "{}")
    except ValueError:
        return text
    if not isinstance(document, dict):
        return text
    return ", ".join(f"{name}={value:.4g}" if isinstance(value, float) else f"{name}={value}"
                     for name, value in document.items())  # fmt: skip


def _budget(recipe: str) -> dict[str, float]:
    try:
        budget = json.loads(recipe or "{}").get("budget") or {}
    except (ValueError, AttributeError):
        return {}
    if not isinstance(budget, dict):
        return {}
    return {name: float(value) for name, value in budget.items() if isinstance(value, int | float)}


def _pretty(recipe: str) -> str:
    try:
        return json.dumps(json.loads(recipe), indent=2, ensure_ascii=False)
    except ValueError:
        return recipe


def _seconds(one: Any) -> float | None:
    started, finished = moment_of(one.started), moment_of(one.finished)
    return (finished - started).total_seconds() if started and finished else None
