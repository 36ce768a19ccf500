"""Let the tests of tracing turn a data plane by hand, as those of execution do."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "execution"))
