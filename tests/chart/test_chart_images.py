"""Every image follows the operator's registry, can be pinned, and stands in the list for an air gap."""

from pathlib import Path

import pytest
import yaml
from chart_rendering import CHART, SERVICES, VALUE_SETS, chart, containers, objects, pod_templates, render, values_of

_DIGEST = f"sha256:{'a' * 64}"


def _images(found: object) -> set[str]:
    return {container["image"] for _, pod in pod_templates(found) for container in containers(pod)}


@pytest.mark.parametrize("values", VALUE_SETS)
def test_registry_namespace_and_tag_reach_every_image(values: str) -> None:
    moved = values_of(values) | {"imageRegistry": "mirror.test", "imageNamespace": "a/b", "imageTag": "v9"}
    for image in _images(render(moved)):
        assert image.startswith("mirror.test/a/b/"), image
        assert image.endswith(":v9") or "@sha256:" in image, image


def test_without_registry_or_namespace_the_name_stands_alone() -> None:
    assert _images(render({"imageRegistry": "", "imageNamespace": ""})) == {f"onecode:{chart().version}"}


def test_an_image_can_be_pinned_by_digest() -> None:
    values = values_of("services") | {"services": {name: {"image": {"digest": _DIGEST}} for name in SERVICES}}
    assert _images(render(values)) == {f"ghcr.io/onecode/{name}@{_DIGEST}" for name in SERVICES}


@pytest.mark.parametrize("values", VALUE_SETS)
def test_no_image_is_latest_or_without_a_version(values: str) -> None:
    for image in _images(objects(values)):
        assert ":" in image.rpartition("/")[2]
        assert not image.endswith(":latest")


def test_the_list_for_an_air_gap_is_what_the_chart_renders() -> None:
    edge = {"edgeAgent": {"enabled": True, "existingSecret": "gateways"}}
    rendered = _images(render(edge)) | _images(render(values_of("services") | edge))
    assert set((CHART / "images.txt").read_text().split()) == rendered


def test_chart_and_program_have_one_version() -> None:
    import tomllib

    described = yaml.safe_load((CHART / "Chart.yaml").read_text())
    project = tomllib.loads((Path(__file__).resolve().parents[2] / "pyproject.toml").read_text())
    assert described["version"] == described["appVersion"] == project["project"]["version"]
