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

_RUN_ERRORS: Mapping[str, str] = {
    "budget.none_fits": N_("No candidate stays within the budget. Widen it; the nearest miss is named below."),
    "parity.failed": N_("The converted file does not answer like the trained model; it was not registered."),
    "data.single_class": N_("The target has only one value; there is nothing to tell apart."),
    "data.constant_target": N_("The target has only one value; there is nothing to tell apart."),
    "data.target_missing": N_("The target column is missing in the data, or empty."),
    "data.too_few_rows": N_("There are too few rows to train and to check."),
    "data.rare_class": N_("One class has too few rows to train and to check."),
    "registry.unavailable": N_("The registry did not answer; resume the run when it is back."),
    "ray.unavailable": N_("The computing service did not start; resume the run."),
}

_FINDINGS: Mapping[str, str] = {
    "data.ragged": N_("%(count)s rows do not have as many values as the header has columns."),
    "data.duplicates": N_("%(count)s rows occur more than once."),
    "data.constant_column": N_("Column %(column)s has only one value; nothing can be learned from it."),
    "data.bad_cells": N_("%(count)s cells of column %(column)s do not fit its type and count as missing."),
    "data.non_finite": N_("%(count)s cells of column %(column)s are infinite or too large and count as missing."),
    "data.empty_column": N_("Column %(column)s has no value at all."),
    "data.blank_lines": N_("%(count)s blank lines were skipped."),
    "data.unnamed_column": N_("A column without a name was called %(column)s."),
    "data.duplicate_name": N_("A column name occurs twice; the second is now called %(column)s."),
    "data.renamed_column": N_("A column was renamed to %(column)s."),
    "data.encoding": N_("The file is not UTF-8; another encoding was recognised. Check that the text looks right."),
}


def error_text(error: OnecodeError) -> Text:
    """Return the sentence for an error: ours if the code is known, the service's own words otherwise."""
    known = _ERRORS.get(error.code)
    return Text(known, dict(error.params)) if known else literal(error.message)


def run_error_text(code: str) -> Text | None:
    """Return our sentence for the error of a run, or None; the service's own words stand beside it."""
    known = _RUN_ERRORS.get(code)
    return Text(known) if known else None


def finding_text(code: str, column: str, count: int, detail: str) -> Text:
    """Return the sentence for a finding in data."""
    known = _FINDINGS.get(code)
    if known is None:
        return literal(detail or code)
    return Text(known, {"column": column or "-", "count": count})
