"""Tell the state of a running platform as a document that programs and the screen both read."""

from importlib.metadata import version

from onecode_common.clock import Clock
from onecode_standalone.addresses import Addresses
from onecode_standalone.child import Child
from onecode_standalone.proc import Process, descendants, processes, resident_bytes
from onecode_standalone.supervisor import Supervisor


class Status:
    """Makes the document; memory is that of a process and all its descendants.

    Attributes:
        addresses: Of the platform.
    """

    def __init__(self, supervisor: Supervisor, addresses: Addresses, pid: int, clock: Clock) -> None:
        self._supervisor = supervisor
        self.addresses = addresses
        self._pid = pid
        self._clock = clock
        self._began = clock.monotonic()

    def document(self) -> dict[str, object]:
        """Return the present state."""
        running = processes()
        entries = [_entry(child, running) for child in self._supervisor.children.values()]
        own = resident_bytes([self._pid, *filter(None, [self._supervisor.keeper.pid])])
        state = self._supervisor.state
        return {
            "apiVersion": "onecode/v1",
            "kind": "Status",
            "version": version("onecode"),
            "home": str(self._supervisor.home.root),
            "pid": self._pid,
            "state": state,
            "ready": state == "ready",
            "uptime_s": round(self._clock.monotonic() - self._began, 1),
            "supervisor_rss_bytes": own,
            "rss_bytes": own + sum(int(str(entry["rss_bytes"])) for entry in entries),
            "processes": entries,
            "addresses": self.addresses.document(),
        }


def _entry(child: Child, running: list[Process]) -> dict[str, object]:
    pid = child.pid
    return {
        "name": child.name,
        "state": child.state,
        "reason": child.reason,
        "pid": pid,
        "port": child.entry.port,
        "uptime_s": round(child.uptime_s, 1),
        "restarts": child.restarts,
        "last_exit": str(child.last_exit) if child.last_exit is not None else "",
        "rss_bytes": resident_bytes(descendants(pid, running)) if pid is not None else 0,
    }
