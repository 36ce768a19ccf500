"""Find out in which encoding a text is written, line by line, so that a mixture is noticed and not garbled.

GB18030 accepts nearly any bytes, so that "it decodes" proves little: what counts is whether the lines that are no
UTF-8 outnumber those that are.
"""

from dataclasses import dataclass

from onecode_common.errors import InvalidError

UTF8, UTF16, GB18030 = "utf-8", "utf-16", "gb18030"
_BOMS = ((b"\xef\xbb\xbf", UTF8), (b"\xff\xfe", UTF16), (b"\xfe\xff", UTF16))
_UTF16_SAMPLE = 512
_UTF16_SHARE = 0.4
_CHANCE = 50
"""One GBK line in this many may look like three-byte UTF-8 by chance."""


def bom_encoding(head: bytes) -> str:
    """Return the encoding that a byte-order mark names, or that bare UTF-16 betrays by its zero bytes; else ''."""
    for mark, encoding in _BOMS:
        if head.startswith(mark):
            return encoding
    return UTF16 if bare_utf16(head) else ""


def bare_utf16(head: bytes) -> str:
    """Return ``utf-16-le`` or ``utf-16-be`` where every other byte is mostly zero, else ''."""
    sample = head[:_UTF16_SAMPLE]
    half = len(sample) // 2
    if half < 2 or head[:2] in (b"\xff\xfe", b"\xfe\xff"):  # noqa: PLR2004 - one character proves nothing
        return ""
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    if odd >= _UTF16_SHARE * half and even == 0:
        return "utf-16-le"
    return "utf-16-be" if even >= _UTF16_SHARE * half and odd == 0 else ""


@dataclass(slots=True)
class LineCounts:
    """What the lines with bytes above 127 look like.

    Attributes:
        utf8: Valid UTF-8.
        utf8_wide: Valid UTF-8 with a character of three bytes or more, which GBK text hardly ever is by chance.
        other: Not UTF-8.
        not_gb18030: Not GB18030 either.
        first_wide: Number of the first line counted by ``utf8_wide``, 0 if none.
        first_other: Number of the first line counted by ``other``, 0 if none.
        first_other_byte: Where in that line the first bad byte is, from 1.
        first_not_gb18030: Number of the first such line, 0 if none.
    """

    utf8: int = 0
    utf8_wide: int = 0
    other: int = 0
    not_gb18030: int = 0
    first_wide: int = 0
    first_other: int = 0
    first_other_byte: int = 0
    first_not_gb18030: int = 0

    def add(self, number: int, line: bytes) -> None:
        """Count a line that is not plain ASCII."""
        try:
            text = line.decode("utf-8")
        except UnicodeDecodeError as error:
            self.other += 1
            self.first_other = self.first_other or number
            self.first_other_byte = self.first_other_byte or error.start + 1
        else:
            self.utf8 += 1
            if any(one > "\u07ff" for one in text):
                self.utf8_wide += 1
                self.first_wide = self.first_wide or number
        try:
            line.decode("gb18030")
        except UnicodeDecodeError:
            self.not_gb18030 += 1
            self.first_not_gb18030 = self.first_not_gb18030 or number


def judge(counts: LineCounts) -> str:
    """Return the encoding of a whole text.

    Raises:
        InvalidError: Lines of two encodings are mixed, or it is neither UTF-8 nor GB18030.
    """
    if counts.other == 0:
        return UTF8
    mixed = counts.first_wide == 1 or counts.utf8_wide * _CHANCE > counts.other
    if mixed or 2 * counts.utf8 > counts.other:
        raise _mixed(counts)
    if counts.not_gb18030:
        line = counts.first_not_gb18030
        message = f"line {line} is neither UTF-8 nor GB18030"
        hint = "save the file as UTF-8 and upload it again"
        raise InvalidError(message, code="data.encoding", hint=hint, params={"row": line})
    return GB18030


def _mixed(counts: LineCounts) -> InvalidError:
    row, byte = counts.first_other, counts.first_other_byte
    message = f"line {row} is not UTF-8 from its byte {byte} on, but {counts.utf8} other lines are: encodings are mixed"
    return InvalidError(
        message,
        code="data.encoding_mixed",
        hint="save the whole file in one encoding, UTF-8 is best",
        params={"row": row, "byte": byte, "count": counts.other},
    )


def undecodable(encoding: str, row: int, byte: int) -> InvalidError:
    """Return the error for a text that is not in the encoding that was asked for."""
    message = f"line {row} is not {encoding}, from its byte {byte} on"
    hint = "leave the encoding open, or choose another"
    return InvalidError(
        message, code="data.encoding", hint=hint, params={"row": row, "byte": byte, "encoding": encoding}
    )
