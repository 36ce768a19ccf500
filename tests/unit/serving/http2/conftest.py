"""Let the tests of the HTTP/2 engine share their kit and the fuzz target."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[3] / "fuzz"))
