"""Let the tests of the HTTP/1 engine share their app and the fuzz target."""

import sys
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parents[2] / "fuzz")]
