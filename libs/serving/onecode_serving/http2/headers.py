"""Decode header blocks with bounds that hold *while* decoding, and encode constant ones (RFC 7541).

The tables and Huffman's code are those of ``hpack``; its ``Decoder`` cannot bound the number of fields and does not say
whether a block changed the dynamic table, which a cache of blocks must know.
"""

from collections.abc import Sequence

from hpack import HPACKDecodingError
from hpack.huffman_table import decode_huffman
from hpack.table import HeaderTable

from onecode_serving.http2.frames import COMPRESSION_ERROR, ENHANCE_YOUR_CALM, ProtocolError

_STATIC = tuple(HeaderTable.STATIC_TABLE)
_STATIC_COUNT = len(_STATIC)
_LONGEST_INTEGER = 5
"""Bytes of an integer: enough for 32 bits; longer ones are an attack or a mistake."""
_FIELD_OVERHEAD = 32
_TABLE_UPDATE = 0x20
_MORE = 0x80
"""The bit that says that an integer goes on."""

Headers = list[tuple[bytes, bytes]]


class HeaderDecoder:
    """One direction's header compression state.

    Args:
        list_bytes: Greatest decoded list, counting name + value + 32 for each field.
        fields: Greatest number of fields.
    """

    def __init__(self, list_bytes: int = 16_384, fields: int = 100) -> None:
        self._list_bytes = list_bytes
        self._fields = fields
        self._table = HeaderTable()
        self._allowed = HeaderTable.DEFAULT_SIZE
        self._must_shrink = False

    def allow(self, size: int) -> None:
        """Set the greatest table that the peer may choose, once it has acknowledged the setting.

        The next block has to begin with an update if the table in use is now too large (RFC 9113, 4.3.1).
        """
        self._allowed = size
        self._must_shrink = self._table.maxsize > size

    def decode(self, block: bytes) -> tuple[Headers, bool]:
        """Return the fields in order and whether the dynamic table was changed.

        Raises:
            ProtocolError: The block cannot be decoded (COMPRESSION_ERROR) or is greater than allowed
                (ENHANCE_YOUR_CALM). The table is then unknown: the connection has to end.
        """
        try:
            return self._decode(block)
        except IndexError as error:
            raise _broken("a header block ends within a field: send it whole") from error
        except HPACKDecodingError as error:
            raise _broken(f"a header block that cannot be decoded: {type(error).__name__}") from error

    def _decode(self, block: bytes) -> tuple[Headers, bool]:
        headers: Headers = []
        at, end, total, changed = 0, len(block), 0, False
        while at < end:
            first = block[at]
            if first & 0x80:
                index, at = _integer(block, at, 0x7F)
                field = self._entry(index)
            elif first & 0xE0 == _TABLE_UPDATE:
                if headers:
                    raise _broken("a table update after a header field: it belongs to the start of the block")
                at = self._resize(block, at)
                changed = True
                continue
            else:
                stored = bool(first & 0x40)
                index, at = _integer(block, at, 0x3F if stored else 0x0F)
                name, at = (self._entry(index)[0], at) if index else _text(block, at)
                value, at = _text(block, at)
                field = (name, value)
                if stored:
                    self._table.add(name, value)
                    changed = True
            if self._must_shrink:
                raise _broken(f"no table update although the table may hold only {self._allowed} bytes")
            headers.append(field)
            total += len(field[0]) + len(field[1]) + _FIELD_OVERHEAD
            if total > self._list_bytes or len(headers) > self._fields:
                raise ProtocolError(
                    ENHANCE_YOUR_CALM,
                    f"a header list of more than {self._list_bytes} bytes or {self._fields} fields: send less metadata",
                )
        return headers, changed

    def _entry(self, index: int) -> tuple[bytes, bytes]:
        if 0 < index <= _STATIC_COUNT:
            return _STATIC[index - 1]
        return self._table.get_by_index(index)

    def _resize(self, block: bytes, at: int) -> int:
        size, at = _integer(block, at, 0x1F)
        if size > self._allowed:
            raise _broken(f"a header table of {size} bytes: at most {self._allowed}")
        self._table.maxsize = size
        self._must_shrink = False
        return at


def encode_block(headers: Sequence[tuple[str, str]]) -> bytes:
    """Return a block that any decoder reads in any state: nothing refers to or enters the dynamic table.

    Made for constants and errors; names must be lower-case, pseudo-headers first.
    """
    return b"".join(_encoded(name.encode(), value.encode()) for name, value in headers)


def _encoded(name: bytes, value: bytes) -> bytes:
    index, values = HeaderTable.STATIC_TABLE_MAPPING.get(name, (0, {}))
    if value in values:
        return _number(values[value], 0x7F, 0x80)
    known = _number(index, 0x0F, 0) if index else b"\x00" + _number(len(name), 0x7F, 0) + name
    return known + _number(len(value), 0x7F, 0) + value


def _number(value: int, mask: int, first: int) -> bytes:
    """Return an integer with the bits of ``mask`` as prefix below ``first`` (RFC 7541, 5.1)."""
    if value < mask:
        return bytes((first | value,))
    encoded = bytearray((first | mask,))
    value -= mask
    while value >= _MORE:
        encoded.append(value & 0x7F | _MORE)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def _integer(block: bytes, at: int, mask: int) -> tuple[int, int]:
    """Return the integer that starts at ``at`` and where it ends; IndexError if the block is too short."""
    value = block[at] & mask
    at += 1
    if value < mask:
        return value, at
    for shift in range(0, 7 * _LONGEST_INTEGER, 7):
        byte = block[at]
        at += 1
        value += (byte & 0x7F) << shift
        if byte < _MORE:
            return value, at
    raise _broken(f"an integer of more than {_LONGEST_INTEGER} bytes in a header block")


def _text(block: bytes, at: int) -> tuple[bytes, int]:
    coded = block[at] & 0x80
    length, at = _integer(block, at, 0x7F)
    stop = at + length
    if stop > len(block):
        raise _broken("a header block ends within a text: send it whole")
    # Huffman's code makes at most 8/5 of a block out of it, and a block is bounded.
    return (decode_huffman(block[at:stop]) if coded else block[at:stop]), stop


def _broken(message: str) -> ProtocolError:
    return ProtocolError(COMPRESSION_ERROR, message)
