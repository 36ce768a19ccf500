"""Show data sets: what came in, what each column holds, what was found in it."""

from typing import Any

from fastapi import APIRouter, Request, Response

from onecode.ingestion.v1 import ingestion_pb2 as ingestion
from onecode_common.errors import InvalidError
from onecode_console.domain.charts import histogram
from onecode_console.domain.words import COLUMN_TYPES
from onecode_console.pages.desk import Desk
from onecode_console.pages.phrases import finding_text

_PAGE = 50
_TABS = ("profile", "rows", "versions")
CARD_WIDTH, CARD_HEIGHT = 240, 64
_TOP_VALUES = 6
_TONES = {"error": "bad", "warning": "warn", "info": "grey"}


def install(router: APIRouter, desk: Desk) -> None:
    """Add the list and the page of a data set."""

    @router.get("/data", name="datasets")
    def datasets(request: Request, after: str = "") -> Response:
        found = desk.questions.ask("ingestion.ListDatasets", page_size=_PAGE, page_token=after)
        data = {"nav": "data", "datasets": found.datasets, "next": found.next_page_token}
        return desk.show(request, "datasets", data)

    @router.get("/data/{name}", name="dataset")
    def dataset(request: Request, name: str, v: str = "", tab: str = "profile", offset: str = "0") -> Response:
        data: dict[str, Any] = {"nav": "data", "name": name, "tab": tab if tab in _TABS else "profile"}
        versions = desk.questions.ask("ingestion.ListVersions", dataset=name).versions
        which = {"version_id": v} if v else {"dataset": name}
        version = desk.questions.ask("ingestion.GetVersion", **which).version
        data |= {"version": version, "versions": sorted(versions, key=lambda one: -one.number)}
        data |= {"findings": [_finding(one) for one in version.findings], "types": COLUMN_TYPES}
        data |= _TAB_DATA[str(data["tab"])](desk, version, offset)
        return desk.show(request, "dataset", data)


def _profile(desk: Desk, version: Any, _offset: str) -> dict[str, Any]:
    profile = desk.questions.ask("ingestion.GetProfile", version_id=version.version_id).profile
    roles = {
        version.schema.target: "target",
        version.schema.time_column: "time",
        version.schema.id_column: "id",
    }
    most = max((one.count for one in profile.class_balance), default=0)
    return {
        "profile": profile,
        "cards": [_card(one, profile.rows, roles.get(one.name, "")) for one in profile.columns],
        "classes": [
            {"value": one.value, "count": one.count, "part": one.count / max(1, profile.rows), "bar": one.count / most}
            for one in profile.class_balance
        ],
        "size": (CARD_WIDTH, CARD_HEIGHT),
    }


def _rows(desk: Desk, version: Any, offset: str) -> dict[str, Any]:
    start = _whole(offset)
    found = desk.questions.ask("ingestion.ListRows", version_id=version.version_id, offset=start, limit=_PAGE)
    rows = [[cell.text if cell.HasField("text") else None for cell in row.cells] for row in found.rows]
    return {
        "columns": found.columns,
        "rows": rows,
        "total": found.total,
        "offset": start,
        "before": max(0, start - _PAGE) if start else None,
        "after": start + _PAGE if start + _PAGE < found.total else None,
    }


def _versions(_desk: Desk, _version: Any, _offset: str) -> dict[str, Any]:
    return {}


_TAB_DATA = {"profile": _profile, "rows": _rows, "versions": _versions}


def _card(column: Any, rows: int, role: str) -> dict[str, Any]:
    kind = ingestion.ColumnType.Name(column.type) if column.type in ingestion.ColumnType.values() else ""
    most = max((one.count for one in column.top_values), default=0)
    numbers = {name: getattr(column, name) if column.HasField(name) else None for name in ("min", "max", "mean", "std")}
    return {
        "name": column.name,
        "type": COLUMN_TYPES.get(kind, kind),
        "role": role,
        "missing": column.missing,
        "missing_part": column.missing / rows if rows else 0.0,
        "distinct": column.distinct,
        "about": column.distinct_is_estimate,
        **numbers,
        "median": column.quantiles.get("0.5"),
        "bars": histogram([(bin_.low, bin_.high, bin_.count) for bin_ in column.histogram], CARD_WIDTH, CARD_HEIGHT),
        "values": [
            {"value": one.value, "count": one.count, "bar": one.count / most}
            for one in list(column.top_values)[:_TOP_VALUES]
        ],
        "examples": list(column.examples)[:3],
    }


def _finding(one: Any) -> dict[str, Any]:
    return {
        "text": finding_text(one.code, one.column, one.count, one.detail),
        "tone": _TONES.get(one.severity, "grey"),
        "severity": one.severity,
        "rows": list(one.rows)[:5],
        "code": one.code,
    }


def _whole(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(1 << 62)) - 1:
        message = f"offset is {text[:40]!r}, expected a whole number"
        raise InvalidError(message, code="request.invalid", params={"field": "offset"})
    return int(text)
