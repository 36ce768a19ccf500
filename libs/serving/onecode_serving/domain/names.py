"""Refuse a model that is not here, and one that a caller may not know of, by the same words."""

from onecode_common.errors import NotFoundError


def unknown_model(model: str) -> NotFoundError:
    """Return the refusal; it names no other model, because the caller may not know of any."""
    message = f"model {model[:80]!r} is not known here: the repository index lists those that are"
    return NotFoundError(message, code="model.unknown", params={"field": "model_name", "got": model[:80]})
