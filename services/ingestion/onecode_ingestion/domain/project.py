"""Keep one project's data here, and say so when another is asked for."""

from onecode_common.errors import NotFoundError


def own_project(own: str, asked: str) -> str:
    """Return the project that is kept here; a caller may leave it unsaid.

    Raises:
        NotFoundError: Another one was asked for.
    """
    if asked not in ("", own):
        message = f"there is no project {asked[:80]!r} here"
        raise NotFoundError(message, code="project.unknown", params={"value": asked[:80]})
    return own
