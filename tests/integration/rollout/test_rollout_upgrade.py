"""N, N+1 and N again run on the same records, killed in between: nothing is lost and everybody goes on.

N is this program without its newest migration: what the previous release's program knows of the schema. (No wheel of
a release is built: tests run without the history of the repository.)
"""

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from onecode.rollout.v1 import rollout_pb2 as pb

PACKAGE = Path(str(files("onecode_rollout")))
NEWEST = max(path.name for path in (PACKAGE / "migrations" / "versions").glob("[0-9]*.py"))


@pytest.fixture(scope="module")
def old_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds the program of N."""
    folder = tmp_path_factory.mktemp("n")
    shutil.copytree(PACKAGE, folder / PACKAGE.name, ignore=shutil.ignore_patterns("__pycache__", NEWEST))
    return folder


@pytest.fixture(scope="module")
def platform(new_platform: Callable[[], Any], old_code: Path) -> Iterator[Any]:
    """A running rollout of release N."""
    found = new_platform()
    found.code = old_code
    found.start()
    assert found.bus.wait_connected(10)
    yield found
    found.stop()


def schema(platform: Any) -> str:
    with closing(sqlite3.connect(platform.folder / "rollout.db")) as connection:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])


def test_a_release_goes_on_over_an_upgrade_and_its_rollback(
    platform: Any, members: Any, release_first: Callable[[], None], fast_plan: Callable[..., pb.Plan], old_code: Path
) -> None:
    before, after = f"{int(NEWEST[:4]) - 1:04}", NEWEST[:4]
    release_first()
    assert schema(platform) == before
    plan = fast_plan(2, 1000, 5000, 10_000)
    platform.stub.CreateRollout(pb.CreateRolloutRequest(rollout_id="r-long", plan=plan))
    platform.stub.PauseRollout(pb.PauseRolloutRequest(rollout_id="r-long", reason="under N"))

    platform.kill()
    platform.code = None
    platform.start()
    assert schema(platform) == after
    assert platform.get("r-long").state == "paused"
    platform.stub.ResumeRollout(pb.ResumeRolloutRequest(rollout_id="r-long", reason="under N+1"))
    members.drive("r-long", "running")

    platform.kill()
    platform.code = old_code
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
