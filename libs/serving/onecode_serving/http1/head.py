"""Read the head of a request exactly: whatever two programs could read differently is refused (H14)."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

_REQUEST_LINE = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,32}) ([!-~]{1,8192}) HTTP/(\d)\.(\d)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]{1,256}):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_ABSOLUTE = re.compile(rb"https?://[^/?#]+", re.IGNORECASE)
_LENGTH = re.compile(rb"0|[1-9][0-9]{0,14}")
_ONCE = frozenset(
    {
        "host", "content-length", "transfer-encoding", "authorization", "content-type", "content-encoding", "expect",
        "inference-header-content-length", "x-onecode-unit", "x-onecode-timeout-ms",
    }
)  # fmt: skip
"""Fields that decide something here: two of them are two opinions."""

BAD_REQUEST = 400
TOO_LARGE_HEAD = 431
NOT_IMPLEMENTED = 501
WRONG_VERSION = 505


class HeadError(Exception):
    """A head that is refused: ``status`` and a text in plain ASCII without quotes; nothing of the peer is echoed."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status
        self.text = text


@dataclass(frozen=True, slots=True)
class Head:
    """One request's head.

    Attributes:
        method: As sent, ``GET``.
        target: Path and query as sent, percent-encoded; always starts with ``/`` (or is ``*``).
        fields: By lower-case name; several of one name are joined with commas.
        length: Bytes of the body; 0 without one; -1 when it comes in chunks.
        keep_alive: Whether the peer wants the connection to go on.
        expects: Whether it waits for ``100 Continue``.
        minor: 0 or 1, of the protocol version.
    """

    method: str
    target: bytes
    fields: Mapping[str, str] = field(repr=False)
    length: int
    keep_alive: bool
    expects: bool
    minor: int


def parse_head(block: bytes, max_fields: int) -> Head:
    r"""Return the head in ``block``, which ends with the empty line (``\r\n\r\n``).

    Field values are Latin-1 text, without the blanks around them.

    Raises:
        HeadError: It breaks RFC 9112, or may be read in two ways: both lengths, two lengths, bare line ends, folding,
            blanks before a colon, control characters, no or two hosts.
    """
    lines = block[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(lines[0])
    if match is None:
        raise HeadError(BAD_REQUEST, "the request line is not METHOD, one blank, target, one blank, HTTP/1.1")
    method, target, major, minor = match.groups()
    if major != b"1" or minor not in b"01":
        raise HeadError(WRONG_VERSION, "the version is not HTTP/1.0 or HTTP/1.1")
    if len(lines) - 1 > max_fields:
        raise HeadError(TOO_LARGE_HEAD, f"the head has more than {max_fields} fields")
    fields = _fields(lines[1:])
    if minor == b"1" and "host" not in fields:
        raise HeadError(BAD_REQUEST, "the field host is missing")
    return Head(
        method=method.decode(),
        target=_origin(target),
        fields=fields,
        length=_length(fields, http_1_0=minor == b"0"),
        keep_alive=_keeps(fields.get("connection", ""), http_1_0=minor == b"0"),
        expects=_expects(fields, http_1_0=minor == b"0"),
        minor=int(minor),
    )


def check_field(line: bytes) -> tuple[str, str]:
    """Return a field line's lower-case name and its value.

    Raises:
        HeadError: It is folded, has a blank before its colon, or holds a character that does not belong there.
    """
    match = _FIELD.fullmatch(line)
    if match is None:
        raise HeadError(BAD_REQUEST, _why(line))
    return match[1].decode().lower(), match[2].decode("latin-1").rstrip(" \t")


def require_bounded(size: int, most: int) -> None:
    """Refuse a head of this many bytes if that is too long.

    Raises:
        HeadError: It is.
    """
    if size > most:
        raise HeadError(TOO_LARGE_HEAD, f"the head is longer than {most} bytes")


def require_lines(part: bytes) -> None:
    """Refuse the beginning of a head that can have no good end.

    Raises:
        HeadError: One of its lines ends without CR LF.
    """
    if part.count(b"\n") != part.count(b"\r\n"):
        raise HeadError(BAD_REQUEST, "a line of the head ends without CR LF")


def _fields(lines: list[bytes]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for line in lines:
        name, value = check_field(line)
        if name not in fields:
            fields[name] = value
        elif name in _ONCE:
            raise HeadError(BAD_REQUEST, f"the field {name} comes twice")
        else:
            fields[name] = f"{fields[name]}, {value}"
    return fields


def _why(line: bytes) -> str:
    if b"\n" in line or b"\r" in line:
        return "a line of the head ends without CR LF"
    if line[:1] in (b" ", b"\t"):
        return "a field of the head is folded"
    name = line.split(b":", 1)[0]
    if name != name.rstrip(b" \t"):
        return "a field of the head has a blank before its colon"
    return "a field of the head holds a character that does not belong there"


def _origin(target: bytes) -> bytes:
    """Return path and query; proxies may send the whole URL."""
    if b"#" in target:
        raise HeadError(BAD_REQUEST, "the target holds a fragment")
    if target.startswith(b"/") or target == b"*":
        return target
    match = _ABSOLUTE.match(target)
    if match is None:
        raise HeadError(BAD_REQUEST, "the target is not a path")
    rest = target[match.end() :]
    return rest if rest.startswith(b"/") else b"/" + rest


def _length(fields: Mapping[str, str], *, http_1_0: bool) -> int:
    length, coding = fields.get("content-length"), fields.get("transfer-encoding")
    if coding is not None:
        if length is not None:
            raise HeadError(BAD_REQUEST, "the head has both content-length and transfer-encoding")
        if http_1_0:
            raise HeadError(BAD_REQUEST, "HTTP/1.0 knows no transfer-encoding")
        if coding.lower() != "chunked":
            raise HeadError(NOT_IMPLEMENTED, "the transfer-encoding is not chunked")
        return -1
    if length is None:
        return 0
    if _LENGTH.fullmatch(length.encode("latin-1")) is None:
        raise HeadError(BAD_REQUEST, "content-length is not a whole number")
    return int(length)


def _keeps(connection: str, *, http_1_0: bool) -> bool:
    options = {option.strip().lower() for option in connection.split(",")}
    if "close" in options:
        return False
    return "keep-alive" in options if http_1_0 else True


def _expects(fields: Mapping[str, str], *, http_1_0: bool) -> bool:
    expectation = fields.get("expect")
    if expectation is None or http_1_0:
        return False
    if expectation.lower() != "100-continue":
        raise HeadError(417, "the only expectation known is 100-continue")
    return True
