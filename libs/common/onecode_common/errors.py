"""Give every refusal one of few types, so that callers can act on it and faces can map it in one place.

A message is lower-case, names the offending value and says what to do. ``code`` is stable and dotted
(``data.ragged``); ``hint`` is what to do next; ``params`` are the values a catalogue of texts needs.
"""

from collections.abc import Mapping


class OnecodeError(Exception):
    """The root of all errors that may cross a wire.

    Attributes:
        code: Stable dotted name, for programs and translations.
        hint: What the caller can do about it; may be empty.
        params: Values named in the message, as text.
    """

    kind = "internal"

    def __init__(
        self,
        message: str,
        *,
        code: str = "",
        hint: str = "",
        params: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.kind
        self.hint = hint
        self.params = {name: str(value) for name, value in (params or {}).items()}


class InvalidError(OnecodeError):
    """The input cannot be accepted, now or later."""

    kind = "invalid"


class UnauthenticatedError(OnecodeError):
    """The caller did not prove who it is."""

    kind = "unauthenticated"


class DeniedError(OnecodeError):
    """The caller is known and may not do this."""

    kind = "denied"


class NotFoundError(OnecodeError):
    """There is no such thing, or the caller may not know of it."""

    kind = "not_found"


class ConflictError(OnecodeError):
    """Somebody else was faster, or the id is taken by something different."""

    kind = "conflict"


class PreconditionError(OnecodeError):
    """The thing exists, but its present state does not allow this."""

    kind = "precondition"


class ExhaustedError(OnecodeError):
    """A limit is reached: size, rate, disk, memory."""

    kind = "exhausted"


class UnavailableError(OnecodeError):
    """Something needed does not answer now; the same call may succeed later."""

    kind = "unavailable"


KINDS: Mapping[str, type[OnecodeError]] = {
    error.kind: error
    for error in (
        OnecodeError,
        InvalidError,
        UnauthenticatedError,
        DeniedError,
        NotFoundError,
        ConflictError,
        PreconditionError,
        ExhaustedError,
        UnavailableError,
    )
}
"""Every error type by the name it has on the wire."""
