"""Show the fleet: who serves what, who should serve something else, who was not heard from."""

from typing import Any

from fastapi import APIRouter, Request, Response

from onecode_console.domain.words import GATEWAYS, word
from onecode_console.pages.desk import Desk
from onecode_console.pages.questions import named

_MOST = 1000


def install(router: APIRouter, desk: Desk) -> None:
    """Add the table of gateways."""

    @router.get("/gateways", name="gateways")
    def gateways(request: Request, q: str = "", segment: str = "", only: str = "") -> Response:
        found = desk.questions.together(
            {
                "gateways": lambda: desk.questions.ask("rollout.ListGateways", segment=segment).gateways,
                "segments": lambda: desk.questions.ask("rollout.ListSegments").segments,
                "names": desk.questions.names,
            }
        )
        every = [gateway_row(one, found["names"] or {}) for one in found["gateways"] or ()]
        rows = [row for row in every if _shown(row, q.strip().lower(), only)]
        data = {
            "nav": "gateways",
            "away": found["gateways"] is None,
            "rows": rows[:_MOST],
            "hidden": max(0, len(rows) - _MOST),
            "segments": found["segments"] or (),
            "asked": {"q": q, "segment": segment, "only": only},
            "totals": _totals(every),
        }
        return desk.show(request, "gateways", data, live=True)


def gateway_row(one: Any, names: dict[str, str]) -> dict[str, Any]:
    """Return a line of the table."""
    serves = {model: digest for model, digest in sorted(one.serving.items()) if digest}
    wanted = {model: digest for model, digest in sorted(one.desired.items()) if digest}
    return {
        "one": one,
        "word": word(GATEWAYS, one.state),
        "serves": [named(names, digest) for digest in serves.values()],
        "wanted": [named(names, digest) for digest in wanted.values()],
        "drift": one.state == "active" and any(serves.get(model) != digest for model, digest in wanted.items()),
        "ill": bool(one.health) and one.health != "ok",
        "heard": bool(one.last_heard.seconds),
    }


def _shown(row: dict[str, Any], text: str, only: str) -> bool:
    one = row["one"]
    if text and text not in f"{one.name} {one.gateway_id} {one.segment}".lower():
        return False
    return {"stale": bool(one.stale), "drift": bool(row["drift"])}.get(only, True)


def _totals(rows: list[dict[str, Any]]) -> dict[str, int]:
    return {
        "all": len(rows),
        "stale": sum(bool(row["one"].stale) for row in rows),
        "drift": sum(bool(row["drift"]) for row in rows),
    }
