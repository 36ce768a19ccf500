"""Say what an upload is and which bytes may be appended to it."""

import re
from base64 import b64decode
from binascii import Error as Base64Error
from dataclasses import dataclass
from datetime import datetime

from onecode_common.errors import ConflictError, ExhaustedError, InvalidError
from onecode_common.ids import hex_of

_MAX_METADATA = 4096
_MAX_NAME = 255
_MAX_DIGITS = 18


@dataclass(frozen=True, slots=True)
class Upload:
    """Bytes on their way to become a version.

    Attributes:
        upload_id: Chosen here.
        project: Whose it is.
        file_name: As announced; text only, never a path.
        length: Bytes announced.
        expected: SHA-256 announced (hex), or empty.
        sha256: Of all bytes (hex), once complete; else empty.
        created: When it was begun.
        created_by: Principal.
    """

    upload_id: str
    project: str
    file_name: str
    length: int
    expected: str
    sha256: str
    created: datetime
    created_by: str


def check_offset(upload_id: str, given: int, durable: int) -> None:
    """Return if bytes may be appended at this offset.

    Raises:
        ConflictError: The upload is elsewhere.
    """
    if given != durable:
        message = f"upload {upload_id} is at byte {durable}, not {given}: ask with HEAD and go on there"
        params = {"offset": durable, "value": given}
        raise ConflictError(message, code="upload.offset", hint="go on at the offset that HEAD names", params=params)


def check_end(end: int, length: int) -> None:
    """Return if bytes up to this end were announced.

    Raises:
        ExhaustedError: There are more.
    """
    if end > length:
        message = f"the upload was announced with {length} bytes, these would make at least {end}"
        raise ExhaustedError(message, code="upload.too_long", params={"length": length, "value": end})


def parse_number(text: str | None, header: str) -> int:
    """Return the whole number in a tus header.

    Raises:
        InvalidError: It is missing or not a plain whole number.
    """
    if text is None or not text.isascii() or not text.isdigit() or len(text) > _MAX_DIGITS:
        shown = "nothing" if text is None else repr(text[:40])
        message = f"{header} must be a whole number of bytes, got {shown}"
        raise InvalidError(message, code="upload.malformed", params={"header": header, "value": (text or "")[:40]})
    return int(text)


def parse_metadata(text: str) -> dict[str, str]:
    """Return the pairs of an ``Upload-Metadata`` header.

    Raises:
        InvalidError: Not comma-separated names with Base64 values, or a name occurs twice.
    """
    pairs: dict[str, str] = {}
    if len(text) > _MAX_METADATA:
        raise _bad_metadata(f"longer than {_MAX_METADATA} characters", text)
    for item in filter(None, (one.strip() for one in text.split(","))):
        name, _, value = item.partition(" ")
        try:
            decoded = b64decode(value, validate=True).decode()
        except (Base64Error, UnicodeDecodeError, ValueError) as error:
            raise _bad_metadata(f"the value of {name[:40]!r} is not Base64 of UTF-8", value) from error
        if name in pairs:
            raise _bad_metadata(f"{name[:40]!r} occurs twice", name)
        pairs[name] = decoded
    return pairs


def check_file_name(name: str) -> str:
    """Return the name if it is one, and nothing that a file system could take for more.

    Raises:
        InvalidError: It is a path, too long, or holds characters that nobody sees.
    """
    unsafe = any(one in "/\\\0" or not one.isprintable() for one in name)
    if unsafe or name in (".", "..") or len(name) > _MAX_NAME or re.match(r"^[A-Za-z]:", name):
        message = f"{name[:80]!r} is not a plain file name"
        raise InvalidError(message, code="upload.file_name", hint="send the name alone", params={"value": name[:80]})
    return name


def check_expected(text: str) -> str:
    """Return the announced SHA-256 as hex, or nothing if none was announced.

    Raises:
        InvalidError: It is not a SHA-256.
    """
    return hex_of(text.lower()) if text else ""


def _bad_metadata(why: str, value: str) -> InvalidError:
    return InvalidError(f"Upload-Metadata cannot be read: {why}", code="upload.malformed", params={"value": value[:80]})
