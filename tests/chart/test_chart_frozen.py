"""What an API server refuses to change is the same in this chart as in every released one."""

import json

import pytest
from chart_frozen import FILE, frozen, version

_KNOWN = json.loads(FILE.read_text())


def test_this_version_is_written_down() -> None:
    assert version() in _KNOWN


@pytest.mark.parametrize("released", sorted(_KNOWN))
def test_selectors_claims_and_policies_are_those_of_the_release(released: str) -> None:
    now = frozen()
    for name, workloads in _KNOWN[released].items():
        for workload, fields in workloads.items():
            assert now[name].get(workload) == fields, f"{released}: {workload} with the values {name}"
