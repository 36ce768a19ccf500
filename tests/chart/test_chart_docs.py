"""What the pages tell people to type or to commit is what the chart takes."""

import re
from pathlib import Path

import pytest
import typer.main
import yaml
from chart_rendering import REPOSITORY, Object, chart, component, of_kind, pod_templates, render, values_of

from onecode_client.cli.main import application
from onecode_edge.settings import EdgeSettings

_HOW_TO = REPOSITORY / "docs" / "how-to"
_PAGES = [
    _HOW_TO / "kubernetes.md",
    _HOW_TO / "kubernetes-security.md",
    _HOW_TO / "build-images.md",
    _HOW_TO / "install-keys.md",
    _HOW_TO / "edge-agent-install.md",
    REPOSITORY / "docs" / "runbooks" / "alerts.md",
]
_TEXT = (_HOW_TO / "kubernetes.md").read_text()


def _gitops() -> dict[str, Object]:
    """Return the values of the GitOps examples by the kind of their object."""
    found = {}
    for block in re.findall(r"```yaml\n(.*?)```", _TEXT, re.DOTALL):
        for one in yaml.safe_load_all(block):
            if one["kind"] == "Application":
                found["Argo CD"] = one["spec"]["source"]["helm"]["valuesObject"]
            elif one["kind"] == "HelmRelease":
                found["Flux"] = one["spec"]["values"]
    return found


@pytest.mark.parametrize("tool", ["Argo CD", "Flux"])
def test_the_gitops_examples_render(tool: str) -> None:
    assert render(_gitops()[tool])


def test_every_value_that_the_page_sets_is_known() -> None:
    for path, value in re.findall(r"--set(?:-string)? ([\w.]+)=(\S+)", _TEXT):
        values: Object = {}
        place = values
        *above, last = path.split(".")
        for name in above:
            place = place.setdefault(name, {})
        place[last] = value.strip("`")
        chart().validate_schema(values)


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[\w-]+)?\)", page.read_text()):
        assert target.startswith("https://") or (page.parent / target).exists(), target


@pytest.mark.parametrize("page", _PAGES, ids=lambda page: page.name)
def test_every_command_exists(page: Path) -> None:
    commands = typer.main.get_command(application())
    for words in re.findall(r"(?m)(?:^ *|`|-- )onecode ((?:[a-z-]+ ?)+)", page.read_text()):
        node = commands
        for word in words.split():
            below = getattr(node, "commands", None)
            if below is None:
                break
            assert word in below, words
            node = below[word]


def test_the_table_of_rights_names_every_component() -> None:
    edge = {"edgeAgent": {"enabled": True, "existingSecret": "g"}}
    found = [*render(values_of("everything")), *render(edge)]
    page = (_HOW_TO / "kubernetes-security.md").read_text()
    rows = set(re.findall(r"^\| ([\w-]+) ", page, re.MULTILINE)) - {"pod", "---"}
    assert rows == {component(pod) for _, pod in pod_templates(found)}


def test_the_table_of_sizes_is_what_the_chart_asks_for() -> None:
    asked = {
        component(one["spec"]["template"]): one["spec"]["template"]["spec"]["containers"][0]["resources"]["requests"][
            "memory"
        ]
        for values in ({}, values_of("services"), {"edgeAgent": {"enabled": True, "existingSecret": "g"}})
        for one in of_kind(render(values), "StatefulSet", "Deployment", "DaemonSet")
    }
    rows = re.findall(r"^\| ([\w-]+) \|[^|\n]*\| ([0-9]+[MG]i) \|$", _TEXT, re.MULTILINE)
    assert dict(rows) == asked


def test_the_unit_sets_only_settings_of_the_agent() -> None:
    unit = (REPOSITORY / "deploy" / "systemd" / "onecode-edge.service").read_text()
    page = (_HOW_TO / "edge-agent-install.md").read_text()
    names = set(re.findall(r"\b(ONECODE_EDGE_[A-Z0-9_]+)", unit + page))
    assert names
    assert {name.removeprefix("ONECODE_EDGE_").lower() for name in names} <= set(EdgeSettings.model_fields)
    for line in ("NoNewPrivileges=yes", "ProtectSystem=strict", "CapabilityBoundingSet=\n", "Restart=always"):
        assert line in unit
