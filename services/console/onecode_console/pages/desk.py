"""Hold what every page needs, so that a page's file says only what is its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import Request
from starlette.responses import Response

from onecode_common.errors import NotFoundError
from onecode_console.health import Health
from onecode_console.pages.questions import Questions
from onecode_console.pages.render import Pages


@dataclass(frozen=True, slots=True)
class Desk:
    """The tools of a page.

    Attributes:
        pages: Draws.
        questions: Asks other services.
        health: Looks at them.
    """

    pages: Pages
    questions: Questions
    health: Health

    def show(self, request: Request, name: str, data: Mapping[str, Any], *, live: bool = False) -> Response:
        """Return the page ``name``; with ``?part=live`` only the part of it that changes.

        Raises:
            NotFoundError: The page has no such part.
        """
        part = request.query_params.get("part", "")
        if part and not (live and part == "live"):
            message = f"no part {part[:40]!r} of this page"
            raise NotFoundError(message, code="page.unknown")
        template = f"parts/{name}_live.html" if part else f"{name}.html"
        return self.pages.draw(request, template, data)

    def check_project(self, request: Request) -> None:
        """Refuse another project's address.

        Raises:
            NotFoundError: It is not the project of this console.
        """
        asked = request.path_params.get("project", self.pages.project)
        if asked != self.pages.project:
            message = f"no project {asked[:80]!r}"
            raise NotFoundError(message, code="project.unknown")
