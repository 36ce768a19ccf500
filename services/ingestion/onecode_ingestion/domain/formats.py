"""Tell what a file is by its first bytes, never by its name, and refuse what cannot be a table."""

from onecode_common.errors import InvalidError

HEAD_BYTES = 4096

GZIP, PARQUET, TEXT = "gzip", "parquet", "text"

_FOREIGN = (
    (b"PK\x03\x04", "a zip archive or an Excel workbook (.xlsx)"),
    (b"PK\x05\x06", "an empty zip archive"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel or Office file (.xls)"),
    (b"%PDF", "a PDF document"),
    (b"ARROW1", "an Arrow IPC file"),
    (b"\xff\xff\xff\xff\x10\x00\x00\x00", "an Arrow IPC stream"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"\x89HDF", "an HDF5 file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ\x00", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstandard file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x7fELF", "a program"),
    (b"MZ\x90", "a program"),
)
_PICKLES = (b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")
_MARKUP = (b"<!doctype", b"<html", b"<?xml", b"<head", b"<body", b"<svg")
_HINT = "export the table as CSV (UTF-8) or Parquet and upload that"


def format_of(head: bytes) -> str:
    """Return :data:`GZIP`, :data:`PARQUET` or :data:`TEXT` for the first bytes of a file.

    Raises:
        InvalidError: The file is empty, or is of a kind that holds no table that we read.
    """
    if not head:
        raise InvalidError("the file is empty: it has 0 bytes", code="data.empty", hint="choose a file with rows")
    if head.startswith(b"\x1f\x8b"):
        return GZIP
    if head.startswith(b"PAR1"):
        return PARQUET
    found = next((name for magic, name in _FOREIGN if head.startswith(magic)), None)
    if found is None and head.startswith(_PICKLES):
        found = "a Python pickle"
    if found is not None:
        raise _not_accepted(found)
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:16].lower()
    if start.startswith(_MARKUP):
        raise _not_accepted("an HTML or XML document")
    return TEXT


def check_named(file_name: str, found: str, wanted: str) -> None:
    """Return if what was found is what the options (or else the file's name) promise.

    Raises:
        InvalidError: ``wanted`` is another format, or nothing was said and the name ends otherwise.
    """
    is_parquet = found == PARQUET
    if wanted:
        promised = wanted == "parquet"
    else:
        name = file_name.lower()
        promised = name.endswith((".parquet", ".pq")) or (
            is_parquet and not name.endswith((".csv", ".tsv", ".txt", ".gz"))
        )
    if is_parquet == promised:
        return
    actual = "Parquet" if is_parquet else "text"
    message = f"{file_name[:80]!r} was announced as {'Parquet' if promised else 'CSV'}, but its bytes are {actual}"
    hint = f"read it with format = {'parquet' if is_parquet else 'csv'}, or upload the file that you meant"
    raise InvalidError(message, code="data.type_mismatch", hint=hint, params={"found": actual, "name": file_name[:80]})


def _not_accepted(found: str) -> InvalidError:
    message = f"the file is {found}, which is not read as a table"
    return InvalidError(message, code="data.type_not_accepted", hint=_HINT, params={"found": found})
