"""Keep the registry's own house in order: finish what a crash cut short, sign before it expires, sweep."""

import logging
import threading
from datetime import timedelta

from onecode_registry.ports import Ports
from onecode_registry.usecases.registration import Registration
from onecode_registry.usecases.signed import SignedMetadata

_log = logging.getLogger(__name__)


class Housekeeping:
    """Three turns, each of which reads what is, decides, and acts; none remembers anything."""

    def __init__(
        self, ports: Ports, signed: SignedMetadata, registration: Registration, sweep_after: timedelta
    ) -> None:
        self._records = ports.records
        self._objects = ports.objects
        self._clock = ports.clock
        self._signed = signed
        self._registration = registration
        self._sweep_after = sweep_after

    def finish(self, _stopping: threading.Event) -> bool:
        """Finish or undo registrations whose caller went away."""
        self._registration.finish_all()
        return False

    def refresh(self, _stopping: threading.Event) -> bool:
        """Sign again what is due."""
        self._signed.refresh()
        return False

    def sweep(self, stopping: threading.Event) -> bool:
        """Delete objects that no version needs and that nobody stored or stored again lately."""
        before = self._clock.now() - self._sweep_after
        old = [name for name, stored in self._objects.list() if stored < before]
        for name in old:
            if stopping.is_set():
                return False
            with self._records.transaction() as unit:
                # One at a time and inside the turn: a registration either sees the object gone or keeps it.
                unit.turn()
                if name not in unit.versions.referenced():
                    self._objects.delete(name)
                    _log.info("object %s was unused and is deleted", name)
        return False
