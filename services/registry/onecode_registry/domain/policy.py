"""Read from a policy what the registry must know: whom it is for, and which versions it names."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onecode_common.errors import InvalidError
from onecode_common.ids import digest

_PATH = re.compile(r"fleet/([a-z0-9][a-z0-9._-]{0,62})/policy\.json")


@dataclass(frozen=True, slots=True)
class Named:
    """The versions that gateways of a segment may fetch: those that serve, and those to go back to."""

    segment: str
    digests: frozenset[str]


def segment_of(path: str) -> str:
    """Return the segment whose policy stands under this path.

    Raises:
        InvalidError: ``policy.path``.
    """
    found = _PATH.fullmatch(path)
    if found is None or ".." in path:
        message = f"{path[:120]!r} is no path of a policy: expected fleet/<segment>/policy.json"
        raise InvalidError(message, code="policy.path", params={"path": path[:120]})
    return found.group(1)


def read_policy(path: str, content: bytes, tenant: str) -> Named:
    """Return whom the policy is for and what it names.

    Raises:
        InvalidError: ``policy.invalid``: not a policy, or for somebody else than its path says.
    """
    segment = segment_of(path)
    try:
        document = json.loads(content)
        if document["tenant"] != tenant or document["segment"] != segment:
            raise _invalid(path, f"it is for {document['tenant']!r}/{document['segment']!r}")
        digests = frozenset(name for model in document["models"] for name in _names(model))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _invalid(path, f"it cannot be read: {error!r}"[:200]) from error
    return Named(segment, digests)


def _names(model: Mapping[str, Any]) -> set[str]:
    named = [*model["arms"], *([model["shadow"]] if model.get("shadow") else [])]
    arms = {str(arm["digest"]) for arm in named}
    return {str(digest(name)) for name in arms | {str(name) for name in model.get("rollback_to") or ()}}


def _invalid(path: str, text: str) -> InvalidError:
    return InvalidError(f"the policy {path} cannot be published: {text}", code="policy.invalid", params={"path": path})
