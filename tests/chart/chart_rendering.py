"""Render the chart with Helm's own engine, in this process, and take the objects apart."""

from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from helm_python.chart import Chart

REPOSITORY = Path(__file__).resolve().parents[2]
HELM = REPOSITORY / "deploy" / "helm"
CHART = HELM / "onecode"
RELEASE, NAMESPACE = "oc", "platform"
SERVICES = ("console", "inference", "ingestion", "registry", "rollout", "training")

Object = dict[str, Any]

_FILES: dict[str, Path | None] = {
    "default": None,
    "services": Path(__file__).parent / "values" / "services.yaml",
    "production": HELM / "values" / "production.yaml",
    "everything": Path(__file__).parent / "values" / "everything.yaml",
}
VALUE_SETS = tuple(_FILES)


@cache
def chart() -> Chart:
    """Return the chart, loaded once."""
    return Chart.load(CHART)


def values_file(name: str) -> Path | None:
    """Return the file of a set, None for the chart's own values."""
    return _FILES[name]


def values_of(name: str) -> Object:
    """Return a fresh copy of a set of values."""
    path = _FILES[name]
    return {} if path is None else yaml.safe_load(path.read_text())


def manifests(values: Mapping[str, Any], release: str = RELEASE) -> dict[str, str]:
    """Return the rendered text by template."""
    return chart().render(dict(values), name=release, namespace=NAMESPACE)


def render(values: Mapping[str, Any], release: str = RELEASE) -> list[Object]:
    """Return the rendered objects, notes left out."""
    found = []
    for path, text in sorted(manifests(values, release).items()):
        if not path.endswith(".txt"):
            found += [one for one in yaml.safe_load_all(text) if one]
    return found


@cache
def _rendered(name: str) -> tuple[Object, ...]:
    return tuple(render(values_of(name)))


def objects(name: str) -> tuple[Object, ...]:
    """Return the objects of a set of values; they are shared, so nobody changes them."""
    return _rendered(name)


def identity(one: Object) -> tuple[str, str]:
    """Return kind and name."""
    return one["kind"], one["metadata"]["name"]


def pod_templates(found: Any) -> Iterator[tuple[str, Object]]:
    """Yield every pod (metadata and spec) found anywhere below, with the kind and name of the object it stands in."""
    for one in found:
        label = "/".join(identity(one))
        for template in _templates(one, is_pod=one["kind"] == "Pod"):
            yield label, template


def _templates(node: Any, *, is_pod: bool = False) -> Iterator[Object]:
    if isinstance(node, dict):
        if is_pod or "containers" in (node.get("spec") or {}):
            yield node
            return
        for value in node.values():
            yield from _templates(value)
    elif isinstance(node, list):
        for value in node:
            yield from _templates(value)


def containers(template: Object) -> list[Object]:
    """Return every container of a pod, those of its beginning too."""
    spec = template["spec"]
    return [*spec.get("initContainers", ()), *spec["containers"], *spec.get("ephemeralContainers", ())]


def component(template: Object) -> str:
    """Return which component a pod belongs to."""
    return str(template["metadata"]["labels"]["app.kubernetes.io/component"])


def environment(container: Object) -> dict[str, str]:
    """Return the plain variables of a container."""
    return {one["name"]: one["value"] for one in container.get("env", ()) if "value" in one}


def of_kind(found: Any, *kinds: str) -> list[Object]:
    """Return the objects of these kinds."""
    return [one for one in found if one["kind"] in kinds]


def selects(selector: Mapping[str, str], labels: Mapping[str, str]) -> bool:
    """Return whether labels are matched by a selector of equalities."""
    return all(labels.get(key) == value for key, value in selector.items())
