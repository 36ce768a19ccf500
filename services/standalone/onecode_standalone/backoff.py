"""Decide how long a process that died waits for its next start."""

from dataclasses import dataclass

FIRST_S = 0.5
LONGEST_S = 15.0
STABLE_S = 30.0
"""A process that ran this long is forgiven its past."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """How often a process died in a row."""

    deaths: int = 0

    def after_death(self, ran_s: float) -> "Backoff":
        """Return the state after one more death of a process that had run so long."""
        return Backoff(1 if ran_s >= STABLE_S else self.deaths + 1)

    @property
    def delay_s(self) -> float:
        """Seconds to wait: half a second, doubled with each death in a row, at most fifteen."""
        if self.deaths == 0:
            return 0.0
        return float(min(LONGEST_S, FIRST_S * 2 ** min(self.deaths - 1, 10)))
