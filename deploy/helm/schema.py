"""Make the schema and the reference page of the chart's values from the commented values themselves.

A comment above a key is its description, a line ``# @schema {...}`` narrows what may stand there, and ``## Title``
begins a part of the page. The words of that line are those of JSON Schema, and four more: ``like: workload`` (all
keys of that part too), ``like: quantity``, ``map: string|quantity`` (any names), ``open: true`` (anything).

Run ``python deploy/helm/schema.py``; a test runs it into an empty folder and compares.
"""

import json
import sys
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

CHART = Path(__file__).resolve().parent / "onecode"
PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "values.md"

Schema = dict[str, Any]

QUANTITY: Schema = {"type": ["string", "integer"], "pattern": "^[0-9]+(\\.[0-9]+)?(m|k|M|G|T|Ki|Mi|Gi|Ti)?$"}
_TYPES = {"str": "string", "bool": "boolean", "int": "integer"}
_NARROW = ("minimum", "maximum", "enum", "pattern", "const", "items", "not", "type")


@dataclass
class Key:
    """One key of the values.

    Attributes:
        path: Names from the root, joined by dots.
        node: What stands there.
        description: The comment above.
        hints: Of the ``@schema`` line.
        part: Title and description that begin above this key, or empty.
        children: Of a mapping.
    """

    path: str
    node: yaml.Node
    description: str
    hints: Schema
    part: tuple[str, str]
    children: dict[str, "Key"] = field(default_factory=dict)


def read(text: str) -> dict[str, Key]:
    """Return the top keys of commented values."""
    return _keys(yaml.compose(text), text.splitlines(), "")


def _keys(mapping: Any, lines: list[str], path: str) -> dict[str, Key]:
    found = {}
    for name, node in mapping.value:
        comment, hints, part = _comment(lines, name.start_mark.line, name.start_mark.column)
        key = Key(f"{path}.{name.value}".lstrip("."), node, comment, hints, part)
        if isinstance(node, yaml.MappingNode):
            key.children = _keys(node, lines, key.path)
        found[str(name.value)] = key
    return found


def _comment(lines: list[str], line: int, column: int) -> tuple[str, Schema, tuple[str, str]]:
    """Return the description above a line, its hints, and the part that begins before it."""
    if lines[line][:column].strip():
        return "", {}, ("", "")  # within a flow mapping
    words: list[str] = []
    hints: Schema = {}
    above = line - 1
    while above >= 0 and lines[above].startswith(" " * column + "# "):
        text = lines[above].strip()[2:]
        if text.startswith("@schema "):
            hints = yaml.safe_load(text.removeprefix("@schema "))
        else:
            words.insert(0, text)
        above -= 1
    about: list[str] = []
    while above >= 0 and (not lines[above].strip() or lines[above].startswith("# ")):
        if lines[above].strip():
            about.insert(0, lines[above][2:])
        above -= 1
    titled = column == 0 and above >= 0 and lines[above].startswith("## ")
    return " ".join(words), hints, (lines[above][3:], " ".join(about)) if titled else ("", "")


def schema_of(key: Key, parts: dict[str, Key]) -> Schema:
    """Return the schema of a key; ``parts`` are the top keys, which ``like`` names."""
    hints = dict(key.hints)
    like = hints.pop("like", "")
    if like == "quantity":
        made = deepcopy(QUANTITY)
    elif like:
        made = _merged(_object(parts[like].children, parts), _object(key.children, parts))
    elif "map" in hints:
        made = {"type": "object", "additionalProperties": _value(hints.pop("map"))}
    elif hints.pop("open", False):
        made = {"type": "object"}
    elif isinstance(key.node, yaml.MappingNode):
        made = _object(key.children, parts)
    elif isinstance(key.node, yaml.SequenceNode):
        made = {"type": "array"}
    else:
        made = {"type": _TYPES[key.node.tag.rpartition(":")[2]]}
    made |= hints
    return made | ({"description": key.description} if key.description else {})


def _value(kind: str) -> Schema:
    return deepcopy(QUANTITY) if kind == "quantity" else {"type": "string"}


def _object(children: dict[str, Key], parts: dict[str, Key]) -> Schema:
    properties = {name: schema_of(child, parts) for name, child in children.items()}
    return {"type": "object", "additionalProperties": False, "properties": properties}


def _merged(base: Schema, own: Schema) -> Schema:
    """Return the base with the own keys added; where both know a key the base's rules stay, within own bounds."""
    merged = deepcopy(base)
    for name, schema in own["properties"].items():
        known = merged["properties"].get(name)
        if known is None:
            merged["properties"][name] = schema
        elif known.get("additionalProperties") is False:
            merged["properties"][name] = _merged(known, schema)
        else:
            known |= {word: rule for word, rule in schema.items() if word in ("minimum", "maximum")}
    return merged


def _given(*path: str) -> Schema:
    """Return a schema that demands a non-empty text at the path."""
    return _holds({"minLength": 1}, path)


def _is(value: str, *path: str) -> Schema:
    return _holds({"const": value}, path)


def _on(*path: str) -> Schema:
    """Return a schema that a switch at the path meets when it is on."""
    return _holds({"const": True}, path)


def _holds(schema: Schema, path: Sequence[str]) -> Schema:
    made = schema
    for name in reversed(path):
        made = {"properties": {name: made}, "required": [name]}
    return made


def _when(condition: Schema, *then: Schema) -> Schema:
    return {"if": condition, "then": {"allOf": list(then)}}


def conditions() -> list[Schema]:
    """Return what one value demands of another."""
    services = _is("services", "deployment")
    replicas = {"properties": {"services": {"properties": {"console": {"properties": {"replicas": {"minimum": 2}}}}}}}
    ray = {
        "properties": {"training": {"properties": {"ray": {"properties": {"mode": {"enum": ["address", "cluster"]}}}}}}
    }
    gateways = {"properties": {"network": {"properties": {"route": {"properties": {"gateways": {"minItems": 1}}}}}}}
    return [
        _when(
            services,
            _given("nats", "url"),
            _given("objectStore", "endpoint"),
            _given("objectStore", "bucket"),
            _given("objectStore", "existingSecret"),
        ),
        _when({"allOf": [services, replicas]}, _given("database", "existingSecret")),
        _when(
            {"allOf": [services, _is("hpa", "autoscaling", "console", "kind")]}, _given("database", "existingSecret")
        ),
        _when(_on("rollout", "customResource", "enabled"), services),
        _when(ray, services),
        _when(_is("address", "training", "ray", "mode"), _given("training", "ray", "address")),
        _when(_on("edgeAgent", "enabled"), _given("edgeAgent", "existingSecret")),
        _when(_is("keda", "autoscaling", "inference", "kind"), _given("autoscaling", "inference", "prometheusUrl")),
        _when(_on("network", "route", "enabled"), gateways),
        _when(
            _on("network", "certificate", "enabled"),
            _given("network", "certificate", "issuer", "name"),
            {"anyOf": [_on("network", "route", "enabled"), _on("network", "ingress", "enabled")]},
        ),
        _when(_on("externalSecrets", "enabled"), _given("externalSecrets", "store", "name")),
    ]


def schema(keys: dict[str, Key]) -> Schema:
    """Return the schema of all values, draft 7."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart onecode",
        **_object(keys, keys),
        "allOf": conditions(),
    }


def page(keys: dict[str, Key]) -> str:
    """Return the reference page."""
    lines = [
        "# Values of the chart",
        "",
        "Made from `deploy/helm/onecode/values.yaml`. A key that is not here is refused by name; a tag is a string, so",
        "write `--set-string imageTag=2` or `--set imageTag=v2`.",
    ]
    for key in keys.values():
        if key.part[0]:
            lines += ["", f"## {key.part[0]}", ""]
            lines += [key.part[1], ""] if key.part[1] else []
            lines += ["| value | default | meaning |", "| --- | --- | --- |"]
        lines += _rows(key)
    return "\n".join(lines) + "\n"


def _rows(key: Key) -> list[str]:
    like = key.hints.get("like", "")
    if like and like != "quantity":
        about = f"{key.description} Takes every key of `{like}` too.".strip()
        return [f"| `{key.path}` | | {about} |", *(row for child in key.children.values() for row in _rows(child))]
    if key.children and "map" not in key.hints and "open" not in key.hints:
        return [row for child in key.children.values() for row in _rows(child)]
    value = yaml.safe_load(yaml.serialize(key.node))
    shown = "" if value in ("", None) else f"`{json.dumps(value) if not isinstance(value, str) else value}`"
    choices = ", ".join(f"`{choice}`" for choice in key.hints.get("enum", ()))
    about = " ".join(filter(None, [key.description, f"One of {choices}." if choices else ""])).replace("|", "\\|")
    return [f"| `{key.path}` | {shown} | {about} |"]


def main(schema_file: Path, page_file: Path) -> None:
    """Write both files."""
    keys = read((CHART / "values.yaml").read_text(encoding="utf-8"))
    schema_file.write_text(json.dumps(schema(keys), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    page_file.parent.mkdir(parents=True, exist_ok=True)
    page_file.write_text(page(keys), encoding="utf-8")


if __name__ == "__main__":
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
    if folder is None:
        main(CHART / "values.schema.json", PAGE)
    else:
        main(folder / "values.schema.json", folder / "values.md")
