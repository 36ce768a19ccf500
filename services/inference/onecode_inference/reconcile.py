"""Make what is served here what the signed policy says, and keep the last good while that is not possible.

Level-triggered: each turn derives everything from the newest accepted policy, from what is loaded and from what was
found bad, so that a restart at any moment needs no other memory than the state file.
"""

import logging
import threading
from collections.abc import Callable

from onecode_common.clock import Clock
from onecode_common.errors import NotFoundError, OnecodeError
from onecode_delivery.policy import ModelPolicy, Policy
from onecode_inference.actions import COMMITTED, PROBATION, REJECTED, ROLLED_BACK, SWITCHING, Actions
from onecode_inference.domain.plan import Loaded, arms_of, route_of, target_of
from onecode_inference.ports import Distribution
from onecode_inference.staging import Staging, answering
from onecode_inference.state import ModelState, StateFile
from onecode_inference.watch import Watch
from onecode_serving.data_plane import DataPlane
from onecode_serving.domain.probation import COMMIT, REVERT, START_LIMIT
from onecode_serving.domain.routing import Route

_log = logging.getLogger(__name__)
_FIRST_WAIT_S = 1.0
_STAGE_AGAIN_S = 2.0
_STEADY_S = 60.0


class Reconciler:
    """Follows the policy of one segment.

    Args:
        distribution: Signed policies and versions.
        plane: What serves.
        staging: Brings versions into memory.
        actions: Is told of each state.
        state: What was proven and found bad here before.
        clock: For waits and probations.
        on_policy: Called with each policy before it is applied.

    Attributes:
        trouble: Code of the error that keeps the policy from being refreshed; empty if none does.
    """

    def __init__(
        self,
        distribution: Distribution,
        plane: DataPlane,
        staging: Staging,
        actions: Actions,
        state: StateFile,
        clock: Clock,
        on_policy: Callable[[Policy], None],
    ) -> None:
        self._distribution = distribution
        self._plane = plane
        self._staging = staging
        self._actions = actions
        self._file = state
        self._clock = clock
        self._on_policy = on_policy
        self._models: dict[str, ModelState] = state.load()
        self._watches: dict[str, Watch] = {}
        self._why: dict[str, str] = {}
        self._policy: Policy | None = None
        self.trouble = ""
        self._applied = False
        self._poll_at = 0.0
        self._stage_at = 0.0
        self._wait_s = _FIRST_WAIT_S
        self._woken = threading.Event()
        self._began = clock.monotonic()
        plane.announce({}, "starting")
        for known in self._models.values():
            known.starts += bool(known.probation)
            known.shadow_starts += bool(known.shadow)
        state.save(self._models)

    @property
    def generation(self) -> int:
        """The generation of the policy that is followed; 0 before there is one."""
        return self._policy.generation if self._policy else 0

    def wake(self) -> None:
        """Look for a newer policy in the next turn."""
        self._woken.set()

    def turn(self, stopping: threading.Event) -> bool:
        """Do one round: hear, stage, switch, judge."""
        if not self._applied:
            self._take(self._distribution.accepted())
            if self._policy is None:
                self._poll()
        now = self._clock.monotonic()
        if self._applied and (now >= self._poll_at or self._woken.is_set()):
            self._woken.clear()
            self._poll()
        if not self._applied or now >= self._stage_at:
            self._apply(stopping)
            self._applied = True
        self._judge()
        self._file.save(self._models)
        return False

    def _poll(self) -> None:
        now = self._clock.monotonic()
        try:
            policy = self._distribution.refresh()
        except NotFoundError:
            self._hear("")
            self._poll_at = now + _FIRST_WAIT_S
            return
        except OnecodeError as error:
            _log.info("the policy cannot be refreshed: %s", error.message)
            self._hear(error.code)
            self._poll_at = now + self._wait_s
            self._wait_s = min(2 * self._wait_s, self._policy.poll_s if self._policy else 5.0)
            return
        self.trouble = ""
        self._wait_s = _FIRST_WAIT_S
        self._poll_at = now + policy.poll_s
        self._take(policy)

    def _hear(self, trouble: str) -> None:
        """Note what keeps the policy away; without any policy it decides whether this process is ready."""
        if trouble != self.trouble:
            self.trouble = trouble
            if self._policy is None:
                self._announce(())

    def _take(self, policy: Policy | None) -> None:
        if policy is None or (self._policy is not None and policy.generation == self._policy.generation):
            return
        self._policy = policy
        self._stage_at = 0.0
        self._on_policy(policy)
        for entry in policy.models:
            self._actions.forget_other_revisions(entry)
            if entry.name not in self._plane.routes():
                self._why.setdefault(entry.name, "it is being loaded")
        self._announce(policy.models)

    def _apply(self, stopping: threading.Event) -> None:
        entries = self._policy.models if self._policy else ()
        for entry in entries:
            if stopping.is_set():
                return
            self._stage(entry)
            self._switch(entry)
        self._announce(entries)
        self._tidy(entries)
        waiting = any(self._why.values())
        self._stage_at = self._clock.monotonic() + (_STAGE_AGAIN_S if waiting else float("inf"))

    def _stage(self, entry: ModelPolicy) -> None:
        state = self._models.setdefault(entry.name, ModelState())
        self._why[entry.name] = ""
        self._look_at_shadow(entry, state)
        for arm in arms_of(entry):
            if arm.digest in state.banned:
                how, _, cause = state.banned[arm.digest].partition(" ")
                self._actions.reached(entry, arm.digest, how, cause=cause, served=answering(self._plane, entry.name))
                continue
            if arm.digest in self._plane.installed():
                continue
            staged = self._staging.stage(entry, arm, proven=arm.digest == state.committed)
            if staged.cause:
                state.ban(arm.digest, REJECTED, staged.cause)
            elif not staged.ready:
                self._why[entry.name] = staged.why

    def _look_at_shadow(self, entry: ModelPolicy, state: ModelState) -> None:
        """Let go of a shadow that the policy no longer names, or that takes this process down again and again."""
        if state.shadow_starts >= START_LIMIT:
            state.ban(state.shadow, ROLLED_BACK, "crash")
        if entry.shadow is None or entry.shadow.digest != state.shadow or state.shadow in state.banned:
            state.shadow, state.shadow_starts = "", 0

    def _switch(self, entry: ModelPolicy) -> None:
        state = self._models[entry.name]
        current = self._plane.routes().get(entry.name)
        last_good = Loaded(state.committed, state.release) if state.committed else None
        route = route_of(entry, self._plane.installed(), state.banned, last_good, current)
        if route is None or route == current:
            return
        target = target_of(entry).digest
        begins = target in route.digests and target not in (state.committed, state.probation)
        if begins:
            self._actions.reached(entry, target, SWITCHING)
        before = answering(self._plane, entry.name)
        self._plane.set_routes({**self._plane.routes(), entry.name: route})
        if route.shadow is not None:
            state.shadow = route.shadow.digest
        self._settle(entry, route, state, before)

    def _settle(self, entry: ModelPolicy, route: Route, state: ModelState, before: str) -> None:
        """Begin, go on with, or skip the probation of what the entry is about."""
        target = target_of(entry).digest
        if target not in route.digests:
            self._watches.pop(entry.name, None)
            state.probation = ""
            return
        if target == state.committed:
            self._watches.pop(entry.name, None)
            state.probation = ""
            self._actions.reached(entry, target, COMMITTED, served=answering(self._plane, entry.name))
            return
        if state.probation != target:
            state.probation, state.served_s, state.starts = target, 0.0, 0
        old = "" if before == target else before
        watch = self._watches.get(entry.name)
        if watch is None or watch.digest != target:
            now = self._clock.monotonic()
            self._watches[entry.name] = Watch.begin(target, old, entry.probation_s, self._plane.counters, now)
        self._actions.reached(entry, target, PROBATION, served=target)

    def _judge(self) -> None:
        for entry in self._policy.models if self._policy else ():
            watch = self._watches.get(entry.name)
            state = self._models[entry.name]
            if self._clock.monotonic() - self._began >= _STEADY_S:
                state.shadow_starts = 0
            if watch is None:
                continue
            judgement = watch.look(state, self._plane.counters, self._clock.monotonic())
            if judgement.kind == REVERT:
                self._revert(entry, watch.digest, judgement.cause, judgement.detail)
            elif judgement.kind == COMMIT:
                self._commit(entry, watch.digest, judgement.evidence)

    def _commit(self, entry: ModelPolicy, digest: str, evidence: str) -> None:
        result = self._staging.golden_again(digest)
        version = self._plane.version(digest)
        if not result.passed or version is None:
            self._revert(entry, digest, "golden", result.detail)
            return
        state = self._models[entry.name]
        state.committed, state.release, state.probation = digest, version.release, ""
        del self._watches[entry.name]
        self._actions.reached(entry, digest, COMMITTED, served=version.digest, evidence=evidence)
        self._tidy(self._policy.models if self._policy else ())

    def _revert(self, entry: ModelPolicy, digest: str, cause: str, detail: str) -> None:
        state = self._models[entry.name]
        state.ban(digest, ROLLED_BACK, cause)
        state.probation = ""
        del self._watches[entry.name]
        self._switch(entry)
        served = answering(self._plane, entry.name)
        if served == digest:
            # Nothing else can answer: refuse rather than go on with a version that was found bad.
            routes = {name: route for name, route in self._plane.routes().items() if name != entry.name}
            self._plane.set_routes(routes)
            served = ""
        self._actions.reached(entry, digest, ROLLED_BACK, cause=cause, served=served, detail=detail)
        self._announce(self._policy.models if self._policy else ())

    def _announce(self, entries: tuple[ModelPolicy, ...]) -> None:
        routed = self._plane.routes()
        missing = {}
        for entry in entries:
            if entry.name not in routed:
                missing[entry.name] = self._why.get(entry.name) or "its versions were rejected here"
        waiting = [name for name in missing if self._why.get(name)]
        reason = f"model {waiting[0]} waits: {missing[waiting[0]]}" if waiting else None
        if self._policy is None and self.trouble:
            # Who answers for no model because nobody told it of any must not be sent callers.
            reason = f"no policy yet: {self.trouble}"
        self._plane.announce(missing, reason)

    def _tidy(self, entries: tuple[ModelPolicy, ...]) -> None:
        """Stop serving models that the policy no longer names; let go of versions that nobody may come back to."""
        named = {entry.name for entry in entries}
        routes = self._plane.routes()
        if self._policy is not None and not set(routes) <= named:
            self._plane.set_routes({name: route for name, route in routes.items() if name in named})
        if any(self._why.values()):
            return
        keep = {digest for route in self._plane.routes().values() for digest in route.held}
        for entry in entries:
            keep |= {*entry.held, *entry.rollback_to}
            if self._models[entry.name].committed:
                keep.add(self._models[entry.name].committed)
        self._staging.retire_but(frozenset(keep))
        if entries:
            self._distribution.keep(frozenset(keep))
