"""Do one reading job: understand the file, write its rows as Parquet, describe them, and report in one document."""

from collections.abc import Mapping
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

from onecode_common.errors import OnecodeError
from onecode_ingestion.adapters.reading.csv_table import CsvTable
from onecode_ingestion.adapters.reading.parquet_table import ParquetTable, too_large_decoded
from onecode_ingestion.adapters.reading.parts import WrittenPart, write_parts
from onecode_ingestion.adapters.reading.profile import profile, profile_findings
from onecode_ingestion.adapters.reading.source import Source, locate_undecodable
from onecode_ingestion.adapters.reading.table import BadCells, Table, arrow_schema, schema_of
from onecode_ingestion.adapters.reading.text_form import rows_of
from onecode_ingestion.domain.formats import PARQUET, check_named
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.options import ReadOptions

PREVIEW_CHARS = 32 << 20
PREVIEW_PARQUET_ROWS = 200_000
FIRST_ROWS = 50
_FIRST_CHARS = 200


def do_job(job: Mapping[str, Any]) -> dict[str, Any]:
    """Return the outcome of a job, or its error, as a document.

    Args:
        job: ``path``, ``file_name``, ``folder`` for the Parquet files, ``preview``, ``options`` and ``limits``.
    """
    limits = Limits(**job["limits"])
    try:
        return _read(job, limits)
    except OnecodeError as error:
        return {"error": error_document(error)}
    except MemoryError:
        return {"error": error_document(too_large_decoded(limits.memory_bytes))}


def error_document(error: OnecodeError) -> dict[str, Any]:
    """Return the JSON form of one of our errors."""
    return {
        "kind": error.kind,
        "message": error.message,
        "code": error.code,
        "hint": error.hint,
        "params": error.params,
    }


def _read(job: Mapping[str, Any], limits: Limits) -> dict[str, Any]:
    options = ReadOptions.from_document(job["options"])
    source = Source(Path(job["path"]), limits)
    check_named(job["file_name"], source.container, options.format)
    folder = Path(job["folder"])
    if source.container == PARQUET:
        most_rows = PREVIEW_PARQUET_ROWS if job["preview"] else None
        return _outcome(ParquetTable(Path(job["path"]), options, limits, most_rows), folder)
    try:
        return _outcome(CsvTable(source, options, limits, PREVIEW_CHARS if job["preview"] else None), folder)
    except UnicodeDecodeError as error:
        raise locate_undecodable(source, options.encoding or error.encoding) from error


def _outcome(table: Table, folder: Path) -> dict[str, Any]:
    bad = BadCells()
    batches = table.batches(bad)
    first = next(batches, None)
    shown = rows_of(first.slice(0, FIRST_ROWS), _FIRST_CHARS) if first is not None else []
    parts = write_parts(chain([first] if first is not None else [], batches), arrow_schema(table.types), folder)
    described = profile(parts, table.types, table.options.target)
    findings = [
        *table.findings(),
        *bad.findings(table.types, table.options),
        *profile_findings(described, table.options.target),
    ]
    nullable = {one["name"] for one in described["columns"] if one["missing"]}
    return {
        "options": table.options.to_document(),
        "schema": schema_of(table.types, nullable, table.options).to_document(),
        "findings": [finding.to_document() for finding in findings],
        "rows": described["rows"],
        "dropped": table.dropped,
        "estimated_rows": round(described["rows"] / max(table.share_read(), 1e-9)),
        "first_rows": shown,
        "profile": described,
        "parts": [_part_document(part) for part in parts],
    }


def _part_document(part: WrittenPart) -> dict[str, Any]:
    return {**asdict(part), "path": str(part.path)}
