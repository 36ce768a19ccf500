"""Remember the last facts for browsers that were away for a moment, and say who wants which."""

from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

CAPACITY = 2048
"""Facts that are remembered; an older place starts again with ``reset``."""


@dataclass(frozen=True, slots=True)
class Event:
    """One fact as browsers hear of it.

    Attributes:
        number: Grows with each fact, also over restarts of the console.
        topic: What it is about: ``run:r_1``, ``rollout:r_2``, ``dataset:pump``.
        name: What happened: ``run_progress``, ``rollout_changed``.
        fields: Small values.
    """

    number: int
    topic: str
    name: str
    fields: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Slice:
    """What a listener has missed.

    Attributes:
        events: In order; empty after a reset.
        place: Where to go on from.
        reset: Something is lost: the listener must look at everything again.
    """

    events: tuple[Event, ...]
    place: int
    reset: bool


class EventRing:
    """The last facts, in a bounded ring.

    Args:
        first: Number of the first fact; later processes must start higher, so that a place from before a
            restart is recognised as lost.
        capacity: Facts kept.
    """

    def __init__(self, first: int, capacity: int = CAPACITY) -> None:
        self._events: deque[Event] = deque(maxlen=capacity)
        self._next = first
        self._oldest = first

    @property
    def newest(self) -> int:
        """Number of the newest fact, or one less than the first."""
        return self._next - 1

    def append(self, topic: str, name: str, fields: Mapping[str, object]) -> Event:
        """Remember a fact and return it with its number."""
        event = Event(self._next, topic, name, fields)
        self._next += 1
        self._events.append(event)
        self._oldest = max(self._oldest, self._events[0].number)
        return event

    def forget(self) -> None:
        """Drop everything: facts may have been missed, so that all listeners must look again."""
        self._events.clear()
        self._next += 1
        self._oldest = self._next

    def since(self, place: int) -> Slice:
        """Return what came after a place; a place that is too old or from the future is reset."""
        if place < self._oldest - 1 or place > self.newest:
            return Slice((), self.newest, reset=True)
        return Slice(tuple(event for event in self._events if event.number > place), self.newest, reset=False)


def parse_topics(text: str) -> frozenset[str]:
    """Return the patterns of ``topics=run:r_1,rollout:*``; none means everything."""
    return frozenset(part.strip() for part in text.split(",") if part.strip())


def wanted(topic: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns names the topic; no pattern names every topic."""
    kind = topic.partition(":")[0]
    patterns = frozenset(patterns)
    return not patterns or bool(patterns & {topic, f"{kind}:*", "*"})
