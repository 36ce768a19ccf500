"""What developers start is what the chart renders: images, files and every key that is set."""

import re
from typing import Any

import pytest
import yaml
from chart_rendering import CHART, REPOSITORY, SERVICES, Object, chart, containers, pod_templates, render

_FILE = yaml.safe_load((REPOSITORY / "skaffold.yaml").read_text())
_PROFILES = {profile["name"]: profile for profile in _FILE["profiles"]}
_RELEASES = [("main", one) for one in _FILE["deploy"]["helm"]["releases"]] + [
    ("single", one) for one in _PROFILES["single"]["deploy"]["helm"]["releases"]
]


def _artifacts(part: Object) -> dict[str, str]:
    return {one["image"]: one["docker"]["buildArgs"]["SERVICE"] for one in part["build"]["artifacts"]}


def _set(values: Object, path: str, value: Any) -> None:
    *above, last = path.split(".")
    for name in above:
        values = values.setdefault(name, {})
    values[last] = value


def _values(release: Object, more: Object | None = None) -> Object:
    """Return the values of a release as skaffold gives them, with names and tags in the place of templates."""
    values: Object = {}
    for path in release.get("valuesFiles", ()):
        values |= yaml.safe_load((REPOSITORY / path).read_text())
    for path, value in {**release.get("setValues", {}), **(more or {})}.items():
        _set(values, path, value)
    for path, template in release.get("setValueTemplates", {}).items():
        _set(values, path, "t1" if "_TAG_" in template else re.sub(r".*_REPO_(\w+?)_(\w+)}}", r"\1/\2", template))
    return values


def _ours(profile: str) -> Object:
    return next(one for name, one in _RELEASES if name == profile and one["name"] == "onecode")


def _images(values: Object) -> set[str]:
    return {container["image"].rpartition(":")[0] for _, pod in pod_templates(render(values, release="onecode"))
            for container in containers(pod)}  # fmt: skip


def test_the_images_that_are_built_are_those_of_the_chart() -> None:
    assert _artifacts(_FILE) == {f"onecode/{service}": service for service in SERVICES}
    assert _images(_values(_ours("main"))) == set(_artifacts(_FILE))
    assert _artifacts(_PROFILES["single"]) == {"onecode/onecode": "onecode"}
    assert _images(_values(_ours("single"))) == {"onecode/onecode"}


@pytest.mark.parametrize("profile", ["main", "single"])
def test_every_key_that_is_set_passes_the_schema(profile: str) -> None:
    chart().validate_schema(_values(_ours(profile)))


def test_the_ray_profile_renders_a_cluster() -> None:
    (patch,) = _PROFILES["ray"]["patches"]
    place = int(patch["path"].split("/")[4])
    assert _FILE["deploy"]["helm"]["releases"][place]["name"] == "onecode"
    found = render(_values(_ours("main"), patch["value"]))
    assert [one["kind"] for one in found].count("RayCluster") == 1


@pytest.mark.parametrize("release", [one for _, one in _RELEASES], ids=lambda one: one["name"])
def test_charts_and_value_files_exist(release: Object) -> None:
    assert "chartPath" not in release or (REPOSITORY / release["chartPath"] / "Chart.yaml").is_file()
    for path in release.get("valuesFiles", ()):
        assert (REPOSITORY / path).is_file()


def test_what_others_wrote_is_pinned_or_from_its_own_repository() -> None:
    remote = {one["name"]: one for _, one in _RELEASES if "remoteChart" in one}
    assert set(remote) == {"nats", "seaweedfs"}
    assert all(one["repo"].startswith("https://") for one in remote.values())


def test_neighbours_come_first() -> None:
    assert [one["name"] for name, one in _RELEASES if name == "main"] == [
        "nats",
        "seaweedfs",
        "onecode-crds",
        "onecode",
    ]


def test_forwarded_ports_are_those_of_services() -> None:
    services = {
        one["metadata"]["name"]: one
        for one in render(_values(_ours("main")), release="onecode")
        if one["kind"] == "Service"
    }
    for one in _FILE["portForward"]:
        assert one["port"] in {port["port"] for port in services[one["resourceName"]]["spec"]["ports"]}


def test_files_are_copied_to_where_python_looks_first() -> None:
    variables = _values(_ours("main"))["workload"]["env"]
    for artifact in _FILE["build"]["artifacts"]:
        for rule in artifact["sync"]["manual"]:
            folder = rule["src"].partition("**")[0]
            assert rule["dest"] == variables["PYTHONPATH"]
            assert rule["strip"] == folder
            assert (REPOSITORY / folder).is_dir()
        for when in ("before", "after"):
            for hook in artifact["sync"]["hooks"][when]:
                compile(hook["container"]["command"][2], when, "exec")


def test_the_dockerfile_takes_the_service_as_an_argument() -> None:
    text = (REPOSITORY / "deploy" / "Dockerfile").read_text()
    assert "ARG SERVICE" in text
    assert (CHART / "Chart.yaml").is_file()
