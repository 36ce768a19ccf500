"""Give the tests one real node for the whole run, our images on it, and a folder with keys."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from real_node import ONECODE, RealNode, start_real  # noqa: E402 - found through the line above


@pytest.fixture(scope="session")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealNode]:
    """Return a node that runs containers; skips where none can be started."""
    running = start_real(tmp_path_factory.mktemp("real"))
    try:
        yield running
    finally:
        subprocess.run([f"{os.environ['ONECODE_TEST_KUBE']}/down", str(running.work / "cluster")], check=True)


@pytest.fixture(scope="session")
def keys(node: RealNode, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder with a folder for each Secret, as the install guide makes it."""
    folder = tmp_path_factory.mktemp("keys") / "onecode"
    node.run(str(ONECODE), "keys", "create", str(folder))
    return folder / "secrets"
