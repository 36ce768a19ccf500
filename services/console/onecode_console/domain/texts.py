"""Carry sentences through rules untranslated: an English message with its values, put into words by the page."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Union

Value = Union[str, int, "Text", "Share", "Span"]


@dataclass(frozen=True, slots=True)
class Share:
    """A part of a whole, 0 to 1, shown in percent."""

    part: float


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time in seconds, shown in the fitting unit."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Text:
    """A message of the catalogue.

    Attributes:
        id: The English sentence, with ``%(name)s`` for values.
        values: By name; integers are grouped, texts translated.
    """

    id: str
    values: Mapping[str, Value] = field(default_factory=dict)


def N_(message: str) -> str:
    """Mark a message for the catalogue where it stands in a table; it is translated where it is shown."""
    return message


def literal(words: str) -> Text:
    """Return words that are not of the catalogue; their percent signs are no placeholders."""
    return Text(words.replace("%", "%%"))


def text(message: str, **values: Value) -> Text:
    """Return a message with its values; calls of it are found by the extraction as well."""
    return Text(message, values)
