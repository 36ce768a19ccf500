"""Translate between the wire and the values of the rules."""

from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import ParseDict

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode_common.errors import InvalidError
from onecode_common.ids import digest
from onecode_ingestion.domain.columns import ColumnType, Schema
from onecode_ingestion.domain.findings import Finding
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.domain.upload import Upload
from onecode_ingestion.domain.version import Version
from onecode_ingestion.ports import Cells, Reading
from onecode_ingestion.usecases import Page

_TYPES = {
    pb.COLUMN_TYPE_FLOAT: ColumnType.FLOAT,
    pb.COLUMN_TYPE_INTEGER: ColumnType.INTEGER,
    pb.COLUMN_TYPE_BOOLEAN: ColumnType.BOOLEAN,
    pb.COLUMN_TYPE_TIMESTAMP: ColumnType.TIMESTAMP,
    pb.COLUMN_TYPE_TEXT: ColumnType.TEXT,
}
_WIRE_TYPES = {type_: wire for wire, type_ in _TYPES.items()}
_RAGGED = {
    pb.RAGGED_ROWS_UNSPECIFIED: "",
    pb.RAGGED_ROWS_REFUSE: "refuse",
    pb.RAGGED_ROWS_DROP: "drop",
}
_BAD_CELLS = {
    pb.BAD_CELLS_UNSPECIFIED: "",
    pb.BAD_CELLS_REFUSE: "refuse",
    pb.BAD_CELLS_MISSING: "missing",
}


def options_from_wire(wire: pb.ReadOptions) -> ReadOptions:
    """Return the options; what is unset stays open.

    Raises:
        InvalidError: An enum has a value that this release does not know.
    """
    return ReadOptions(
        format=wire.format,
        encoding=wire.encoding,
        delimiter=wire.delimiter,
        header=wire.header if wire.HasField("header") else None,
        decimal_comma=wire.decimal_comma if wire.HasField("decimal_comma") else None,
        columns=tuple((one.name, _known(_TYPES, one.type, f"type of {one.name[:60]!r}")) for one in wire.columns),
        target=wire.target,
        time_column=wire.time_column,
        id_column=wire.id_column,
        ragged_rows=_known(_RAGGED, wire.ragged_rows, "ragged_rows"),
        bad_cells=_known(_BAD_CELLS, wire.bad_cells, "bad_cells"),
    )


def options_to_wire(options: ReadOptions) -> pb.ReadOptions:
    """Return the options as they travel."""
    ragged = {value: wire for wire, value in _RAGGED.items()}
    bad_cells = {value: wire for wire, value in _BAD_CELLS.items()}
    return pb.ReadOptions(
        format=options.format,
        encoding=options.encoding,
        delimiter=options.delimiter,
        header=options.header,
        decimal_comma=options.decimal_comma,
        columns=[pb.ColumnOption(name=name, type=_WIRE_TYPES[type_]) for name, type_ in options.columns],
        target=options.target,
        time_column=options.time_column,
        id_column=options.id_column,
        ragged_rows=ragged[options.ragged_rows],
        bad_cells=bad_cells[options.bad_cells],
    )


def upload_to_wire(upload: Upload, offset: int) -> pb.Upload:
    """Return an upload with the number of its durable bytes."""
    wire = pb.Upload(
        upload_id=upload.upload_id,
        file_name=upload.file_name,
        length=upload.length,
        offset=offset,
        sha256=upload.sha256,
    )
    wire.created.FromDatetime(upload.created)
    return wire


def preview_to_wire(reading: Reading) -> pb.PreviewUploadResponse:
    """Return what a commit would make."""
    return pb.PreviewUploadResponse(
        options=options_to_wire(reading.options),
        schema=_schema(reading.schema),
        rows=_rows(reading.first_rows),
        findings=[_finding(one) for one in reading.findings],
        estimated_rows=reading.estimated_rows,
    )


def version_to_wire(version: Version) -> pb.Version:
    """Return a version as it travels."""
    wire = pb.Version(
        version_id=version.version_id,
        dataset=version.dataset,
        number=version.number,
        rows=version.rows,
        dropped_rows=version.dropped_rows,
        schema=_schema(version.schema),
        objects=[digest(part.digest) for part in version.parts],
        upload_sha256=version.upload_sha256,
        options=options_to_wire(version.options),
        findings=[_finding(one) for one in version.findings],
        created_by=version.created_by,
        project=version.project,
        bytes=version.bytes,
    )
    wire.created.FromDatetime(version.created)
    return wire


def profile_to_wire(version_id: str, document: Mapping[str, Any]) -> pb.Profile:
    """Return a profile document as it travels."""
    columns = [{**one, "type": _WIRE_TYPES[ColumnType(one["type"])]} for one in document["columns"]]
    return ParseDict({**document, "version_id": version_id, "columns": columns}, pb.Profile())


def page_to_wire(page: Page) -> pb.ListRowsResponse:
    """Return some rows as they travel."""
    return pb.ListRowsResponse(columns=page.columns, rows=_rows(page.rows), total=page.total)


def _schema(schema: Schema) -> pb.Schema:
    return pb.Schema(
        columns=[pb.Column(name=one.name, type=_WIRE_TYPES[one.type], nullable=one.nullable) for one in schema.columns],
        target=schema.target,
        time_column=schema.time_column,
        id_column=schema.id_column,
    )


def _finding(finding: Finding) -> pb.Finding:
    return pb.Finding(
        code=finding.code,
        severity=finding.severity,
        column=finding.column,
        count=finding.count,
        rows=finding.rows,
        detail=finding.detail,
    )


def _rows(rows: Cells) -> list[pb.Row]:
    return [pb.Row(cells=[pb.Cell(text=cell) for cell in row]) for row in rows]


def _known(names: Mapping[Any, Any], value: int, what: str) -> Any:
    if value not in names:
        message = f"{what} has the unknown value {value}"
        raise InvalidError(message, code="options.invalid", params={"field": what, "value": value})
    return names[value]
