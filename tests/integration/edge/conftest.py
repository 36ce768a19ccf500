"""Give each test of this folder a cloud in miniature, and gateways that follow it."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parent.parent / "delivery")]

from edge_world import World  # noqa: E402 - found through the line above


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()
