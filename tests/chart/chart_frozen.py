"""Hold what an API server refuses to change: an upgrade that changes it fails, or needs data to be moved by hand.

Run ``python tests/chart/chart_frozen.py`` at a release, before the version is raised, to add it to ``frozen.json``;
lines are never removed.
"""

import json
import sys
from pathlib import Path
from typing import Any

import yaml
from chart_rendering import CHART, objects, of_kind

FILE = Path(__file__).parent / "frozen.json"
SETS = ("default", "services", "production")
_FIELDS = {
    "StatefulSet": ("serviceName", "podManagementPolicy", "selector", "volumeClaimTemplates"),
    "Deployment": ("selector",),
    "DaemonSet": ("selector",),
}


def version() -> str:
    """Return the chart's version."""
    return str(yaml.safe_load((CHART / "Chart.yaml").read_text())["version"])


def frozen() -> dict[str, Any]:
    """Return the fields that cannot change, by set of values and object."""
    return {
        name: {
            f"{one['kind']}/{one['metadata']['name']}": {
                field: one["spec"][field] for field in _FIELDS[one["kind"]] if field in one["spec"]
            }
            for one in of_kind(objects(name), *_FIELDS)
        }
        for name in SETS
    }


def main() -> None:
    """Add this version."""
    known = json.loads(FILE.read_text()) if FILE.exists() else {}
    FILE.write_text(json.dumps(known | {version(): frozen()}, indent=1) + "\n")
    sys.stdout.write(f"{FILE} holds {version()}\n")


if __name__ == "__main__":
    main()
