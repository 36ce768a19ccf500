"""Read a recipe from YAML or JSON, strictly, and name the path and value of everything that is wrong."""

import json
import math
from collections.abc import Hashable, Iterator
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError

from onecode_common.errors import InvalidError
from onecode_training.domain.recipe import Problem, Recipe, problems_of, refuse

MOST_BYTES = 64 << 10
_MOST_PROBLEMS = 50
_DEEPEST = 12


def read_recipe(text: str) -> tuple[Recipe | None, list[Problem]]:
    """Return the recipe, or None, and what is wrong with it."""
    try:
        document = _document(text)
        foreign = list(_foreign(document))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        return None, [Problem("", f"the recipe is neither YAML nor JSON: {_sentence(error)}", text[:80])]
    if not isinstance(document, dict):
        return None, [Problem("", "the recipe is not a mapping: begin with task: tabular-classification", text[:80])]
    if foreign:
        return None, foreign[:_MOST_PROBLEMS]
    try:
        recipe: Recipe = _adapter().validate_json(json.dumps(document))
    except ValidationError as error:
        return None, [_problem(each) for each in error.errors()[:_MOST_PROBLEMS]]
    return recipe, problems_of(recipe)


class RecipeText:
    """See :class:`onecode_training.ports.Recipes`."""

    def read(self, text: str) -> tuple[Recipe | None, list[Problem]]:
        """Return the recipe, or None, and what is wrong with it."""
        return read_recipe(text)


def require_recipe(text: str) -> Recipe:
    """Return the recipe.

    Raises:
        InvalidError: ``recipe.invalid``, with the first problem.
    """
    recipe, problems = read_recipe(text)
    refuse(problems)
    if recipe is None:
        message = "the recipe is empty"
        raise InvalidError(message, code="recipe.invalid")
    return recipe


def _adapter() -> TypeAdapter[Recipe]:
    return TypeAdapter(Recipe)


def _document(text: str) -> Any:
    if len(text.encode("utf-8", "surrogatepass")) > MOST_BYTES:
        message = f"it is longer than {MOST_BYTES} bytes"
        raise ValueError(message)
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=_no_twins)
        except json.JSONDecodeError:
            # A mapping in YAML's flow style begins like JSON.
            pass
    return yaml.load(text, _Loader)  # noqa: S506 - the loader below is a safe one


def _foreign(value: Any, path: str = "", depth: int = 0) -> Iterator[Problem]:
    """Yield what JSON cannot hold: numbers that are not finite, keys that are no texts, too deep nesting."""
    if depth > _DEEPEST:
        yield Problem(path, f"is nested deeper than {_DEEPEST}", "")
    elif isinstance(value, dict):
        for key, each in value.items():
            if isinstance(key, str):
                yield from _foreign(each, f"{path}.{key[:80]}" if path else key[:80], depth + 1)
            else:
                yield Problem(path, f"the key {str(key)[:40]!r} is not a text: put it in quotes", str(key)[:80])
    elif isinstance(value, list):
        for place, each in enumerate(value):
            yield from _foreign(each, f"{path}.{place}", depth + 1)
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, "is not a finite number", str(value))
    elif isinstance(value, str):
        value.encode()
    elif value is not None and not isinstance(value, bool | int | float):
        yield Problem(path, f"is a {type(value).__name__}, which a recipe cannot hold", str(value)[:80])


class _Loader(yaml.SafeLoader):
    """Plain YAML: no aliases, which can blow a short text up; no key twice; no dates."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            message = "aliases (*name) are not read"
            raise yaml.YAMLError(message)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        names = [key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            message = f"the key {str(twice)[:40]!r} occurs twice"
            raise yaml.YAMLError(message)
        return super().construct_mapping(node, deep=deep)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _problem(error: Any) -> Problem:
    path = ".".join(str(part) for part in error["loc"])
    if error["type"] == "unexpected_keyword_argument":
        return Problem(path, "is no field of a recipe: remove or correct it", str(error.get("input"))[:80])
    if error["type"] in ("missing", "missing_argument"):
        return Problem(path, "is missing", "")
    message = str(error["msg"])
    return Problem(path, message[:1].lower() + message[1:], str(error.get("input"))[:80])


def _sentence(error: Exception) -> str:
    return " ".join(str(error).encode("ascii", "backslashreplace").decode().split())[:200]


def _no_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document: dict[str, Any] = {}
    for name, value in pairs:
        if name in document:
            message = f"the key {name[:40]!r} occurs twice"
            raise ValueError(message)
        document[name] = value
    return document
