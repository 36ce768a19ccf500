"""Ask ingestion for data-set versions, over gRPC."""

from collections.abc import Mapping

import grpc

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode.ingestion.v1 import ingestion_pb2_grpc as rpc
from onecode_common.ids import hex_of
from onecode_training.domain.table import BOOLEAN, FLOAT, INTEGER, TEXT, TIMESTAMP, Column, Dataset

_TYPES: Mapping[int, str] = {
    pb.COLUMN_TYPE_FLOAT: FLOAT,
    pb.COLUMN_TYPE_INTEGER: INTEGER,
    pb.COLUMN_TYPE_BOOLEAN: BOOLEAN,
    pb.COLUMN_TYPE_TIMESTAMP: TIMESTAMP,
    pb.COLUMN_TYPE_TEXT: TEXT,
}


class IngestionDatasets:
    """See :class:`onecode_training.ports.Datasets`."""

    def __init__(self, channel: grpc.Channel, project: str) -> None:
        self._stub = rpc.IngestionServiceStub(channel)
        self._project = project

    def find(self, version_id: str) -> Dataset:
        """Return a version."""
        version = self._stub.GetVersion(pb.GetVersionRequest(project=self._project, version_id=version_id)).version
        schema = version.schema
        return Dataset(
            version_id=version.version_id,
            name=version.dataset,
            rows=version.rows,
            columns=tuple(Column(column.name, _TYPES.get(column.type, TEXT)) for column in schema.columns),
            target=schema.target,
            time_column=schema.time_column,
            id_column=schema.id_column,
            objects=tuple(hex_of(digest) for digest in version.objects),
        )

    def hold(self, version_id: str, holder: str) -> None:
        """Say that the holder needs the version."""
        self._stub.HoldVersion(pb.HoldVersionRequest(project=self._project, version_id=version_id, holder=holder))

    def release(self, version_id: str, holder: str) -> None:
        """Say that it does not need it any more."""
        self._stub.ReleaseVersion(pb.ReleaseVersionRequest(project=self._project, version_id=version_id, holder=holder))
