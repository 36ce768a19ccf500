"""Give the bytes of an upload as text, decompressed and decoded under limits."""

import io
import zlib
from pathlib import Path

from onecode_common.errors import ExhaustedError, InvalidError
from onecode_ingestion.domain.encodings import (
    UTF8,
    UTF16,
    LineCounts,
    bare_utf16,
    bom_encoding,
    judge,
    undecodable,
)
from onecode_ingestion.domain.formats import GZIP, HEAD_BYTES, TEXT, format_of
from onecode_ingestion.domain.limits import RATIO_FREE_BYTES, Limits

BLOCK = 1 << 20
LINE_CHARS = 16 << 20
"""No line may be longer: it would have to be held in memory as a whole."""

_GZIP_WINDOW = 31


class Source:
    """One upload as a stream of plain bytes that can be read more than once.

    Args:
        path: Of the upload.
        limits: On what comes out.
    """

    def __init__(self, path: Path, limits: Limits) -> None:
        self._path = path
        self._limits = limits
        # An upload of no bytes has no file.
        self.size = path.stat().st_size if path.exists() else 0
        self.container = format_of(_first_bytes(path) if self.size else b"")
        self._raw: io.FileIO | None = None

    def head(self) -> bytes:
        """Return the first bytes after decompression."""
        with self.open() as stream:
            return stream.read(HEAD_BYTES)

    def open(self) -> io.BufferedReader:
        """Return the plain bytes from their beginning."""
        self._raw = io.FileIO(self._path)
        if self.container == GZIP:
            return io.BufferedReader(_Gunzip(self._raw, self._limits), BLOCK)
        return io.BufferedReader(self._raw, BLOCK)

    def share_read(self) -> float:
        """Return how much of the file the newest stream has consumed, 0 to 1."""
        return self._raw.tell() / self.size if self._raw is not None and not self._raw.closed else 1.0

    def text(self, encoding: str) -> io.TextIOWrapper:
        """Return the text, line ends as they are written; the encoding is one of the read options'."""
        codec = encoding
        if encoding == UTF8:
            codec = "utf-8-sig"
        elif encoding == UTF16:
            codec = bare_utf16(self.head()) or UTF16
        return io.TextIOWrapper(self.open(), encoding=codec, errors="strict", newline="")


class _Gunzip(io.RawIOBase):
    """All members of a gzip file, one after the other, never more than the limits allow."""

    def __init__(self, raw: io.FileIO, limits: Limits) -> None:
        super().__init__()
        self._raw = raw
        self._limits = limits
        self._decoder = zlib.decompressobj(_GZIP_WINDOW)
        self._pending = b""
        self._out = 0
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview | bytearray") -> int:  # type: ignore[override]
        while True:
            piece = self._next(len(buffer))
            if piece is None:
                return 0
            if piece:
                self._count(len(piece))
                buffer[: len(piece)] = piece
                return len(piece)

    def close(self) -> None:
        self._raw.close()
        super().close()

    def _next(self, most: int) -> bytes | None:
        if self._decoder.eof:
            self._pending = self._decoder.unused_data or self._raw.read(BLOCK)
            # Some tools pad the end with zeros.
            self._pending = self._pending.lstrip(b"\0")
            if not self._pending:
                return None
            self._decoder = zlib.decompressobj(_GZIP_WINDOW)
        if not self._pending:
            self._pending = self._raw.read(BLOCK)
            if not self._pending:
                raise _corrupt("it ends in the middle of its compressed data")
        try:
            piece = self._decoder.decompress(self._pending, most)
        except zlib.error as error:
            raise _corrupt(str(error)) from error
        self._pending = self._decoder.unconsumed_tail
        return piece

    def _count(self, count: int) -> None:
        self._out += count
        read = self._raw.tell()
        if self._out > self._limits.decoded_bytes:
            raise _too_large(f"more than {self._limits.decoded_bytes} bytes", self._limits.decoded_bytes)
        if self._out > RATIO_FREE_BYTES and self._out > self._limits.gzip_ratio * read:
            raise _too_large(f"more than {self._limits.gzip_ratio} times its size", self._limits.gzip_ratio)


def _first_bytes(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD_BYTES)


def check_inside(source: Source) -> None:
    """Return if a compressed file holds text.

    Raises:
        InvalidError: It holds something else.
    """
    if source.container == GZIP and format_of(source.head()) != TEXT:
        message = "the gzip file does not hold CSV text"
        hint = "compress the CSV itself, once; Parquet needs no compression"
        raise InvalidError(message, code="data.type_not_accepted", hint=hint, params={"found": "gzip in gzip"})


def find_encoding(source: Source, wanted: str, most_bytes: int) -> str:
    """Return the encoding asked for, or the one that the first ``most_bytes`` bytes are written in.

    Raises:
        InvalidError: Encodings are mixed, or it is none that is read.
    """
    marked = bom_encoding(source.head())
    if wanted or marked:
        return wanted or marked
    counts = LineCounts()
    number, seen, tail = 0, 0, b""
    with source.open() as stream:
        while seen < most_bytes and (block := stream.read(BLOCK)):
            seen += len(block)
            whole, tail = _whole_lines(tail + block, number + 1)
            number = _count_lines(whole, number, counts)
    if tail and seen < most_bytes and not tail.isascii():
        counts.add(number + 1, tail)
    return judge(counts)


def locate_undecodable(source: Source, encoding: str) -> InvalidError:
    """Return the error that names the first line, and its first byte, that is not in the encoding."""
    if encoding == UTF16:
        return undecodable(encoding, 1, 1)
    number = 0
    with source.open() as stream:
        for number, line in enumerate(stream, start=1):
            try:
                line.decode(encoding)
            except UnicodeDecodeError as error:
                return undecodable(encoding, number, error.start + 1)
    return undecodable(encoding, number, 1)


def line_too_long(number: int) -> ExhaustedError:
    """Return the error for a line that does not end."""
    message = f"line {number} is longer than {LINE_CHARS} characters: is this a table?"
    return ExhaustedError(message, code="data.cell_too_large", params={"row": number, "limit": LINE_CHARS})


def _whole_lines(content: bytes, number: int) -> tuple[bytes, bytes]:
    cut = content.rfind(b"\n") + 1
    if len(content) - cut > LINE_CHARS:
        raise line_too_long(number)
    return content[:cut], content[cut:]


def _count_lines(content: bytes, number: int, counts: LineCounts) -> int:
    if content.isascii():
        return number + content.count(b"\n")
    for line in content.split(b"\n")[:-1]:
        number += 1
        if not line.isascii():
            counts.add(number, line)
    return number


def _corrupt(why: str) -> InvalidError:
    message = f"the gzip file is damaged: {why}"
    return InvalidError(message, code="data.corrupt", hint="upload it again", params={"found": why[:80]})


def _too_large(what: str, limit: int) -> ExhaustedError:
    message = f"the gzip file decompresses to {what}"
    hint = "upload fewer rows at once, or Parquet"
    return ExhaustedError(message, code="archive.too_large", hint=hint, params={"limit": limit})
