"""Follow ModelRollout objects: look, let the use cases act, write down how each stands; again and again.

One replica does this at a time, by a lease in the database. Nothing but times is remembered between two turns.
"""

import logging
import threading

from onecode_common.clock import Clock
from onecode_common.errors import ConflictError, OnecodeError, UnavailableError
from onecode_common.loops import Loop
from onecode_rollout.domain.lease import RENEW_S
from onecode_rollout.domain.resource_status import may_write, patch_of, status_of
from onecode_rollout.domain.wish import Followed
from onecode_rollout.ports import Resource, Resources
from onecode_rollout.usecases.resources import ResourceUse, Standing

_log = logging.getLogger(__name__)
_IDLE_S = 1.0
_AFTER_REFUSAL_S = 10.0


class Follower:
    """Brings objects and rollouts together.

    Args:
        use: What objects may ask for.
        resources: The objects.
        clock: Time of the lease, of retries and of writings.
        holder: Name of this replica, which no other has.
    """

    def __init__(self, use: ResourceUse, resources: Resources, clock: Clock, holder: str) -> None:
        self._use = use
        self._resources = resources
        self._clock = clock
        self._holder = holder
        self._leads_until = float("-inf")
        self._written: dict[str, float] = {}
        self._refused: dict[str, tuple[int, float, Standing]] = {}
        self.loop = Loop("custom-resources", self._turn, idle_s=_IDLE_S)

    def step_all(self, stopping: threading.Event) -> None:
        """Look at each object once, if this replica leads and the API server was heard at least once."""
        if not self._lead():
            return
        seen = self._resources.seen()
        if seen is None:
            return
        known = self._use.followed(self._resources.namespace)
        for resource in seen:
            if stopping.is_set():
                return
            self._one(resource, known.pop(resource.wish.name, None))
        for gone in known.values():
            if gone.present:
                self._gone(gone)

    def resign(self) -> None:
        """Let another replica go on at once."""
        try:
            self._use.resign(self._holder)
        except OnecodeError as error:
            _log.info("the lease runs out by itself: %s", error)

    def _lead(self) -> bool:
        now = self._clock.monotonic()
        if now >= self._leads_until:
            led = self._use.lead(self._holder)
            self._leads_until = now + RENEW_S if led else float("-inf")
            return led
        return True

    def _one(self, resource: Resource, followed: Followed | None) -> None:
        name = resource.wish.name
        try:
            self._write(resource, self._stand(resource, followed))
        except ConflictError as error:
            # The controller or a person was faster; the next turn looks at what came of it.
            _log.info("ModelRollout %s: %s", name, error)
        except UnavailableError as error:
            _log.info("ModelRollout %s waits: %s", name, error)
        except OnecodeError as error:
            _log.warning("ModelRollout %s: %s", name, error)

    def _stand(self, resource: Resource, followed: Followed | None) -> Standing:
        """Let the use case act; what it refused is tried again after a while, or when the object changes."""
        wish, now = resource.wish, self._clock.monotonic()
        generation, again_at, standing = self._refused.get(wish.name, (0, 0.0, None))
        if standing is not None and generation == wish.generation and now < again_at:
            return standing
        standing = self._use.follow(wish, followed)
        self._refused.pop(wish.name, None)
        if standing.refusal is not None:
            self._refused[wish.name] = (wish.generation, now + _AFTER_REFUSAL_S, standing)
        return standing

    def _write(self, resource: Resource, standing: Standing) -> None:
        wish, now = resource.wish, self._clock.monotonic()
        status = status_of(
            wish,
            standing.followed,
            standing.rollout,
            standing.sentence,
            standing.refusal,
            resource.status,
            self._clock.now().timestamp(),
        )
        patch = patch_of(resource.status, status)
        if patch and may_write(self._written.get(wish.name), now):
            self._resources.write_status(wish.name, patch)
            self._written[wish.name] = now

    def _gone(self, followed: Followed) -> None:
        try:
            self._use.let_go(followed)
        except OnecodeError as error:
            _log.info("ModelRollout %s is gone, its rollout: %s", followed.name, error)
        self._written.pop(followed.name, None)

    def _turn(self, stopping: threading.Event) -> bool:
        self.step_all(stopping)
        return False
