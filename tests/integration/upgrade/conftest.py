"""The previous release, installed once from the wheel that was released, and platforms of either release."""

import random
import socket
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "standalone"))
sys.path.insert(0, str(Path(__file__).parents[2] / "contract" / "upgrade"))

from kept_releases import Release, install, installed_here, kept
from whole_platform import Platform, no_process


@pytest.fixture(scope="session")
def old(tmp_path_factory: pytest.TempPathFactory) -> Release:
    """The newest release that is kept."""
    return install(kept()[-1], tmp_path_factory.mktemp("old") / "environment")


@pytest.fixture(scope="session")
def new() -> Release:
    """Today's code."""
    return installed_here()


@pytest.fixture(scope="module")
def base() -> int:
    """A port above which nobody has the two hundred that a platform may want."""
    for _ in range(50):
        first = random.randrange(20_000, 31_500)
        try:
            for port in range(first + 90, first + 250):
                socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return first
    message = "no free block of ports"
    raise AssertionError(message)


@pytest.fixture(scope="module")
def up(base: int) -> Iterator[Callable[[Path, Release], Platform]]:
    """Start a platform of a release on a home."""
    started: list[Platform] = []

    def start(home: Path, release: Release) -> Platform:
        started.append(Platform(home, base, release.onecode))
        return started[-1]

    yield start
    for one in started:
        one.server.close()
        if one.popen.poll() is None:
            one.popen.kill()
            one.popen.wait(10)
            one.wait(partial(no_process, one.home), "the keeper")
