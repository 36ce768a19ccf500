"""Put the service together from its ports; nothing here knows which adapters they are."""

from dataclasses import dataclass

from onecode_rollout.ports import Ports
from onecode_rollout.reconcile import Controller, Publisher
from onecode_rollout.usecases.commands import Commands
from onecode_rollout.usecases.enrolment import Enrolment
from onecode_rollout.usecases.fleet import FleetUse
from onecode_rollout.usecases.policies import Policies
from onecode_rollout.usecases.resources import ResourceUse
from onecode_rollout.usecases.rollouts import Rollouts
from onecode_rollout.usecases.telemetry import Telemetry
from onecode_rollout.usecases.transitions import Transitions
from onecode_rollout.watch import Watch


@dataclass(frozen=True, slots=True)
class Service:
    """All parts of rollout that do not reach outside by themselves."""

    fleet: FleetUse
    rollouts: Rollouts
    commands: Commands
    enrolment: Enrolment
    telemetry: Telemetry
    watch: Watch
    controller: Controller
    publisher: Publisher
    resources: ResourceUse
    policies: Policies


def build(ports: Ports, project: str, poll_s: float) -> Service:
    """Return the service.

    Args:
        ports: The outside.
        project: That everything belongs to.
        poll_s: Longest wait of the controller between two looks.
    """
    policies = Policies(ports, project)
    transitions = Transitions(ports, policies)
    rollouts = Rollouts(ports, transitions)
    telemetry = Telemetry(ports)
    commands = Commands(ports, transitions)
    service = Service(
        fleet=FleetUse(ports, policies),
        rollouts=rollouts,
        commands=commands,
        enrolment=Enrolment(ports),
        telemetry=telemetry,
        watch=Watch(rollouts),
        controller=Controller(ports, transitions, poll_s),
        publisher=Publisher(ports, policies),
        resources=ResourceUse(ports, rollouts, commands),
        policies=policies,
    )
    telemetry.wake_controller = service.controller.loop.wake
    transitions.wake_publisher = service.publisher.loop.wake
    return service
