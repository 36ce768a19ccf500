"""Let the tests of listening share their small protocol."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
