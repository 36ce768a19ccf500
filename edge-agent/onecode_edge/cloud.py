"""Keep in touch with the cloud: enrol once, look for a newer policy when woken or when it is time, never insist."""

import logging
import random
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from google.protobuf.message import DecodeError

from onecode.edge.v1 import edge_pb2 as pb
from onecode_common.clock import Clock
from onecode_common.errors import InvalidError, NotFoundError, OnecodeError, UnauthenticatedError
from onecode_delivery.client import Delivery
from onecode_delivery.policy import Policy
from onecode_edge.adapters.identity import Enrolment, Identity, IdentityStore, check_root
from onecode_edge.adapters.server import Credential, Server

_log = logging.getLogger(__name__)
_POLL_S = 30.0
_FIRST_POLL_S = 2.0
_LONGEST_RETRY_S = 30.0


class Enroller:
    """Trades the one-time token for an identity, as often as it takes.

    Args:
        token_file: Read again at each try, since an operator may replace it.
    """

    def __init__(self, server: Server, store: IdentityStore, token_file: Path | None, root_sha256: str) -> None:
        self._server = server
        self._store = store
        self._token_file = token_file
        self._root_sha256 = root_sha256
        self.problem = ""

    def obtain(self, stopping: threading.Event) -> Identity | None:
        """Return the identity, waiting for it if need be; None when stopped before.

        Raises:
            InvalidError: The stored identity is damaged, or trusts another root.
        """
        failures = 0
        while not stopping.is_set():
            identity = self._store.load(self._root_sha256)
            if identity is not None:
                self.problem = ""
                return identity
            try:
                self._enrol()
            except OnecodeError as error:
                failures += 1
                self.problem = f"{error.code}: {error.message}"
                _log.warning("not enrolled yet: %s", self.problem)
                stopping.wait(min(0.5 * 2**failures, _LONGEST_RETRY_S) * (0.5 + random.random() / 2))  # noqa: S311
        return None

    def _enrol(self) -> None:
        try:
            token = self._token_file.read_text(encoding="ascii").strip() if self._token_file else ""
        except (OSError, ValueError):
            token = ""
        if not token:
            message = "there is no enrolment token: put one into the file that ENROL_TOKEN_FILE names"
            raise InvalidError(message, code="edge.no_token")
        enrolment, root = self._server.enrol(token, self._store.candidate_key())
        check_root(root, self._root_sha256)
        self._store.adopt(enrolment, root)
        _log.info("enrolled as %s in segment %s", enrolment.gateway_id, enrolment.segment)


class Follower(Protocol):
    """Who acts on a policy; see :class:`onecode_edge.conductor.Conductor`."""

    def offer(self, policy: Policy) -> None:
        """Take the newest policy."""
        ...


class PolicyLoop:
    """Refreshes the policy when woken or when it is time, and passes it on.

    Args:
        moved: Called when the server put this gateway into another segment, or the distribution elsewhere.

    Attributes:
        problem: Why the last look failed; empty if it did not.
        fresh: When the policy was last confirmed, by the monotonic clock; minus infinity if never.
    """

    def __init__(
        self,
        delivery: Delivery,
        credential: Credential,
        identity: Identity,
        follower: Follower,
        clock: Clock,
        moved: Callable[[Enrolment], None],
    ) -> None:
        self._delivery = delivery
        self._credential = credential
        self._identity = identity
        self._follower = follower
        self._clock = clock
        self._moved = moved
        self._due = 0.0
        self._failures = 0
        self._lock = threading.Lock()
        self.poll_s = _FIRST_POLL_S
        self.problem = ""
        self.fresh = float("-inf")
        self.policy: Policy | None = None
        self.wake: Callable[[], None] = lambda: None

    def begin(self) -> None:
        """Follow the policy that was accepted last, without the cloud."""
        try:
            accepted = self._delivery.accepted()
        except InvalidError as error:
            _log.warning("the accepted policy cannot be used: %s", error.message)
            return
        if accepted is not None:
            self._take(accepted[0])

    def woken(self, _subject: str, payload: bytes) -> None:
        """Look soon: within the time over which the server wants its gateways spread."""
        try:
            wake = pb.Wake.FromString(payload)
        except DecodeError:
            return
        if self.policy is None or wake.generation > self.policy.generation:
            self.look(random.random() * wake.spread_ms / 1000)  # noqa: S311 - spreads load, no secret

    def look(self, after_s: float = 0.0) -> None:
        """Look for a newer policy after this time at the latest."""
        with self._lock:
            self._due = min(self._due, self._clock.monotonic() + after_s)
        self.wake()

    def turn(self, _stopping: threading.Event) -> bool:
        """Look if it is time; return False."""
        now = self._clock.monotonic()
        with self._lock:
            if now < self._due:
                return False
            # Spread by half of it to either side, so that gateways never march in step.
            self._due = now + self.poll_s * (0.5 + random.random())  # noqa: S311
        try:
            self._refresh()
        except NotFoundError as error:
            self.problem, self._failures = f"{error.code}: {error.message}", 0
        except OnecodeError as error:
            self._failed(error)
        return False

    def _refresh(self) -> None:
        access = self._credential.access()
        mine = self._identity.enrolment
        told = replace(mine, segment=access.segment, tenant=access.tenant, distribution_url=access.distribution_url)
        if told != mine:
            self._moved(told)
            return
        policy, _ = self._delivery.refresh()
        self.problem, self._failures, self.fresh = "", 0, self._clock.monotonic()
        self._take(policy)

    def _take(self, policy: Policy) -> None:
        self.policy = policy
        self.poll_s = policy.poll_s or _POLL_S
        self._follower.offer(policy)

    def _failed(self, error: OnecodeError) -> None:
        if isinstance(error, UnauthenticatedError):
            self._credential.forget()
        problem = f"{error.code}: {error.message}"
        if problem != self.problem:
            _log.warning("no newer policy: %s", problem)
        self.problem = problem
        self._failures += 1
        # Back off from what fails, but never beyond what the policy itself asks for.
        pause = min(0.5 * 2 ** min(self._failures, 10), max(self.poll_s, _FIRST_POLL_S))
        with self._lock:
            self._due = self._clock.monotonic() + pause * (0.5 + random.random())  # noqa: S311
