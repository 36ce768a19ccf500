"""Make the names in a header fit to be found again, and say what was changed."""

import unicodedata
from collections.abc import Sequence

from onecode_ingestion.domain.findings import INFO, WARNING, Finding
from onecode_ingestion.domain.limits import NAME_CHARS

_UNSEEN = ("Cc", "Cf", "Cs", "Co", "Zl", "Zp")
"""Unicode categories that nobody sees: controls, direction overrides, surrogates, private use, separators."""


def clean_names(header: Sequence[str]) -> tuple[tuple[str, ...], list[Finding]]:
    """Return unique, visible names for the columns, and a finding for each that is not as it was written."""
    names: list[str] = []
    findings: list[Finding] = []
    taken: set[str] = set()
    for number, written in enumerate(header, start=1):
        seen = _visible(written)
        wanted = seen or f"column_{number}"
        name = _free(wanted, taken)
        taken.add(name)
        names.append(name)
        if not seen:
            text = f"column {number} has no name: it is called {name!r}"
            findings.append(Finding("data.unnamed_column", INFO, 1, text, name, (1,)))
        elif name != wanted:
            text = f"the name {wanted!r} occurs twice: column {number} is called {name!r}"
            findings.append(Finding("data.duplicate_name", WARNING, 1, text, name, (1,), {"name": wanted}))
        elif seen != unicodedata.normalize("NFC", written.strip()):
            text = f"the name of column {number} was too long or held invisible characters: it is called {name!r}"
            findings.append(Finding("data.renamed_column", WARNING, 1, text, name, (1,)))
    return tuple(names), findings


def numbered_names(count: int) -> tuple[str, ...]:
    """Return names for columns of a file without a header: ``column_1`` and so on."""
    return tuple(f"column_{number}" for number in range(1, count + 1))


def _visible(written: str) -> str:
    normal = unicodedata.normalize("NFC", written)
    return "".join(one for one in normal if unicodedata.category(one) not in _UNSEEN).strip()[:NAME_CHARS].strip()


def _free(wanted: str, taken: set[str]) -> str:
    name, number = wanted, 2
    while name in taken:
        ending = f"_{number}"
        name = f"{wanted[: NAME_CHARS - len(ending)]}{ending}"
        number += 1
    return name
