"""Say how one process makes others serve what it serves, and what they have counted since they were asked last."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from onecode_serving.domain.routing import Arm, Route


def to_document(
    *,
    routes: Mapping[str, Route],
    installed: Iterable[str],
    missing: Mapping[str, str],
    hidden: Iterable[str],
    reason: str | None,
    interval_s: int,
) -> dict[str, Any]:
    """Return what is served, as a JSON document; equal states give equal documents."""
    return {
        "installed": sorted(installed),
        "routes": [
            {**asdict(routes[name]), "arms": [asdict(arm) for arm in routes[name].arms]} for name in sorted(routes)
        ],
        "missing": dict(missing),
        "hidden": sorted(hidden),
        "reason": reason,
        "interval_s": interval_s,
    }


def routes_of(document: Mapping[str, Any]) -> dict[str, Route]:
    """Return the routes of such a document."""
    found = [_route(entry) for entry in document["routes"]]
    return {route.model: route for route in found}


def _route(entry: Mapping[str, Any]) -> Route:
    shadow = entry["shadow"]
    arms = tuple(Arm(**arm) for arm in entry["arms"])
    return Route(**{**entry, "arms": arms, "shadow": None if shadow is None else Arm(**shadow)})
