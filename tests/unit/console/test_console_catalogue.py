"""The Chinese catalogue is complete, and every message can be shown."""

import re
from typing import Any

import pytest
from jinja2 import Environment

from onecode_console import catalogue
from onecode_console.pages.numbers import Numbers

COLLECTED = catalogue.collect()
CHINESE = catalogue.read()
_NAME = re.compile(r"%\((\w+)\)s")
_HALF_WIDTH_BESIDE_CHINESE = re.compile(r"[\u4e00-\u9fff][,;:()!?]|[,;:(!?][\u4e00-\u9fff]")


def ids(catalog: Any) -> set[str]:
    return {message.id for message in catalog if message.id}


def test_the_catalogue_holds_exactly_the_messages_of_the_sources() -> None:
    assert ids(COLLECTED) == ids(CHINESE)


def test_no_message_waits_for_its_translation() -> None:
    assert [m.id for m in CHINESE if m.id and (not m.string or m.fuzzy)] == []


def test_pages_read_what_translators_wrote() -> None:
    assert (catalogue.FOLDER / "messages.mo").read_bytes() == catalogue.compiled(CHINESE)


@pytest.mark.parametrize("message", [m for m in CHINESE if m.id], ids=lambda m: m.id[:40])
def test_a_message_can_be_shown_in_both_languages(message: Any) -> None:
    assert sorted(_NAME.findall(message.id)) == sorted(_NAME.findall(message.string))
    values = dict.fromkeys(_NAME.findall(message.id), "7")
    assert "%(" not in message.id % values
    assert "%(" not in message.string % values
    assert not _HALF_WIDTH_BESIDE_CHINESE.search(message.string), message.string
    assert " " in message.id or "." not in message.id, "an id without words cannot be read in English"


def test_templates_have_neither_inline_style_nor_script() -> None:
    for path in (catalogue.PACKAGE / "templates").rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        assert " style=" not in text, path
        assert not re.search(r"\son[a-z]+=", text), path
        assert not re.search(r"<script(?! type=\"(module\" src|application/json)\b)", text), path
        assert "|safe" not in text, path
        Environment(extensions=["jinja2.ext.i18n"], autoescape=True).parse(text)


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.97123, "0.9712"), (1234.5, "1,234"), (3.1e-7, "3.1e-07"), (float("nan"), "NaN"), (-2.5, "-2.5")],
)
def test_measured_numbers_have_four_digits(value: Any, shown: str) -> None:
    assert Numbers("en").real(value) == shown


def test_small_rates_keep_their_digits_and_sizes_their_units() -> None:
    numbers = Numbers("zh_Hans_CN")
    assert [numbers.share(value) for value in (0.0045, 0.5, 1.0, 0.0)] == ["0.45%", "50%", "100%", "0%"]
    assert [numbers.size(value) for value in (0, 999, 200_000, 913_408)] == ["0 B", "999 B", "200 kB", "913.4 kB"]
    assert numbers.whole(1234567) == "1,234,567"
