"""Choose the winner: as good as the best within one standard error, and then the smallest."""

from collections.abc import Sequence

from onecode_training.domain.budget import Measured


def ranked(measured: Sequence[Measured]) -> list[Measured]:
    """Return the candidates in the order in which they should be shipped.

    First those whose score lies within one standard error of the best one's, smallest file first, of equal ones the
    better; then the others by score. A difference within that error is noise; bytes are not. Files of one size have
    one shape: which of them was faster is noise again, and would make two runs of one recipe differ.
    """
    if not measured:
        return []
    best = max(measured, key=lambda each: (each.score, -each.bytes))
    enough = best.score - best.error
    equal = [each for each in measured if each.score >= enough]
    others = [each for each in measured if each.score < enough]
    equal.sort(key=lambda each: (each.bytes, -each.score, each.number))
    others.sort(key=lambda each: (-each.score, each.bytes, each.number))
    return equal + others
