"""Say how soon a serving process is started again, and when it is better not to."""

from collections.abc import Sequence

WINDOW_S = 300.0
MAX_CRASHES = 3
_FIRST_PAUSE_S = 60.0
_LONGEST_PAUSE_S = 900.0
_QUICK_S = (0.0, 0.5, 2.0)


def recent(deaths: Sequence[float], now: float) -> list[float]:
    """Return the deaths of the last five minutes."""
    return [moment for moment in deaths if now - moment < WINDOW_S]


def next_start(deaths: Sequence[float], now: float) -> float:
    """Return when to start a committed set again, on the clock of ``deaths``.

    The first three deaths in five minutes cost no more than moments. After that the gateway serves nothing for a
    while and stays reachable: a process that only dies helps nobody.
    """
    if not deaths:
        return float("-inf")
    late = recent(deaths, now)
    if len(late) <= MAX_CRASHES - 1:
        return deaths[-1] + _QUICK_S[len(late)]
    pause = min(_FIRST_PAUSE_S * float(2 ** (len(late) - MAX_CRASHES)), _LONGEST_PAUSE_S)
    return deaths[-1] + pause


def safe_mode(deaths: Sequence[float], now: float) -> bool:
    """Return whether the set died so often that nothing is served for now."""
    return len(recent(deaths, now)) >= MAX_CRASHES and now < next_start(deaths, now)
