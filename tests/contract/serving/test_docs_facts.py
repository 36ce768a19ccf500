"""What the how-to pages of serving say about settings, limits, errors and metrics is what the code has."""

import ast
import functools
import json
import re
from collections.abc import Iterator
from dataclasses import MISSING, fields
from types import SimpleNamespace
from typing import Any

import pytest
from docs_pages import HOW_TO, PAGES, ROOT, blocks, rows, settings, text_of

from onecode_common import errors
from onecode_common.clock import SystemClock
from onecode_edge.settings import EdgeSettings
from onecode_inference.settings import InferenceSettings
from onecode_serving.counters import Counters
from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.options import CacheOptions, LogOptions, WindowOptions, parse_options
from onecode_serving.domain.spans import Times, Told, Version, http_face, rpc_face, spans_of
from onecode_serving.domain.tenants import parse_tenants
from onecode_serving.http1.limits import Http1Limits
from onecode_serving.http2.limits import Http2Limits
from onecode_serving.listen.peers import ListenCounts
from onecode_serving.metrics import ServingCollector
from onecode_serving.rest.errors import status_of as http_status_of
from onecode_serving.rpc import status

_UNITS = {"": 1, "s": 1, "KiB": 1 << 10, "MiB": 1 << 20}
_STATUSES = re.compile(r"^(UN[A-Z]+|[A-Z]+_[A-Z_]+|INTERNAL) (\d{3})$")
_FAMILIES: dict[str, type[errors.OnecodeError]] = {
    "input": errors.InvalidError,
    "limit": errors.ExhaustedError,
    "model": errors.OnecodeError,
}
_SERVING = ROOT / "libs" / "serving" / "onecode_serving"


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_short_and_its_links_lead_somewhere(page: str) -> None:
    text = text_of(page)
    assert text.count("\n") <= 160
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([\w-]+))?\)", text):
        found = (HOW_TO / target).resolve() if target else HOW_TO / f"{page}.md"
        assert found.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", found.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in [re.sub(r"[^\w -]", "", one.lower()).replace(" ", "-") for one in headings]


@pytest.mark.parametrize("page", PAGES)
def test_every_setting_that_is_named_exists(page: str) -> None:
    for kind, name in re.findall(r"ONECODE_(INFERENCE|EDGE)_([A-Z0-9_]+)", text_of(page)):
        known = InferenceSettings if kind == "INFERENCE" else EdgeSettings
        assert name.lower() in known.model_fields, name
    assert {name.lower() for name in settings(page)} <= set(InferenceSettings.model_fields)


def test_the_documents_are_read_without_a_complaint() -> None:
    named = parse_tenants(blocks("secure-serving", "json")[0]).named
    assert set(named) == {"line-3", "press-7", "operations"}
    options = parse_options(json.loads(blocks("stream-and-sequences", "json")[0]))
    assert options["bearing-wear"].window == WindowOptions("readings", 3)
    assert options["pump-fault"].cache == CacheOptions()
    assert options["pump-fault"].log == LogOptions()


def test_the_limits_of_a_process_are_the_defaults() -> None:
    for names, values, _ in rows("secure-serving", "setting | default"):
        found = [value.partition(",")[0] for value in values.split(" / ")]
        for name, value in zip(re.findall(r"`(\w+)`", names), found, strict=True):
            number, _, unit = value.partition(" ")
            default = InferenceSettings.model_fields[name.lower()].default
            assert float(number) * _UNITS[unit] == default, name


@pytest.mark.parametrize(("heading", "limits"), [("`HTTP2_LIMITS`", Http2Limits), ("`HTTP1_LIMITS`", Http1Limits)])
def test_the_limits_of_a_connection_are_the_defaults(heading: str, limits: Any) -> None:
    said: dict[str, float] = {}
    for names, values, _ in rows("secure-serving", heading):
        said.update(zip(re.findall(r"`(\w+)`", names), [float(one) for one in values.split(", ")], strict=True))
    assert said == {one.name: one.default for one in fields(limits)}


def test_the_options_of_models_are_the_defaults() -> None:
    kinds: dict[str, Any] = {"cache": CacheOptions, "log": LogOptions, "window": WindowOptions}
    said: dict[tuple[str, str], str] = {}
    option = ""
    for first, member, default, _ in rows("stream-and-sequences", "option"):
        option = first.strip("`") or option
        said[option, member.strip("`")] = default
    real = {(name, one.name): one.default for name, kind in kinds.items() for one in fields(kind)}
    assert said == {key: "none" if value is MISSING else str(value).lower() for key, value in real.items()}


@functools.cache
def _raised() -> dict[str, set[type[errors.OnecodeError]]]:
    """Return by code the errors that the model server raises with it, where both stand in one call."""
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in sorted(_SERVING.rglob("*.py"))]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    named = {
        node.targets[0].id: node.value.value
        for node in nodes
        if isinstance(node, ast.Assign)
        and isinstance(node.targets[0], ast.Name)
        and isinstance(node.value, ast.Constant)
        and isinstance(node.value.value, str)
    }
    found: dict[str, set[type[errors.OnecodeError]]] = {}
    for node in nodes:
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        kind = getattr(errors, node.func.id, None)
        for keyword in node.keywords:
            value = keyword.value
            code = value.value if isinstance(value, ast.Constant) else named.get(getattr(value, "id", ""))
            if kind is not None and keyword.arg == "code" and isinstance(code, str):
                found.setdefault(code, set()).add(kind)
    return found


def _claims() -> Iterator[tuple[str, str, str]]:
    for statuses, codes, _ in rows("predict", "gRPC, REST"):
        found = _STATUSES.match(statuses)
        assert found is not None, statuses
        for code in re.findall(r"`([\w.]+)`", codes):
            yield code, found[1], found[2]


@pytest.mark.parametrize(("code", "rpc", "http"), list(_claims()))
def test_an_error_has_the_statuses_of_the_table(code: str, rpc: str, http: str) -> None:
    # A family without an entry is made in one function, which is given the rest of the code.
    kinds = _raised().get(code) or {_FAMILIES[code.partition(".")[0]]}
    found = [kind("no", code=code) for kind in kinds]
    assert (getattr(status, rpc), int(http)) in [(status.status_of(one), http_status_of(one)) for one in found]


@pytest.mark.parametrize("page", ["shared-memory", "stream-and-sequences", "secure-serving"])
def test_codes_that_are_named_exist(page: str) -> None:
    families = r"shared_memory|window|sequence|access|message|batch|queue|rpc"
    for code in re.findall(rf"`((?:{families})\.\w+)`", text_of(page)):
        assert code in _raised(), code


def test_every_metric_that_is_named_is_told() -> None:
    doors = SimpleNamespace(counts=ListenCounts(), present=0, turned_away=0)
    told = {one.name for one in ServingCollector(DataPlane(Counters(), SystemClock()), doors).collect()}
    dashboards = text_of("migrate-serving").partition("## 5.")[2].partition("## What")[0]
    named = set(re.findall(r"`((?:nv|onecode)_inference_\w+)`", dashboards + text_of("secure-serving")))
    assert len(named) >= 13
    assert {re.sub(r"_(count|total)$", "", name) if name not in told else name for name in named} <= told


def test_the_choice_of_traces_is_the_default() -> None:
    for name, default, _ in rows("trace-predictions", "setting"):
        field = InferenceSettings.model_fields[name.strip("`").lower()]
        assert (str(field.default) if field.default is not None else "") == default


def test_every_attribute_of_a_span_is_described() -> None:
    version = Version("m", "1", "sha256:0", 1, "stable")
    times = Times(1.0, 2.0, 3.0, 4.0, 5.0, 6.0)
    told = [
        Told(face, "", version, times, "slow", 1, 1, 1, error="a.b", status="c")
        for face in (rpc_face("ModelInfer"), http_face(versioned=False))
    ]
    names = {name for one in told for span in (spans_of(one)[0], *spans_of(one)[1]) for name in span.attributes}
    table = "".join(row[0] for row in rows("trace-predictions", "attribute"))
    assert set(re.findall(r"`([\w.]+)`", table)) | {"onecode.sampled_by"} == names
    assert "`onecode.sampled_by`" in text_of("trace-predictions")
