"""Cut a request's id out of its JSON, where only the id differs from an earlier request's."""

import re
from typing import NamedTuple

from onecode_common.errors import InvalidError
from onecode_serving.rest.document import parse_object

ID_KEY = b'"id"'
"""Without it there is no id to be cut out, which is cheaper to see than by :func:`cut_id`."""

_MEMBER = re.compile(rb'"id"[ \t\r\n]*:[ \t\r\n]*"([^"\\\x00-\x1f\x7f-\xff]+)"')
"""A member whose text is what it looks like: no escapes, ASCII only, not empty."""

_PROBE = b"8190407113377"
"""An id that stands for the cut one while the rest is looked at."""


class Cut(NamedTuple):
    """JSON around an id.

    Attributes:
        before: Up to and with the quotation mark that begins the id.
        text: The id, without quotation marks, which is how JSON writes it.
        after: From the quotation mark that ends it.
    """

    before: bytes
    text: bytes
    after: bytes


def cut_id(json: bytes) -> Cut | None:
    """Return the parts around what looks like the id; None if nothing does.

    Whoever knows what ``before`` and ``after`` mean around *some* id (:func:`is_id`) knows what they mean around this
    one: a parser that has read ``before`` stands inside a text, and this text ends where ``after`` begins.
    """
    found = _MEMBER.search(json)
    if found is None or found[1] == _PROBE:
        return None
    begin, end = found.span(1)
    return Cut(json[:begin], json[begin:end], json[end:])


def is_id(cut: Cut, request_id: str, start: bytes = b"", rest: bytes = b"") -> bool:
    """Return whether the cut text is the id of the request, and not a member of something else in it.

    Args:
        cut: Of a part of the JSON.
        request_id: As the whole request was understood.
        start: The JSON before that part.
        rest: The JSON after it.
    """
    if request_id.encode("utf-8", "replace") != cut.text:
        return False
    try:
        return parse_object(b"%b%b%b%b%b" % (start, cut.before, _PROBE, cut.after, rest)).get("id") == _PROBE.decode()
    except InvalidError:
        return False
