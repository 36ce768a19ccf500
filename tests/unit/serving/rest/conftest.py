"""Let the tests of REST share their wire, the small models and the fuzz target."""

import sys
from pathlib import Path

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent), str(_HERE.parents[2] / "fuzz")]
