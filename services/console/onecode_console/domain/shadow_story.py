"""Say what is found while a candidate answers nobody, and why a release is held there."""

from collections.abc import Mapping
from dataclasses import dataclass

from onecode_console.domain.texts import N_, Text, text


@dataclass(frozen=True, slots=True)
class Shadowed:
    """What a shadow found.

    Attributes:
        pairs: Requests that the candidate was shown.
        different: Those that it answers differently.
        failed: Those that it fails on.
        dropped: Requests that there was no spare time for.
        largest: Largest difference between two answers.
        running: Whether it goes on.
        needed: Requests that it must have been shown before its first step.
    """

    pairs: int
    different: int
    failed: int
    dropped: int
    largest: float
    running: bool
    needed: int

    @property
    def largest_text(self) -> str:
        """The largest difference in three digits."""
        return f"{self.largest:.3g}"


HELD: Mapping[str, tuple[str, str]] = {
    "no_data": (
        N_("Held in shadow: there was nothing to compare. No data is no evidence."),
        N_("Check that traffic reaches %(stable)s; it goes on by itself when data comes."),
    ),
    "inconclusive": (
        N_("Held in shadow: too few requests were compared in the time limit."),
        N_("Resume to wait longer, resume with override to go on without, or roll back."),
    ),
    "gate": (
        N_("Held in shadow: %(candidate)s answers most requests differently from %(stable)s."),
        N_("Look whether it should; then resume to begin the first step, or roll back."),
    ),
    "bad": (
        N_("Held in shadow: %(candidate)s fails more often than %(stable)s."),
        N_("Decide: roll back, or resume with a reason."),
    ),
}
"""By reason: what holds it, and what there is to do."""


def running(candidate: str) -> Text:
    """Say that nobody is answered by it."""
    return text("Running in shadow: %(candidate)s is shown requests and answers nobody.", candidate=candidate)


def found(candidate: str, stable: str, shadow: Shadowed) -> Text:
    """Say what was compared."""
    if not shadow.pairs and shadow.dropped:
        return text("%(requests)s requests came, and there was no spare time to show one.", requests=shadow.dropped)
    if not shadow.pairs:
        return text("No traffic came: %(candidate)s was shown no request.", candidate=candidate)
    return text(
        "%(candidate)s was shown %(pairs)s requests: it answers %(different)s differently from %(stable)s"
        " (largest difference %(largest)s) and fails on %(failed)s.",
        candidate=candidate,
        pairs=shadow.pairs,
        different=shadow.different,
        stable=stable,
        largest=shadow.largest_text,
        failed=shadow.failed,
    )


def missing(shadow: Shadowed) -> list[Text]:
    """Say how many requests are still needed, if any are."""
    left = shadow.needed - shadow.pairs
    return [text("%(requests)s more requests are needed before its first step.", requests=left)] if left > 0 else []
