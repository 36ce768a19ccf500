"""Turn the wheels of training: three loops, so that a slow peer holds up nothing but its own work."""

import threading

from onecode_common.loops import Loop
from onecode_training.usecases.attempts import Attempts
from onecode_training.usecases.bell import Bell
from onecode_training.usecases.registration import Registration

_DRIVERS_S, _REGISTRY_S, _AFTERWARDS_S = 0.3, 1.0, 2.0


class DriverLoop(Loop):
    """Follows drivers; when the service ends in order, it ends them."""

    def __init__(self, attempts: Attempts, changed: Bell) -> None:
        super().__init__("drivers", self._look, idle_s=_DRIVERS_S)
        self._attempts = attempts
        changed.also(self.wake)

    def stop(self) -> None:
        """End the loop, then the drivers: nobody would hear them, and their runs can be resumed."""
        super().stop()
        self._attempts.interrupt_all()

    def _look(self, _stopping: threading.Event) -> bool:
        self._attempts.turn()
        return False


def loops(attempts: Attempts, registration: Registration, changed: Bell) -> list[Loop]:
    """Return the loops in the order in which they start."""

    def register(_stopping: threading.Event) -> bool:
        registration.register_all()
        return False

    def afterwards(_stopping: threading.Event) -> bool:
        registration.release_all()
        return registration.send_logs()

    registering = Loop("registration", register, idle_s=_REGISTRY_S)
    mirror = Loop("afterwards", afterwards, idle_s=_AFTERWARDS_S)
    changed.also(registering.wake)
    return [registering, mirror, DriverLoop(attempts, changed)]
