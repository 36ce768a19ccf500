"""An error that nobody thought of costs the requests of its batch an answer that says so, and nobody else anything."""

from types import SimpleNamespace
from typing import Any

from onecode_serving.execution.run import Refused, run_batch


def test_a_batch_that_breaks_is_refused_whole() -> None:
    def execute(_feeds: object) -> None:
        message = "nobody thought of this"
        raise ZeroDivisionError(message)

    version: Any = SimpleNamespace(model="m", execute=execute)
    jobs: Any = [SimpleNamespace(plan=None, feeds={}, rows=1) for _ in range(2)]
    outcomes = run_batch(version, jobs)
    assert [outcome.job for outcome in outcomes if isinstance(outcome, Refused)] == jobs
    assert {outcome.error.code for outcome in outcomes if isinstance(outcome, Refused)} == {"serving.fault"}
