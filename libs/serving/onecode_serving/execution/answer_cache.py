"""Give the same answer again to the same bytes, for models that cost more than looking."""

from collections import OrderedDict
from collections.abc import Hashable, Sequence
from typing import NamedTuple

from onecode_serving.domain.options import CacheOptions
from onecode_serving.execution.job import Shapes

_OVERHEAD = 256
"""Bytes of bookkeeping for one answer, about."""


class Cached(NamedTuple):
    """One remembered answer; ``until`` in monotonic seconds."""

    shapes: Shapes
    raws: Sequence[bytes]
    until: float
    size: int


class AnswerCache:
    """Answers of one version by input; a new version has a cache of its own, so nothing stale is ever given.

    Args:
        options: How long and how much.
    """

    def __init__(self, options: CacheOptions) -> None:
        self._options = options
        self._answers: OrderedDict[Hashable, Cached] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._answers)

    def get(self, key: Hashable, now: float) -> Cached | None:
        """Return the answer if it is remembered and still fresh."""
        found = self._answers.get(key)
        if found is None:
            return None
        if found.until <= now:
            self._drop(key)
            return None
        self._answers.move_to_end(key)
        return found

    def put(self, key: Hashable, asked: int, shapes: Shapes, raws: Sequence[bytes], now: float) -> None:
        """Remember an answer.

        Args:
            key: Everything that decides it.
            asked: Bytes of the input.
            shapes: Of the answer.
            raws: The answer.
            now: Monotonic seconds.
        """
        size = _OVERHEAD + asked + sum(map(len, raws))
        if size > self._options.max_bytes:
            return
        if key in self._answers:
            self._drop(key)
        self._answers[key] = Cached(shapes, tuple(raws), now + self._options.ttl_s, size)
        self.bytes += size
        while self.bytes > self._options.max_bytes:
            self._drop(next(iter(self._answers)))

    def _drop(self, key: Hashable) -> None:
        self.bytes -= self._answers.pop(key).size
