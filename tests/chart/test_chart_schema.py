"""A value that is misspelt, of the wrong type, or alone is refused by its name, and the reference is fresh."""

import copy
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import jsonschema
import pytest
from chart_rendering import CHART, HELM, REPOSITORY, VALUE_SETS, Object, chart, render, values_of
from helm_python.errors import HelmError

_SCHEMA: Object = json.loads((CHART / "values.schema.json").read_text())


def _generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("chart_schema", HELM / "schema.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _closed(schema: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Yield the path of every mapping that knows all its keys."""
    if schema.get("additionalProperties") is False:
        yield path
        for name, below in schema["properties"].items():
            yield from _closed(below, (*path, name))


_CLOSED = sorted(_closed(_SCHEMA))


def _with(path: tuple[str, ...], value: Any) -> Object:
    made: Any = value
    for name in reversed(path):
        made = {name: made}
    return made  # type: ignore[no-any-return]


def test_schema_and_reference_are_fresh(tmp_path: Path) -> None:
    module = _generator()
    module.main(tmp_path / "values.schema.json", tmp_path / "values.md")
    assert (tmp_path / "values.schema.json").read_text() == (CHART / "values.schema.json").read_text()
    assert (tmp_path / "values.md").read_text() == (REPOSITORY / "docs" / "reference" / "values.md").read_text()


def test_the_schema_is_one() -> None:
    jsonschema.Draft7Validator.check_schema(_SCHEMA)


def test_the_closed_levels_are_all_levels_of_the_values() -> None:
    def levels(node: Object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
        yield path
        for name, below in node.items():
            if isinstance(below, dict) and below:
                yield from levels(below, (*path, name))

    free = {("requests",), ("limits",), ("labels",)}
    found = {path for path in levels(chart().values, ()) if path[-1:] not in free}
    assert found <= set(_CLOSED)
    assert len(_CLOSED) > 90


@pytest.mark.parametrize("path", _CLOSED, ids=lambda path: ".".join(path) or "root")
def test_a_misspelt_key_is_refused_by_name_at_every_level(path: tuple[str, ...]) -> None:
    with pytest.raises(HelmError, match="misspelt"):
        chart().validate_schema(_with((*path, "misspelt"), "x"))


def test_every_key_is_described() -> None:
    def bare(schema: Object, path: str) -> Iterator[str]:
        for name, below in schema.get("properties", {}).items():
            here = f"{path}.{name}".lstrip(".")
            if "properties" not in below and "description" not in below:
                yield here
            yield from bare(below, here)

    assert not list(bare(_SCHEMA, ""))


def test_the_chart_may_stand_below_another() -> None:
    chart().validate_schema({"global": {"anything": {"goes": True}}})


@pytest.mark.parametrize("values", VALUE_SETS)
def test_good_values_pass(values: str) -> None:
    chart().validate_schema(values_of(values))


_REFUSED = [
    ({"imageTag": 2}, "imageTag"),
    ({"imageTag": "latest"}, "imageTag"),
    ({"services": {"inference": {"image": {"tag": "latest"}}}}, "/services/inference/image/tag"),
    ({"services": {"inference": {"image": {"digest": "sha256:12"}}}}, "/services/inference/image/digest"),
    ({"deployment": "both"}, "/deployment"),
    ({"nats": {"url": "nats"}}, "/nats/url"),
    ({"services": {"ingestion": {"replicas": 2}}}, "/services/ingestion/replicas"),
    ({"services": {"training": {"replicas": 2}}}, "/services/training/replicas"),
    ({"services": {"registry": {"replicas": 0}}}, "/services/registry/replicas"),
    ({"services": {"rollout": {"replicas": 2}}}, "/services/rollout/replicas"),
    ({"services": {"console": {"replicas": 2}}}, "/database/existingSecret"),
    ({"autoscaling": {"console": {"kind": "hpa"}}}, "/database/existingSecret"),
    ({"autoscaling": {"inference": {"kind": "keda"}}}, "prometheusUrl"),
    ({"autoscaling": {"inference": {"kind": "cpu"}}}, "/autoscaling/inference/kind"),
    ({"training": {"ray": {"mode": "address"}}}, "/training/ray/address"),
    ({"edgeAgent": {"enabled": True}}, "/edgeAgent/existingSecret"),
    ({"edgeAgent": {"rootSha256": "abc"}}, "/edgeAgent/rootSha256"),
    ({"network": {"route": {"enabled": True}}}, "/network/route/gateways"),
    ({"network": {"certificate": {"enabled": True}}}, "/network/certificate/issuer/name"),
    ({"externalSecrets": {"enabled": True}}, "/externalSecrets/store/name"),
    ({"public": {"consoleUrl": "localhost"}}, "/public/consoleUrl"),
    ({"services": {"inference": {"env": {"ONECODE_INFERENCE_MAX_ROWS": 7}}}}, "/services/inference/env"),
    ({"services": {"inference": {"resources": {"requests": {"memory": "lots"}}}}}, "/resources/requests/memory"),
    ({"imagePullSecrets": ["pull"]}, "/imagePullSecrets/0"),
]


@pytest.mark.parametrize(("values", "named"), _REFUSED, ids=lambda value: json.dumps(value)[:60])
def test_a_value_that_does_not_fit_is_refused_by_its_path(values: Object, named: str) -> None:
    merged = values_of("services") | values
    with pytest.raises(HelmError, match=named):
        render(merged)


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (("nats", "url"), "/nats/url"),
        (("objectStore", "endpoint"), "/objectStore/endpoint"),
        (("objectStore", "bucket"), "/objectStore/bucket"),
        (("objectStore", "existingSecret"), "/objectStore/existingSecret"),
    ],
)
def test_services_demand_their_neighbours(path: tuple[str, str], named: str) -> None:
    values = copy.deepcopy(values_of("services"))
    values[path[0]][path[1]] = ""
    with pytest.raises(HelmError, match=named):
        render(values)


@pytest.mark.parametrize(
    "values",
    [{"rollout": {"customResource": {"enabled": True}}}, {"training": {"ray": {"mode": "cluster"}}}],
    ids=["custom-resource", "ray-cluster"],
)
def test_what_needs_a_service_of_its_own_is_refused_in_one_pod(values: Object) -> None:
    with pytest.raises(HelmError, match="/deployment"):
        render(values)


def test_no_value_is_a_place_for_a_secret() -> None:
    def names(schema: Object) -> Iterator[str]:
        for name, below in schema.get("properties", {}).items():
            yield name
            yield from names(below)

    assert not {"password", "token", "secret", "secretKey", "accessKey", "apiKey"} & set(names(_SCHEMA))
