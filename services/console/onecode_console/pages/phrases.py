"""Put refusals and findings into words people can act on, by their stable code."""

from collections.abc import Mapping

from onecode_common.errors import OnecodeError
from onecode_console.domain.texts import N_, Text, literal

_ERRORS: Mapping[str, str] = {
    "auth.missing": N_("Nobody is signed in."),
    "auth.csrf": N_("This form is too old or not from this session. Load the page again and repeat."),
    "auth.origin": N_("The request did not come from this console's own page. Open the console by its own address."),
    "auth.host": N_("The console is not reached by this name. Open it by its own address."),
    "login.invalid": N_("This login code is not valid. Ask the operator for a fresh login link."),
    "login.used": N_("This login code was used before. Ask the operator for a fresh login link."),
    "service.unavailable": N_("A service does not answer now. What you see may be old; try again in a moment."),
    "rollout.conflict": N_("Somebody was faster. Below is the present state."),
    "page.unknown": N_("There is no such page."),
    "project.unknown": N_("There is no such project."),
    "internal": N_("The console failed on this request. The log has the details."),
}

_FINDINGS: Mapping[str, str] = {
    "data.ragged": N_("%(count)s rows do not have as many values as the header has columns."),
    "data.duplicates": N_("%(count)s rows occur more than once."),
    "data.constant_column": N_("Column %(column)s has only one value; nothing can be learned from it."),
    "data.bad_cells": N_("%(count)s cells of column %(column)s do not fit its type and count as missing."),
    "data.missing": N_("%(count)s values of column %(column)s are missing."),
    "data.encoding": N_("The file is not UTF-8; another encoding was recognised. Check that the text looks right."),
    "data.duplicate_header": N_("The header names column %(column)s twice."),
    "target.single_class": N_("The target has only one value; there is nothing to tell apart."),
    "target.rare_class": N_("One class is rare: average precision is the better measure."),
    "data.id_like": N_("Column %(column)s looks like a number of the row; leave it out of training."),
}


def error_text(error: OnecodeError) -> Text:
    """Return the sentence for an error: ours if the code is known, the service's own words otherwise."""
    known = _ERRORS.get(error.code)
    return Text(known, dict(error.params)) if known else literal(error.message)


def run_error_text(code: str, message: str) -> Text:
    """Return the sentence for the error of a run."""
    known = _ERRORS.get(code)
    return Text(known) if known else literal(message)


def finding_text(code: str, column: str, count: int, detail: str) -> Text:
    """Return the sentence for a finding in data."""
    known = _FINDINGS.get(code)
    if known is None:
        return literal(detail or code)
    return Text(known, {"column": column or "-", "count": count})
