"""Run the real `onecode up` over a table of stand-in processes; a program of its own, so that it can be killed."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from onecode_standalone.addresses import Addresses
from onecode_standalone.home import Home
from onecode_standalone.settings import UpSettings
from onecode_standalone.table import Entry, base_environment
from onecode_standalone.up import run_up

SERVICE = Path(__file__).with_name("stand_in_service.py")


def main() -> None:
    """Run until a signal."""
    plan = json.loads(sys.argv[1])
    base = int(plan["base"])
    settings = UpSettings(
        Path(plan["home"]),
        gateways=0,
        port_base=base + 100,
        console_port=base + 90,
        oip_rest_port=base + 91,
        oip_grpc_port=base + 92,
        edge_port=base + 93,
    )

    def table(home: Home, _addresses: Addresses) -> Sequence[Entry]:
        return [
            Entry(
                name,
                (sys.executable, str(SERVICE), str(base + number), wanted.get("mode", "")),
                base_environment(home, name),
                f"http://127.0.0.1:{base + number}/readyz",
                base + number,
                tuple(wanted.get("needs", ())),
            )
            for number, (name, wanted) in enumerate(plan["processes"].items())
        ]

    run_up(settings, table)


if __name__ == "__main__":
    main()
