"""What an API server refuses to change is the same in this chart as in every released one."""

import json

import pytest
from chart_frozen import FILE, frozen
from kept_releases import kept

_KNOWN = json.loads(FILE.read_text())


def test_every_release_that_is_kept_is_written_down() -> None:
    assert {folder.name for folder in kept()} <= set(_KNOWN)


@pytest.mark.parametrize("released", sorted(_KNOWN))
def test_selectors_claims_and_policies_are_those_of_the_release(released: str) -> None:
    now = frozen()
    for name, workloads in _KNOWN[released].items():
        for workload, fields in workloads.items():
            assert now[name].get(workload) == fields, f"{released}: {workload} with the values {name}"
