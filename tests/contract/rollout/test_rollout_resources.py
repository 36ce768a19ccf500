"""ModelRollout objects and rollouts come together, whatever happens to either side; on both databases."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from onecode_common.errors import UnavailableError
from onecode_rollout.domain.plan import Step
from onecode_rollout.domain.wish import Wish
from onecode_rollout.following import Follower
from onecode_rollout.ports import Resource

ON_SQLITE = pytest.mark.parametrize("record_url", ["sqlite"], indirect=True)
"""For what the kind of database cannot change."""
GATED = (Step(1000, manual_gate=True), Step(5000), Step(10_000))


class RecordedObjects:
    """Objects as an API server would keep them; their status is merged as RFC 7396 says."""

    namespace = "prod"

    def __init__(self) -> None:
        self.wishes: dict[str, Wish] = {}
        self.statuses: dict[str, dict[str, Any]] = {}
        self.writes: list[str] = []
        self.away = False
        self.never_seen = False

    def seen(self) -> Sequence[Resource] | None:
        if self.never_seen:
            return None
        return [Resource(wish, self.statuses.get(name, {})) for name, wish in sorted(self.wishes.items())]

    def write_status(self, name: str, patch: Mapping[str, Any]) -> None:
        if self.away:
            raise UnavailableError("away")
        self.writes.append(name)
        merged = {**self.statuses.get(name, {}), **patch}
        self.statuses[name] = {key: value for key, value in merged.items() if value is not None}

    def apply(self, name: str = "shuttle-v2", version: int = 2, **changes: Any) -> None:
        """Create or change an object, as kubectl does."""
        old = self.wishes.get(name)
        if old is None:
            self.wishes[name] = Wish("prod", name, 1, "shuttle", version, ("cloud",), **changes)
        else:
            self.wishes[name] = replace(old, generation=old.generation + 1, **changes)


class Together:
    """A world, objects, and one replica that follows them."""

    def __init__(self, world: Any) -> None:
        self.world, self.objects = world, RecordedObjects()
        self.follower = self.replica("one")

    def replica(self, holder: str) -> Follower:
        """Return a replica without memory."""
        return Follower(self.world.service.resources, self.objects, self.world.clock, holder)

    def turn(self, seconds: float = 11.0) -> None:
        """Let the controller and the replica work; eleven seconds are enough for a status to be written."""
        self.world.turn(seconds)
        self.follower.step_all(threading.Event())

    def state(self, name: str = "shuttle-v2") -> str:
        """Return the state that an object's status tells."""
        return str(self.objects.statuses.get(name, {}).get("state", ""))

    def conditions(self, name: str = "shuttle-v2") -> dict[str, tuple[str, str]]:
        """Return status and reason by type."""
        found = self.objects.statuses[name]["conditions"]
        return {one["type"]: (one["status"], one["reason"]) for one in found}

    def evidence(self) -> None:
        """Let the candidate serve without errors for as long as a gate asks."""
        self.world.installed(2)
        for _ in range(12):
            self.world.counted(2, 300)
            self.world.counted(1, 2700)
            self.turn(60)


@pytest.fixture
def together(world: Any) -> Together:
    """A world whose cloud serves version 1."""
    world.release(1)
    return Together(world)


def test_an_object_starts_a_rollout_and_its_status_follows_to_the_end(together: Together) -> None:
    together.objects.apply(preset="fast", steps=GATED)
    together.turn()
    status = together.objects.statuses["shuttle-v2"]
    assert (status["rolloutId"], status["state"], status["progress"]) == ("prod:shuttle-v2", "Running", "1/3")
    assert (status["share"], status["stableVersion"], status["observedGeneration"]) == ("10%", 1, 1)
    assert together.conditions() == {
        "Accepted": ("True", "Honoured"),
        "Ready": ("False", "Running"),
        "Stalled": ("False", "Running"),
    }
    view = together.world.service.rollouts.get("prod:shuttle-v2")
    assert view.rollout.created_by == "kubernetes:prod:shuttle-v2"
    together.world.service.commands.promote("prod:shuttle-v2", "u_anna", "looks good", force=True)
    together.turn()
    together.world.installed(2)
    together.turn()
    together.turn()
    assert (together.state(), together.objects.statuses["shuttle-v2"]["share"]) == ("Succeeded", "100%")
    assert together.conditions()["Ready"] == ("True", "Succeeded")
    assert "finishedAt" in together.objects.statuses["shuttle-v2"]


@ON_SQLITE
def test_a_status_is_written_on_change_only_and_at_most_every_ten_seconds(together: Together) -> None:
    together.objects.apply()
    together.turn()
    for _ in range(5):
        together.turn(0.5)
    assert len(together.objects.writes) == 1
    together.objects.apply(paused=True)
    together.turn(3)
    assert together.world.state("prod:shuttle-v2") == ("paused", "operator")
    assert len(together.objects.writes) == 1
    together.turn(8)
    assert (len(together.objects.writes), together.state()) == (2, "Paused")
    together.turn(60)
    assert len(together.objects.writes) == 2


@ON_SQLITE
def test_an_object_made_paused_starts_nothing_until_it_is_not(together: Together) -> None:
    together.objects.apply(paused=True)
    together.turn()
    assert (together.state(), together.conditions()["Accepted"]) == ("Waiting", ("True", "NotBegun"))
    together.objects.apply(paused=False)
    together.turn()
    assert together.state() == "Running"


@ON_SQLITE
def test_pausing_and_going_on_are_carried_out_once_each(together: Together) -> None:
    together.objects.apply()
    together.turn()
    together.objects.apply(paused=True)
    together.turn()
    assert (together.state(), together.conditions()["Stalled"]) == ("Paused", ("True", "PausedOperator"))
    together.world.service.commands.resume("prod:shuttle-v2", "u_anna", "", override=False)
    together.turn()
    together.turn()
    assert (together.state(), together.conditions()["Accepted"]) == ("Running", ("True", "Overridden"))
    together.objects.apply(paused=False)
    together.turn()
    assert together.conditions()["Accepted"] == ("True", "Honoured")


@ON_SQLITE
def test_what_a_person_paused_an_unrelated_change_of_the_object_does_not_resume(together: Together) -> None:
    together.objects.apply(steps=GATED)
    together.turn()
    together.world.service.commands.pause("prod:shuttle-v2", "u_anna", "")
    together.objects.apply(advance_to=2)
    together.turn()
    together.turn()
    assert together.world.state("prod:shuttle-v2") == ("paused", "operator")


@ON_SQLITE
def test_a_manual_gate_opens_by_advance_to_and_only_when_the_evidence_allows(together: Together) -> None:
    together.objects.apply(steps=GATED, advance_to=1)
    together.turn()
    together.evidence()
    together.turn()
    assert together.world.state("prod:shuttle-v2") == ("paused", "gate")
    assert together.conditions()["Stalled"] == ("True", "PausedGate")
    together.objects.apply(advance_to=2)
    together.turn()
    together.turn()
    assert together.objects.statuses["shuttle-v2"]["progress"] == "2/3"
    kinds = [one.kind for one, _ in together.world.service.rollouts.explain("prod:shuttle-v2")[0]]
    assert kinds == ["create", "start", "hold", "resume", "widen"]


@ON_SQLITE
def test_an_early_advance_to_waits_for_the_evidence(together: Together) -> None:
    together.objects.apply(steps=GATED, advance_to=2)
    for _ in range(5):
        together.turn()
    assert together.world.state("prod:shuttle-v2")[0] == "running"


@ON_SQLITE
def test_withdrawing_takes_the_version_back(together: Together) -> None:
    together.objects.apply()
    together.turn()
    together.objects.apply(withdrawn=True)
    together.turn()
    assert together.state() == "RollingBack"
    together.world.tell(status=together_status(together))
    together.turn(60)
    together.turn()
    assert (together.state(), together.conditions()["Ready"]) == ("RolledBack", ("False", "RolledBackOperator"))
    assert together.conditions()["Stalled"][0] == "True"


def together_status(together: Together) -> Any:
    """Return the cloud's word that it serves version 1 under the newest policy."""
    from onecode_rollout.domain.reports import StatusReport

    return StatusReport(together.world.policy().generation, {"shuttle": f"sha256:{1:064x}"})


@ON_SQLITE
def test_withdrawing_what_is_released_is_refused_by_a_condition(together: Together) -> None:
    together.objects.apply()
    together.turn()
    together.world.service.commands.promote("prod:shuttle-v2", "u_anna", "go", force=True)
    together.turn()
    together.world.installed(2)
    together.turn()
    together.objects.apply(withdrawn=True)
    together.turn()
    assert (together.state(), together.conditions()["Accepted"]) == ("Succeeded", ("False", "TooLate"))


@ON_SQLITE
@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"version": 99}, "VersionUnknown"),
        ({"version": 1}, "PlanSameVersion"),
        ({"steps": (Step(5000), Step(1000), Step(10_000))}, "PlanSteps"),
    ],
)
def test_what_cannot_be_honoured_is_refused_by_a_condition(
    together: Together, changes: dict[str, Any], reason: str
) -> None:
    together.objects.apply(**changes)
    together.turn()
    assert (together.state(), together.conditions()["Accepted"]) == ("Refused", ("False", reason))
    assert together.objects.statuses["shuttle-v2"]["message"]
    together.turn(60)
    assert len(together.objects.writes) == 1


@ON_SQLITE
def test_a_refused_object_is_tried_again_and_starts_when_it_can(together: Together) -> None:
    together.objects.apply()
    del together.world.registry.datatypes[2]
    together.turn()
    assert together.state() == "Refused"
    together.world.registry.datatypes[2] = "FP32"
    together.turn()
    assert together.state() == "Running"


@ON_SQLITE
def test_a_second_object_of_the_model_waits_refused_for_its_slot(together: Together) -> None:
    together.objects.apply()
    together.turn()
    together.objects.apply("shuttle-v3", 3)
    together.turn()
    assert together.conditions("shuttle-v3")["Accepted"] == ("False", "RolloutSlotTaken")
    together.objects.apply(withdrawn=True)
    together.turn()
    together.world.tell(status=together_status(together))
    together.turn(60)
    together.turn()
    assert together.state("shuttle-v3") == "Running"


def test_deleting_pauses_and_making_it_again_goes_on(together: Together) -> None:
    together.objects.apply()
    together.turn()
    gone = together.objects.wishes.pop("shuttle-v2")
    together.turn()
    assert together.world.state("prod:shuttle-v2") == ("paused", "operator")
    for _ in range(3):
        together.turn()
    decisions = together.world.service.rollouts.explain("prod:shuttle-v2")[0]
    assert [one.kind for one, _ in decisions] == ["create", "start", "pause"]
    together.objects.statuses.clear()
    together.objects.wishes["shuttle-v2"] = gone
    together.turn()
    together.turn()
    assert (together.world.state("prod:shuttle-v2")[0], together.state()) == ("running", "Running")


@ON_SQLITE
def test_an_object_made_again_under_its_name_for_something_else_is_refused(together: Together) -> None:
    together.objects.apply()
    together.turn()
    del together.objects.wishes["shuttle-v2"]
    together.turn()
    together.objects.apply(version=3)
    together.turn()
    assert together.conditions()["Accepted"] == ("False", "RolloutNameTaken")
    assert together.world.state("prod:shuttle-v2") == ("paused", "operator")


@ON_SQLITE
def test_nothing_is_let_go_before_all_objects_were_seen(together: Together) -> None:
    together.objects.apply()
    together.turn()
    together.objects.wishes.clear()
    together.objects.never_seen = True
    together.follower = together.replica("one")
    together.turn()
    assert together.world.state("prod:shuttle-v2")[0] == "running"


@ON_SQLITE
def test_rollouts_go_on_while_the_api_is_away_and_the_status_catches_up(together: Together) -> None:
    together.objects.apply()
    together.turn()
    together.objects.away = True
    together.world.service.commands.pause("prod:shuttle-v2", "u_anna", "")
    together.turn()
    assert together.state() == "Running"
    together.objects.away = False
    together.turn()
    assert together.state() == "Paused"


@ON_SQLITE
def test_a_registry_that_is_down_refuses_nothing(together: Together) -> None:
    together.world.registry.down = True
    together.objects.apply()
    together.follower.step_all(threading.Event())
    assert together.objects.writes == []
    together.world.registry.down = False
    together.turn()
    assert together.state() == "Running"


def test_a_replica_that_was_killed_anywhere_is_continued_by_one_without_memory(together: Together) -> None:
    steps: list[dict[str, Any]] = [{}, {"paused": True}, {"paused": False}, {"withdrawn": True}]
    for number, change in enumerate(steps):
        together.objects.apply(**change)
        # It acted, and was killed before it wrote the status.
        together.objects.away = True
        together.turn()
        together.objects.away = False
        together.follower = together.replica("one")
        together.turn()
        assert together.objects.statuses["shuttle-v2"]["observedGeneration"] == number + 1
    decisions = together.world.service.rollouts.explain("prod:shuttle-v2")[0]
    assert [one.kind for one, _ in decisions][:5] == ["create", "start", "pause", "resume", "rollback"]
    assert len([one for one, _ in decisions if one.by != "rule"]) == 4


def test_of_two_replicas_one_acts_until_it_falls_silent(together: Together) -> None:
    first, second = together.follower, together.replica("two")
    together.objects.apply()
    together.turn()
    second.step_all(threading.Event())
    together.objects.apply(paused=True)
    second.step_all(threading.Event())
    assert together.world.state("prod:shuttle-v2")[0] == "running"
    together.world.clock.seconds += 16
    second.step_all(threading.Event())
    assert together.world.state("prod:shuttle-v2")[0] == "paused"
    together.objects.apply(paused=False)
    first.step_all(threading.Event())
    assert together.world.state("prod:shuttle-v2")[0] == "paused"
    second.resign()
    together.world.clock.seconds += 5
    first.step_all(threading.Event())
    assert together.world.state("prod:shuttle-v2")[0] == "running"


def test_a_name_that_is_too_long_for_an_id_still_names_one_rollout(together: Together) -> None:
    name = "a" * 200
    together.objects.apply(name)
    together.turn()
    rollout_id = together.objects.statuses[name]["rolloutId"]
    assert len(rollout_id) <= 100
    assert together.world.state(rollout_id)[0] == "running"
