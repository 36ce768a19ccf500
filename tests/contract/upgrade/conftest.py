"""Let the tests of upgrades share how kept releases are found and run."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
