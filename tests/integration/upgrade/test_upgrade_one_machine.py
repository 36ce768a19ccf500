"""The released wheel and today's code take turns on one home, and run beside each other: nothing is lost or refused."""

import json
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kept_releases import Release
from upgrade_mixed import command_of, environment_of, gateway, processes, replaced
from whole_platform import TIMES, Platform

from onecode_client.rollouts import make_plan
from onecode_standalone.control import ask

TABLES = {
    "ingestion": ("datasets", "versions"),
    "registry": ("models", "versions", "version_files"),
    "rollout": ("segments", "rollouts", "decisions"),
    "training": ("runs",),
}
"""Whose rows a backup must bring back, by the columns that name them."""
TURNS = (("registry", "ingestion", "inference"), ("console", "rollout", "training"))
"""Halves of the platform: with each of them old in turn, old asks new and new asks old."""


def everything(platform: Platform) -> dict[str, Any]:
    """Return what people are told of what was ever put in, and of what became of it."""
    data = platform.server.data
    names = sorted(str(one["name"]) for one in data.list())
    return {
        **platform.told(),
        "data": {name: [(one.version_id, data.rows(one.version_id)) for one in data.versions(name)] for name in names},
        "runs": [(one.run_id, one.state) for one in platform.server.train.list()],
        "segments": sorted(one.name for one in platform.server.segments.list()),
    }


def add_data(platform: Platform, folder: Path, number: int) -> None:
    """Upload a table that no other call of this uploads; read it back."""
    file = folder / f"{number}.csv"
    file.write_text("a,b,label\n" + "".join(f"{row},{row * number / 7},{row % 2}\n" for row in range(50)))
    platform.server.data.upload(file, "readings")
    assert platform.server.data.rows("readings")["total"] == 50


def start_run(platform: Platform) -> None:
    """Start a run of training and stop it: its record and its folder stay."""
    recipe = {"task": "tabular-classification", "target": "label", "search": {"preset": "quick"}}
    run = platform.server.train.start(recipe, data="readings", model="")
    platform.server.train.stop(run.run_id)
    assert platform.server.train.wait(run.run_id, timeout_s=60).state == "RUN_STATE_STOPPED"


def begin(platform: Platform, digest: str) -> str:
    """Begin to release a version to half of the requests and stop there; return the rollout."""
    plan = make_plan("pump", digest, ["cloud", "line-1"], shares=[5000, 10_000], preset=TIMES)
    rollout_id = platform.server.rollouts.start(plan).rollout_id
    platform.wait(lambda: platform.server.rollouts.get(rollout_id).state == "running", "the first step")
    platform.server.rollouts.pause(rollout_id, reason="an upgrade")
    return rollout_id


def finish(platform: Platform, rollout_id: str, digest: str) -> None:
    """Go on with a release that another release of the platform began."""
    assert platform.server.rollouts.get(rollout_id).state == "paused"
    platform.server.rollouts.resume(rollout_id, reason="upgraded")
    platform.wait(lambda: platform.server.rollouts.get(rollout_id).state == "running", "the release to go on")
    platform.server.rollouts.promote(rollout_id, reason="a test", force=True)
    platform.wait(lambda: platform.server.rollouts.get(rollout_id).state == "succeeded", "the release to end")
    platform.wait(lambda: platform.serves(digest), "the gateway to tell")


def assert_answers(platform: Platform, weight: int, url: str = "") -> None:
    """The gateway, the cloud and another gateway answer as the version of this weight does."""
    wanted = [weight + 1.0, 2.0 * weight + 1.0]
    platform.wait(lambda: platform.answers() == wanted, f"the gateway to answer {wanted}")
    platform.wait(lambda: platform.answers(platform.oip_url) == wanted, f"the cloud to answer {wanted}")
    platform.wait(lambda: platform.answers(url) == wanted, f"the other gateway to answer {wanted}")


def back_up(home: Path, release: Release, file: Path) -> None:
    """Seal all of it with a release's own command."""
    secret = file.with_name("passphrase")
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    run(release, "backup", file, "--passphrase-file", secret, "--home", home)


def assert_comes_back(file: Path, release: Release, home: Path) -> None:
    """A release restores what another has sealed, and names the same things in it as are in the home."""
    restored = file.with_name(f"restored-{release.version}")
    told = run(release, "restore", file, "--passphrase-file", file.with_name("passphrase"), "--home", restored)
    assert (told["audit"], told["databases"]) == ("whole", 7)
    for service, tables in TABLES.items():
        for table in tables:
            before, after = (keys(folder / service / f"{service}.db", table) for folder in (home, restored))
            assert after == before != [], table


def keys(database: Path, table: str) -> list[Any]:
    """Return the primary keys of a table."""
    with closing(sqlite3.connect(database)) as connection:
        columns = [row[1] for row in connection.execute(f"PRAGMA table_info({table})") if row[5]]
        return sorted(connection.execute(f"SELECT {', '.join(columns)} FROM {table}"))  # noqa: S608


def run(release: Release, *words: object) -> dict[str, Any]:
    """Run a command of a release and return its JSON answer."""
    command = [release.onecode, *map(str, words), "-o", "json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def assert_runs(platform: Platform, release: Release) -> None:
    """Every process of ours is the release's own."""
    assert ask(platform.home / "control.sock", "status")["version"] == release.version
    ours = [one for name, one in processes(platform).items() if name != "nats"]
    assert {Path(command_of(one["pid"])[0]).parent for one in ours} == {release.python.parent}


def test_the_previous_release_runs_its_own_code(old: Release, new: Release) -> None:
    code = (
        "import onecode_common, onecode_rollout.service, onecode_standalone.up, onecode_edge.agent\n"
        "from onecode.rollout.v1 import rollout_pb2\n"
        "import sys; own = [m.__file__ for n, m in sys.modules.items() if n.startswith('onecode') and m.__file__]\n"
        "from importlib.metadata import entry_points, version\n"
        "(command,) = entry_points(group='onecode.commands')\n"
        "print(version('onecode'), command.dist.version, *own)"
    )
    done = subprocess.run([old.python, "-P", "-c", code], capture_output=True, text=True, check=True)
    release, commands, *own = done.stdout.split()
    assert release == commands == old.version != new.version
    assert len(own) > 100
    assert all(Path(file).is_relative_to(old.python.parents[1]) for file in own)


@pytest.mark.timeout(400)
def test_releases_take_turns_on_one_home_and_run_beside_each_other(
    up: Callable[[Path, Release], Platform], old: Release, new: Release, tmp_path: Path, base: int
) -> None:
    home, sealed_by_old, sealed_by_new = (tmp_path / name for name in ("home", "old.backup", "new.backup"))
    platform = up(home, old)
    assert_runs(platform, old)
    add_data(platform, tmp_path, 1)
    start_run(platform)
    platform.release(platform.import_version(tmp_path, 1.0))
    two = platform.import_version(tmp_path, 2.0)
    second = begin(platform, two)
    written = everything(platform)
    back_up(home, old, sealed_by_old)
    settings = {name: environment_of(one["pid"]) for name, one in processes(platform).items()}
    platform.down()
    assert_comes_back(sealed_by_old, new, home)

    platform = up(home, new)
    assert_runs(platform, new)
    assert everything(platform) == written
    finish(platform, second, two)
    work_side_by_side(platform, old, settings, tmp_path, base)
    nine = platform.import_version(tmp_path, 9.0)
    third = begin(platform, nine)
    written = everything(platform)
    back_up(home, new, sealed_by_new)
    platform.down()
    assert_comes_back(sealed_by_new, old, home)

    platform = up(home, old)
    assert_runs(platform, old)
    assert everything(platform) == written
    finish(platform, third, nine)
    add_data(platform, tmp_path, 3)
    platform.release(platform.import_version(tmp_path, 10.0))
    assert_answers(platform, 10)
    platform.down()


def work_side_by_side(
    platform: Platform, old: Release, settings: dict[str, dict[str, str]], folder: Path, base: int
) -> None:
    """Half of the services and a gateway are those of the other release; everything that people do works."""
    with gateway(platform, "gw-old", old, (base + 240, base + 241, base + 242)) as url:
        for number, names in enumerate(TURNS, 5):
            with replaced(platform, {name: settings[name] for name in names}, old):
                add_data(platform, folder, number)
                platform.release(platform.import_version(folder, float(number)))
                assert_answers(platform, number, url)
        seen = platform.server.gateways.get("gw-old").document["requests"]["pump"]
        for _ in range(20):
            assert platform.answers(url)
        enough = f"the new cloud to hear of {seen + 20} requests"
        platform.wait(lambda: told(platform)["requests"]["pump"] >= seen + 20, enough)
        assert told(platform)["agent_version"] == old.version
    # A release would wait for a gateway that is away.
    platform.server.gateways.revoke("gw-old", reason="its test is over")


def told(platform: Platform) -> dict[str, Any]:
    """Return what the cloud knows of the old gateway."""
    return dict(platform.server.gateways.get("gw-old").document)
