"""Carry out what a ModelRollout object asks for, through the same use cases that people have."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import NamedTuple

from onecode_common.errors import OnecodeError, UnavailableError
from onecode_rollout.domain import wish as rules
from onecode_rollout.domain.lease import given_back, taken
from onecode_rollout.domain.resource_status import Refusal
from onecode_rollout.domain.rollout import Rollout
from onecode_rollout.domain.wish import Followed, Wish
from onecode_rollout.ports import Ports
from onecode_rollout.usecases.commands import Commands
from onecode_rollout.usecases.rollouts import Rollouts

_MOST_COMMANDS = 3
"""In one look: a change of the object needs one, seldom two."""

_LEASE = "custom-resources"


class Standing(NamedTuple):
    """How an object stands after a look."""

    followed: Followed
    rollout: Rollout | None
    sentence: str
    refusal: Refusal | None


class ResourceUse:
    """What objects may ask for; the database decides what comes of it."""

    def __init__(self, ports: Ports, rollouts: Rollouts, commands: Commands) -> None:
        self._ports = ports
        self._rollouts = rollouts
        self._commands = commands

    def lead(self, holder: str) -> bool:
        """Take or keep the right to follow objects; return whether ``holder`` has it."""
        with self._ports.records.transaction() as rows:
            lease = taken(rows.resources.lease(_LEASE), _LEASE, holder, self._ports.clock.now().timestamp())
            if lease is not None:
                rows.resources.save_lease(lease)
            return lease is not None

    def resign(self, holder: str) -> None:
        """Let another replica follow objects at once."""
        with self._ports.records.transaction() as rows:
            lease = given_back(rows.resources.lease(_LEASE), holder)
            if lease is not None:
                rows.resources.save_lease(lease)

    def followed(self, namespace: str) -> dict[str, Followed]:
        """Return what is remembered of a namespace's objects, by name."""
        with self._ports.records.transaction() as rows:
            return {one.name: one for one in rows.resources.followed(namespace)}

    def follow(self, wish: Wish, followed: Followed | None) -> Standing:
        """Bring the rollout to what the object asks for.

        Raises:
            UnavailableError: The registry or the database does not answer; the same call later goes on.
        """
        before = followed or Followed(wish.namespace, wish.name, wish.rollout_id)
        refusal = self._stranger(wish)
        if refusal is not None:
            return Standing(before, None, "", refusal)
        for _ in range(_MOST_COMMANDS):
            rollout, _ = self._look(wish.rollout_id)
            command = rules.command(wish, before, rollout)
            refusal = self._carry_out(command, wish) if command else None
            if not command or refusal is not None:
                break
        rollout, sentence = self._look(wish.rollout_id)
        met = refusal is None and rules.carried_out(rollout, paused=wish.paused)
        if rollout is not None:
            now = replace(before, present=True, paused=wish.paused if met else before.paused)
            self._remember(followed, now)
        return Standing(before, rollout, sentence, refusal)

    def let_go(self, followed: Followed) -> None:
        """Hold the rollout of an object that is gone; it goes on when the object is back, or by a person."""
        rollout, _ = self._look(followed.rollout_id)
        command = rules.command_without(followed, rollout)
        if command:
            by = _principal(followed.rollout_id)
            self._commands.pause(followed.rollout_id, by, "The ModelRollout object was deleted.")
            rollout, _ = self._look(followed.rollout_id)
        done = rules.carried_out(rollout, paused=True)
        self._remember(followed, replace(followed, present=False, paused=followed.paused or done))

    def _stranger(self, wish: Wish) -> Refusal | None:
        """Return a refusal where the name belongs to another rollout."""
        rollout, _ = self._look(wish.rollout_id)
        field = rules.difference(wish, rollout) if rollout is not None else ""
        if not field:
            return None
        text = f"An earlier ModelRollout of this name released something else (another {field}): choose a new name."
        return Refusal("rollout.name_taken", text)

    def _carry_out(self, command: str, wish: Wish) -> Refusal | None:
        rollout_id, by = wish.rollout_id, _principal(wish.rollout_id)
        acts: Mapping[str, Callable[[], object]] = {
            "create": lambda: self._create(wish, by),
            "cancel": lambda: self._commands.cancel(rollout_id, by),
            "rollback": lambda: self._commands.rollback(rollout_id, by, "spec.withdrawn is true"),
            "pause": lambda: self._commands.pause(rollout_id, by, "spec.paused is true"),
            "resume": lambda: self._commands.resume(rollout_id, by, "spec.paused is false", override=False),
            "open_gate": lambda: self._commands.resume(
                rollout_id, by, f"spec.advanceTo is {wish.advance_to}", override=False
            ),
        }
        try:
            acts[command]()
        except UnavailableError:
            raise
        except OnecodeError as error:
            hint = f" ({error.hint})" if error.hint else ""
            return Refusal(error.code, f"{error.message}{hint}")
        return None

    def _create(self, wish: Wish, by: str) -> None:
        version = self._ports.registry.release(wish.model, wish.version)
        plan, preset = wish.plan(version.digest)
        self._rollouts.create(wish.rollout_id, plan, preset, by)

    def _look(self, rollout_id: str) -> tuple[Rollout | None, str]:
        with self._ports.records.transaction() as rows:
            rollout = rows.rollouts.get(rollout_id)
            decisions = rows.rollouts.decisions(rollout_id) if rollout is not None else []
            return rollout, decisions[-1].sentence if decisions else ""

    def _remember(self, before: Followed | None, now: Followed) -> None:
        if now != before:
            with self._ports.records.transaction() as rows:
                rows.resources.save(now)


def _principal(rollout_id: str) -> str:
    return f"kubernetes:{rollout_id}"[:100]
