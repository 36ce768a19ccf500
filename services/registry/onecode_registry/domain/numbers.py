"""Write numbers as text, because a canonical document must be byte for byte the same everywhere."""

import json
import math
from collections.abc import Mapping
from typing import Any

from onecode_common.errors import InvalidError

_MAX_TEXT = 64 << 10


def number_text(value: float, what: str) -> str:
    """Return the shortest text that reads back as the same number.

    Raises:
        InvalidError: It is not finite.
    """
    if not math.isfinite(value):
        message = f"{what} is {value}: only finite numbers can be recorded"
        raise InvalidError(message, code="number.not_finite", params={"what": what, "value": value})
    return repr(float(value))


def json_object(text: str, what: str) -> dict[str, Any]:
    """Return the JSON object with every fraction as text; an empty text is an empty object.

    Raises:
        InvalidError: It is no JSON object, larger than 64 KiB, or nested too deeply.
    """
    if len(text) > _MAX_TEXT:
        message = f"{what} has {len(text)} characters: at most {_MAX_TEXT} are recorded"
        raise InvalidError(message, code="request.too_large", params={"what": what})
    try:
        document = json.loads(text or "{}", parse_float=str, parse_constant=str)
    except (ValueError, RecursionError) as error:
        message = f"{what} is not JSON: {str(error)[:160]}"
        raise InvalidError(message, code="json.invalid", params={"what": what}) from error
    if not isinstance(document, Mapping):
        message = f"{what} is a {type(document).__name__}: expected a JSON object"
        raise InvalidError(message, code="json.invalid", params={"what": what})
    return dict(document)
