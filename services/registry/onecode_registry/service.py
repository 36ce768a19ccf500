"""Put the registry together from its ports."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import NamedTuple

from onecode_common.files import write_file
from onecode_common.loops import Loop
from onecode_registry.mirroring import Mirror
from onecode_registry.ports import Ports
from onecode_registry.reconcile import Housekeeping
from onecode_registry.servicer import RegistryServicer
from onecode_registry.usecases.admission import Admission
from onecode_registry.usecases.aliases import Aliases
from onecode_registry.usecases.distribution import Distribution
from onecode_registry.usecases.policies import Policies
from onecode_registry.usecases.registration import Registration
from onecode_registry.usecases.runs import Runs
from onecode_registry.usecases.signed import SignedMetadata
from onecode_registry.usecases.versions import Versions

_FINISH_S, _REFRESH_S, _SWEEP_S, _MIRROR_S = 30.0, 60.0, 3600.0, 1.0


class Closing:
    """Closes what was opened, once everything that uses it has stopped."""

    name = "database"

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    def start(self) -> None:
        """Do nothing: it is open."""

    def stop(self) -> None:
        """Close it."""
        self._close()

    def ready(self) -> str | None:
        """Return None: a call that finds it away says so."""
        return None


class Beginning:
    """What must be true before anybody is answered: keys and a root exist, nothing is half."""

    name = "beginning"

    def __init__(self, signed: SignedMetadata, registration: Registration, public: Path) -> None:
        self._signed = signed
        self._registration = registration
        self._public = public

    def start(self) -> None:
        """Make or check the signed metadata, write the root where others read it, finish registrations.

        Raises:
            InvalidError: A key is missing or damaged.
            UnavailableError: Database or object store do not answer.
        """
        root = self._signed.begin()
        self._public.mkdir(mode=0o755, parents=True, exist_ok=True)
        write_file(self._public / "root.json", root)
        self._registration.finish_all()

    def stop(self) -> None:
        """Do nothing: it has ended when it has begun."""

    def ready(self) -> str | None:
        """Return None: what comes after it does not start without it."""
        return None


class Service(NamedTuple):
    """What the listeners need, and the loops that run beside them."""

    servicer: RegistryServicer
    distribution: Distribution
    beginning: Beginning
    loops: tuple[Loop, ...]


def build(ports: Ports, public: Path, sweep_after: timedelta) -> Service:
    """Return the service.

    Args:
        ports: Everything outside.
        public: Folder for the root that gateways and servers begin to trust with.
        sweep_after: How long an object may lie unused.
    """
    signed = SignedMetadata(ports)
    registration = Registration(ports, signed)
    versions = Versions(ports, signed)
    admission = Admission(ports, registration, versions)
    house = Housekeeping(ports, signed, registration, sweep_after)
    servicer = RegistryServicer(admission, versions, Aliases(ports, versions), Policies(ports, signed), Runs(ports))
    loops = (
        Loop("finish", house.finish, idle_s=_FINISH_S),
        Loop("refresh", house.refresh, idle_s=_REFRESH_S),
        Loop("sweep", house.sweep, idle_s=_SWEEP_S),
        Loop("mirror", Mirror(ports).turn, idle_s=_MIRROR_S),
    )
    return Service(servicer, Distribution(ports), Beginning(signed, registration, public), loops)
