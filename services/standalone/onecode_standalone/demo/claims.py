"""Collect what the story claims and whether it was so; the demo ends well only if every claim holds."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Claim:
    """One checked sentence of the report.

    Attributes:
        text: What is claimed, in the present tense.
        holds: Whether it was so.
        seen: What was measured.
    """

    text: str
    holds: bool
    seen: str


@dataclass(slots=True)
class Chapter:
    """A part of the story.

    Attributes:
        title: What happens.
        claims: Checked sentences, in order.
        facts: Numbers for the report, by name.
        seconds: How long it took.
    """

    title: str
    claims: list[Claim] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    seconds: float = 0.0

    def claim(self, text: str, holds: object, seen: object = "") -> None:
        """Add a checked sentence."""
        self.claims.append(Claim(text, bool(holds), str(seen)))


class StoryFailedError(Exception):
    """The story cannot go on; the report so far is still written."""


def all_hold(chapters: list[Chapter]) -> bool:
    """Return whether at least one claim was made and all hold."""
    claims = [claim for chapter in chapters for claim in chapter.claims]
    return bool(claims) and all(claim.holds for claim in claims)


def as_document(chapters: list[Chapter], links: Mapping[str, str]) -> dict[str, object]:
    """Return the report as a JSON document."""
    return {
        "apiVersion": "onecode/v1",
        "kind": "DemoReport",
        "ok": all_hold(chapters),
        "links": dict(links),
        "chapters": [
            {
                "title": chapter.title,
                "seconds": round(chapter.seconds, 1),
                "facts": chapter.facts,
                "claims": [{"text": claim.text, "holds": claim.holds, "seen": claim.seen} for claim in chapter.claims],
            }
            for chapter in chapters
        ],
    }
