"""The story goes on after a restore: the same digests, the same gateway, the next release; on the real platform."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from whole_platform import ONECODE, Platform, no_process


@pytest.fixture
def up(free_base: int) -> Iterator[Callable[[Path], Platform]]:
    """Start the platform on a home."""
    started: list[Platform] = []

    def start(home: Path) -> Platform:
        started.append(Platform(home, free_base))
        return started[-1]

    yield start
    for one in started:
        one.server.close()
        if one.popen.poll() is None:
            one.popen.kill()
            one.popen.wait(10)
            one.wait(partial(no_process, one.home), "the keeper")


def onecode(*words: object) -> dict[str, Any]:
    """Run a command and return its JSON answer."""
    done = subprocess.run(
        [ONECODE, *map(str, words), "-o", "json"], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.timeout(400)
def test_a_platform_that_was_backed_up_while_it_ran_goes_on_elsewhere(
    up: Callable[[Path], Platform], tmp_path: Path
) -> None:
    secret = tmp_path / "passphrase"
    secret.write_text("correct horse battery\n")
    secret.chmod(0o600)
    first = up(tmp_path / "first")
    one = first.import_version(tmp_path, 1.0)
    first.release(one)
    first.wait(lambda: first.serves(one), "the gateway to tell")
    before, answers = first.told(), first.answers()
    assert answers

    file = tmp_path / "platform.backup"
    taken = onecode("backup", file, "--passphrase-file", secret, "--home", first.home)
    assert taken["objects"] >= 3
    # What is released after the backup is lost with the machine, but a gateway has accepted it.
    lost = first.import_version(tmp_path, 3.0)
    first.release(lost)
    first.wait(lambda: first.serves(lost), "the gateway to serve what will be lost")
    first.down()
    assert onecode("backup", "verify", file, "--passphrase-file", secret)["whole"] is True
    restored = onecode("restore", file, "--passphrase-file", secret, "--home", tmp_path / "second")
    assert restored["audit"] == "whole"
    for name in ("api-token", "keys/registry.key", "gateways/gw-1/identity/gateway.key", "registry/keys/root.key"):
        assert (tmp_path / "second" / name).read_bytes() == (first.home / name).read_bytes()

    shutil.rmtree(tmp_path / "second" / "gateways" / "gw-1")
    shutil.copytree(
        first.home / "gateways" / "gw-1",
        tmp_path / "second" / "gateways" / "gw-1",
        symlinks=True,
        ignore=shutil.ignore_patterns("*.sock"),
    )

    second = up(tmp_path / "second")
    assert second.told() == before
    second.wait(lambda: second.answers() == answers, "the gateway to follow the restored cloud")
    two = second.import_version(tmp_path, 2.0)
    second.release(two)
    second.wait(lambda: second.serves(two), "the gateway to serve the next version")
    assert second.answers() not in ([], answers)
    assert sorted(int(release) for release, _ in second.told()["versions"]) == [1, 2]
    second.down()
