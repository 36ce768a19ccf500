"""The reference pages say what the programs say."""

import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def pages() -> dict[str, str]:
    made: dict[str, str] = runpy.run_path(str(ROOT / "docs" / "generate.py"))["pages"]()
    return made


@pytest.mark.parametrize("name", ["settings.md", "rest.md", "cli.md"])
def test_a_reference_page_is_what_the_programs_say(pages: dict[str, str], name: str) -> None:
    """If not: run python docs/generate.py."""
    assert (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8") == pages[name]
