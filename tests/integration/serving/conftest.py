"""Let the tests share the small models and the server of the unit tests, the cloud's world, and the bench's load."""

import sys
from pathlib import Path

_HERE = Path(__file__).parent
_UNIT = _HERE.parents[1] / "unit" / "serving"
_ROOT = _HERE.parents[2]
sys.path[:0] = [str(_HERE), str(_UNIT), str(_UNIT / "listen"), str(_HERE.parent / "inference"), str(_ROOT)]
