"""Judge a root that was made elsewhere: does it trust the keys here, and may it follow the one in force?"""

from collections.abc import Mapping
from typing import Any

from tuf.api.exceptions import RepositoryError
from tuf.api.metadata import Metadata, Root  # type: ignore[attr-defined]  # exported without a mark
from tuf.api.serialization import DeserializationError

from onecode_common.errors import InvalidError


def check_root(root: bytes, below: Mapping[str, bytes]) -> None:
    """Refuse a root that does not trust who signed these.

    Args:
        root: Metadata of the root.
        below: Metadata by name of its role.

    Raises:
        InvalidError: ``settings.root``.
    """
    try:
        trusted = _root(root).signed
        for role in set(trusted.roles) & set(below):
            metadata = Metadata[Any].from_bytes(below[role])
            trusted.verify_delegate(role, metadata.signed_bytes, metadata.signatures)
    except (DeserializationError, RepositoryError, TypeError) as error:
        message = f"the given root does not trust the keys that sign here: {str(error)[:160]}"
        raise InvalidError(
            message, code="settings.root", hint="give both as one run of `onecode keys` has made them"
        ) from error


def successor(root: bytes, given: bytes) -> bytes | None:
    """Return the given root if it follows this one; None if it is this one, or an earlier.

    Raises:
        InvalidError: ``trust.root``: it is no root, not signed by both, not the next number, or another root under
            the same number.
    """
    try:
        here, there = _root(root).signed, _root(given)
    except (DeserializationError, RepositoryError, TypeError) as error:
        raise _refused(f"it is no root: {str(error)[:160]}") from error
    if there.signed.version < here.version or given == root:
        return None
    if there.signed.version != here.version + 1:
        why = "roots follow one by one" if there.signed.version > here.version else "it is another one"
        raise _refused(f"it has version {there.signed.version}, version {here.version} is in force: {why}")
    try:
        for trusted in (here, there.signed):
            trusted.verify_delegate("root", there.signed_bytes, there.signatures)
    except RepositoryError as error:
        raise _refused(f"it is not signed by the one in force and by itself: {str(error)[:160]}") from error
    return given


def _root(content: bytes) -> Metadata[Any]:
    metadata = Metadata[Any].from_bytes(content)
    if not isinstance(metadata.signed, Root):
        message = f"it is of type {metadata.signed.type}"
        raise TypeError(message)
    return metadata


def _refused(text: str) -> InvalidError:
    hint = "rotate from the root that the registry serves, its file public/root.json"
    return InvalidError(f"the given root cannot follow: {text}", code="trust.root", hint=hint)
