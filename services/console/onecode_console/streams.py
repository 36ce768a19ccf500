"""Tell browsers and programs what happens, as it happens: facts of all services and the progress of one run.

The ring is filled from the bus thread and read on the server's event loop. A listener keeps only its place,
so a slow one costs nothing and learns by ``reset`` that it missed something.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from anyio.to_thread import run_sync

from onecode_common.errors import ExhaustedError
from onecode_console.domain.events import Event, EventRing, wanted

HEARTBEAT_S = 15.0
"""A comment line is sent when nothing else was for this long, so that proxies and dead peers are noticed."""

RECHECK_S = 60.0
"""How often a long answer asks whether its listener is still signed in."""

MOST = 64
"""Long answers at once, of all kinds."""

HEARTBEAT = b": still here\n\n"

_RETRY_MS = 1000


def frame(name: str, fields: Mapping[str, Any], number: int | None = None) -> bytes:
    """Return one server-sent event."""
    data = json.dumps(fields, ensure_ascii=True, separators=(",", ":"))
    head = "" if number is None else f"id: {number}\n"
    return f"{head}event: {name}\ndata: {data}\n\n".encode()


class Streams:
    """All long answers of the console; as a part of the program it ends them before the server stops."""

    name = "streams"

    def __init__(self, ring: EventRing, *, heartbeat_s: float = HEARTBEAT_S, recheck_s: float = RECHECK_S) -> None:
        self._ring = ring
        self._heartbeat_s = heartbeat_s
        self._recheck_s = recheck_s
        self._lock = threading.Lock()
        self._listeners: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}
        self._stopping = False
        self._open = 0

    @property
    def stopping(self) -> bool:
        """Whether long answers must end now."""
        return self._stopping

    @property
    def heartbeat_s(self) -> float:
        """Seconds of silence after which a comment line is sent."""
        return self._heartbeat_s

    @property
    def recheck_s(self) -> float:
        """Seconds after which a listener is looked at again."""
        return self._recheck_s

    def start(self) -> None:
        """Take listeners."""

    def stop(self) -> None:
        """End all long answers; no new ones begin."""
        with self._lock:
            self._stopping = True
        self._wake()

    def ready(self) -> str | None:
        """Return None: there is nothing to wait for."""
        return None

    def tell(self, topic: str, name: str, fields: Mapping[str, object]) -> None:
        """Add a fact; may be called from any thread."""
        with self._lock:
            self._ring.append(topic, name, fields)
        self._wake()

    def forget(self) -> None:
        """Make all listeners look again, because facts may have been missed."""
        with self._lock:
            self._ring.forget()
        self._wake()

    def require_place(self) -> None:
        """Refuse a new long answer when there are too many.

        Raises:
            ExhaustedError: All places are taken.
        """
        if self._open >= MOST or self._stopping:
            message = f"{MOST} streams are open: close one, or ask without a stream"
            raise ExhaustedError(message, code="stream.limit", params={"limit": MOST})

    @contextmanager
    def held_place(self) -> Iterator[None]:
        """Count one long answer while it lasts."""
        with self._lock:
            self._open += 1
        try:
            yield
        finally:
            with self._lock:
                self._open -= 1

    @contextmanager
    def woken(self) -> Iterator[asyncio.Event]:
        """Yield an event of the running loop that is set whenever something happens here."""
        event = asyncio.Event()
        with self._lock:
            self._listeners[event] = asyncio.get_running_loop()
        try:
            yield event
        finally:
            with self._lock:
                del self._listeners[event]

    async def facts(
        self, after: int | None, topics: frozenset[str], still_allowed: Callable[[], bool]
    ) -> AsyncIterator[bytes]:
        """Yield server-sent events from a place on, for ever.

        Args:
            after: Number of the last fact the listener has seen; None: from now on.
            topics: Patterns; none means everything.
            still_allowed: Whether the listener is still signed in.
        """
        with self._lock:
            place = self._ring.newest if after is None else after
        yield f"retry: {_RETRY_MS}\n: connected\n\n".encode()
        watch = Watch(self, still_allowed)
        with self.woken() as event:
            while await watch.goes_on():
                event.clear()
                with self._lock:
                    missed = self._ring.since(place)
                place = missed.place
                sent = frame("reset", {}, place) if missed.reset else b"".join(_frames(missed.events, topics))
                if sent:
                    yield sent
                if not await waits(event, self._heartbeat_s):
                    yield HEARTBEAT

    def _wake(self) -> None:
        with self._lock:
            listeners = list(self._listeners.items())
        for event, loop in listeners:
            loop.call_soon_threadsafe(event.set)


def _frames(events: tuple[Event, ...], topics: frozenset[str]) -> list[bytes]:
    return [
        frame(event.name, {"topic": event.topic, **event.fields}, event.number)
        for event in events
        if wanted(event.topic, topics)
    ]


class Watch:
    """Says whether a long answer may go on: the console runs, and the listener is still signed in."""

    def __init__(self, streams: Streams, still_allowed: Callable[[], bool]) -> None:
        self._streams = streams
        self._still_allowed = still_allowed
        self._checked = asyncio.get_running_loop().time()

    async def goes_on(self) -> bool:
        """Return it; the listener is asked for once in a while only."""
        now = asyncio.get_running_loop().time()
        if now - self._checked >= self._streams.recheck_s:
            self._checked = now
            if not await run_sync(self._still_allowed):
                return False
        return not self._streams.stopping


async def waits(event: asyncio.Event, seconds: float) -> bool:
    """Wait for the event at most so long; return whether it came."""
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True
