"""The released rollout service, today's and the released one again run on the same records, killed in between.

On SQLite and on PostgreSQL: nothing is lost and everybody goes on.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from contract_postgres import new_database, serving
from kept_releases import Release, install, kept
from sqlalchemy import create_engine, text

from onecode.rollout.v1 import rollout_pb2 as pb


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The newest release that is kept."""
    return install(kept()[-1], tmp_path_factory.mktemp("old") / "environment")


@contextmanager
def database_url(kind: str, default: str) -> Iterator[str]:
    """Return where the records go."""
    if kind == "sqlite":
        yield default
        return
    with serving() as server:
        yield new_database(server)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def platform(new_platform: Callable[[], Any], old: Release, request: pytest.FixtureRequest) -> Iterator[Any]:
    """A running rollout service of the previous release."""
    found = new_platform()
    with database_url(request.param, found.database_url) as found.database_url:
        found.python = str(old.python)
        found.start()
        assert found.bus.wait_connected(10)
        yield found
        # Told to stop, 0.1.0 may crash instead, when it is just asking the registry.
        found.kill()
        found.stop()


def schema(platform: Any) -> str:
    engine = create_engine(platform.database_url)
    with closing(engine.connect()) as connection:
        found = str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar())
    engine.dispose()
    return found


def newest(package: Path) -> str:
    return max(path.name[:4] for path in (package / "migrations" / "versions").glob("[0-9]*.py"))


def test_a_release_goes_on_over_an_upgrade_and_its_rollback(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Callable[..., pb.Plan], old: Release
) -> None:
    before = newest(next(old.python.parents[1].glob("lib/*/site-packages/onecode_rollout")))
    after = newest(Path(str(files("onecode_rollout"))))
    release_first()
    assert schema(platform) == before
    plan = fast_plan(2, 1000, 5000, 10_000)
    platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id="r-long", plan=plan))
    platform.stub.PauseRollout(pb.PauseRolloutRequest(rollout_id="r-long", reason="under N"))

    platform.kill()
    platform.python = sys.executable
    platform.start()
    assert schema(platform) == after
    assert platform.get("r-long").state == "paused"
    platform.stub.ResumeRollout(pb.ResumeRolloutRequest(rollout_id="r-long", reason="under N+1"))
    members.drive("r-long", "running")

    platform.kill()
    platform.python = str(old.python)
    platform.start()
    assert schema(platform) == after
    assert members.drive("r-long", "succeeded").candidate_release == 2
    decisions = platform.stub.ExplainRollout(pb.ExplainRolloutRequest(rollout_id="r-long")).decisions
    assert [one.number for one in decisions] == list(range(1, len(decisions) + 1))
    assert all(one.replay_agrees for one in decisions)
    assert [one.sentence for one in decisions if one.by != "rule"][1:] == [
        "Paused by u_anna.",
        "Resumed by u_anna from operator.",
    ]


@pytest.mark.parametrize("platform", ["sqlite"], indirect=True)
def test_going_back_in_the_middle_of_a_shadow_leaves_the_stable_version_alone(
    platform: Any,
    members: Any,
    release_first: Callable[[], None],
    fast_plan: Callable[..., pb.Plan],
    old: Release,
    until: Callable[..., None],
) -> None:
    """The previous release knows nothing of shadows, and drops what it does not know from a record that it writes."""

    def change(python: object) -> None:
        platform.kill()
        platform.python = str(python)
        platform.start()

    def entry() -> dict[str, Any]:
        members.tick()
        (found,) = [one for one in platform.registry.policies["cloud"]["models"] if one["name"] == members.model]
        return dict(found)

    change(sys.executable)
    release_first()
    plan, name = fast_plan(2, 5000, 10_000), f"r-shadow-{members.model}"
    plan.shadow_seconds = 600
    platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id=name, plan=plan))
    until(lambda: "shadow" in entry())
    change(old.python)
    platform.stub.PauseRollout(pb.PauseRolloutRequest(rollout_id=name, reason="under N"))
    until(lambda: "shadow" not in entry())
    assert [(arm["from"], arm["to"], arm["role"]) for arm in entry()["arms"]] == [(0, 10_000, "stable")]
    change(sys.executable)
    platform.stub.PromoteRollout(pb.PromoteRolloutRequest(rollout_id=name, reason="enough seen", force=True))
    assert members.drive(name, "succeeded").candidate_release == 2
