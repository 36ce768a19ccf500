"""Put training together."""

from dataclasses import dataclass

from onecode_common.loops import Loop
from onecode_training.ports import Ports
from onecode_training.reconcile import loops
from onecode_training.servicer import TrainingServicer
from onecode_training.usecases.attempts import Attempts, Where
from onecode_training.usecases.bell import Bell
from onecode_training.usecases.registration import Registration
from onecode_training.usecases.runs import Runs


@dataclass(frozen=True, slots=True)
class Service:
    """What the program serves and turns."""

    servicer: TrainingServicer
    loops: list[Loop]


def build(ports: Ports, where: Where, project: str) -> Service:
    """Return the service on these ports."""
    changed = Bell()
    runs = Runs(ports, project, changed)
    attempts = Attempts(ports, where, changed)
    registration = Registration(ports, where.code_version, changed)
    return Service(TrainingServicer(runs), loops(attempts, registration, changed))
