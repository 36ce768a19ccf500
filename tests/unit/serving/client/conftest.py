"""Let the tests of clients look at the bench's load, which is a client too."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[4]))
