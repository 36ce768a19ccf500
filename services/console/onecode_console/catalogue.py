"""Keep the Chinese catalogue complete: collect every message, update the .po file, compile it.

Run ``python -m onecode_console.catalogue`` after a text was changed; new messages are then empty in
``locale/zh_Hans_CN/LC_MESSAGES/messages.po`` and wait for their translation. English stands in the sources.
"""

import sys
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

PACKAGE = Path(__file__).parent
FOLDER = PACKAGE / "locale" / "zh_Hans_CN" / "LC_MESSAGES"
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
_OPTIONS = {"templates/**.html": {"newstyle_gettext": "true", "trimmed": "true", "silent": "false"}}
_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_KEYWORDS: dict[str, Any] = {"_": None, "gettext": None, "N_": None, "text": None}


def collect() -> Catalog:
    """Return every message of the sources, with the places where it stands."""
    catalog = Catalog(project="onecode", charset="utf-8")
    found = extract_from_dir(PACKAGE, _METHODS, _OPTIONS, _KEYWORDS)
    for path, _line, message, _comments, context in sorted(found, key=lambda each: (each[0], each[1])):
        catalog.add(message, locations=[(path, 0)], context=context)
    return catalog


def read(path: Path = FOLDER / "messages.po") -> Catalog:
    """Return the catalogue in a file."""
    with path.open("rb") as file:
        return read_po(file, locale="zh_Hans_CN")


def compiled(catalog: Catalog) -> bytes:
    """Return the form that pages read."""
    out = BytesIO()
    write_mo(out, catalog)
    return out.getvalue()


def update() -> list[str]:
    """Bring the files up to date and return the messages without a translation."""
    path = FOLDER / "messages.po"
    catalog = read(path) if path.exists() else Catalog(locale="zh_Hans_CN", project="onecode", charset="utf-8")
    catalog.update(collect(), no_fuzzy_matching=True, update_creation_date=False)
    catalog.obsolete.clear()
    catalog.header_comment = "# Chinese texts of the console. Kept by `python -m onecode_console.catalogue`."
    catalog.fuzzy = False
    # Dates of the file itself would change with every run and say nothing.
    catalog.creation_date = catalog.revision_date = _EPOCH
    with path.open("wb") as file:
        write_po(file, catalog, width=120, sort_output=True, omit_header=False, include_lineno=False)
    (FOLDER / "messages.mo").write_bytes(compiled(catalog))
    return [str(message.id) for message in catalog if message.id and not message.string]


def main() -> None:
    """Update and tell what is missing."""
    missing = update()
    for message in missing:
        sys.stdout.write(f"{message}\n")
    sys.stdout.write(f"{len(missing)} messages without a translation\n")


if __name__ == "__main__":
    main()
