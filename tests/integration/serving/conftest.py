"""Let the tests share the small models and the server of the unit tests."""

import sys
from pathlib import Path

_HERE = Path(__file__).parent
_UNIT = _HERE.parents[1] / "unit" / "serving"
sys.path[:0] = [str(_HERE), str(_UNIT), str(_UNIT / "listen")]
