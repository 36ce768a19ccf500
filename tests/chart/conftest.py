"""Let the tests of the chart share how it is rendered, and one control plane for the whole run."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "contract" / "upgrade"))

from chart_cluster import Cluster, start, stop


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a real API server with controllers and fake nodes; skips where none can be started."""
    running = start(tmp_path_factory.mktemp("kube"))
    yield running
    stop(running)
