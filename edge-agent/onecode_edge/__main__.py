"""Start the agent: ``python -m onecode_edge``."""

import sys

from onecode_edge.supervisor import main

if __name__ == "__main__":
    sys.exit(main())
