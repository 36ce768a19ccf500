"""Refuse what belongs to another project."""

from onecode_common.errors import NotFoundError


def require_project(given: str, own: str) -> None:
    """Refuse a project that this installation does not have.

    Raises:
        NotFoundError: ``project.missing``.
    """
    if given != own:
        message = f"there is no project {given[:80]!r}"
        raise NotFoundError(message, code="project.missing", params={"value": given[:80]})
