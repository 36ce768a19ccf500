"""Expose uploads and data sets over gRPC: translate, delegate, translate back."""

from collections.abc import Mapping

import grpc

from onecode.ingestion.v1 import ingestion_pb2 as pb
from onecode.ingestion.v1 import ingestion_pb2_grpc as rpc
from onecode_common.rpc import Rule, current_caller
from onecode_ingestion.convert import (
    options_from_wire,
    page_to_wire,
    preview_to_wire,
    profile_to_wire,
    upload_to_wire,
    version_to_wire,
)
from onecode_ingestion.domain.project import own_project
from onecode_ingestion.uploads import Uploads
from onecode_ingestion.usecases import Datasets

_SERVICE = "/onecode.ingestion.v1.IngestionService"
_PEOPLE = Rule.of("console")
_READERS = Rule.of("console", "training")
_CHANGES = Rule.of("console", needs_principal=True)

RULES: Mapping[str, Rule] = {
    f"{_SERVICE}/GetUpload": _PEOPLE,
    f"{_SERVICE}/PreviewUpload": _PEOPLE,
    f"{_SERVICE}/CommitUpload": _CHANGES,
    f"{_SERVICE}/ListDatasets": _READERS,
    f"{_SERVICE}/ListVersions": _READERS,
    f"{_SERVICE}/GetVersion": _READERS,
    f"{_SERVICE}/GetProfile": _READERS,
    f"{_SERVICE}/ListRows": _READERS,
    f"{_SERVICE}/DeleteVersion": _CHANGES,
    f"{_SERVICE}/HoldVersion": _READERS,
    f"{_SERVICE}/ReleaseVersion": _READERS,
}
"""Who may call what."""

_Context = grpc.ServicerContext


class IngestionServicer(rpc.IngestionServiceServicer):
    """The wire face of :class:`~onecode_ingestion.usecases.Datasets` and of uploads."""

    def __init__(self, datasets: Datasets, uploads: Uploads, project: str) -> None:
        self._datasets = datasets
        self._uploads = uploads
        self._project = project

    def GetUpload(self, request: pb.GetUploadRequest, _context: _Context) -> pb.GetUploadResponse:
        """Answer with what is known of an upload, durable bytes included."""
        project = own_project(self._project, request.project)
        return pb.GetUploadResponse(upload=upload_to_wire(*self._uploads.find(project, request.upload_id)))

    def PreviewUpload(self, request: pb.PreviewUploadRequest, _context: _Context) -> pb.PreviewUploadResponse:
        """Answer with what a commit would make of the upload."""
        options = options_from_wire(request.options)
        return preview_to_wire(self._datasets.preview(request.project, request.upload_id, options))

    def CommitUpload(self, request: pb.CommitUploadRequest, _context: _Context) -> pb.CommitUploadResponse:
        """Answer once the version is recorded; repeating the call is harmless."""
        version = self._datasets.commit(
            request.project,
            request.upload_id,
            request.dataset,
            options_from_wire(request.options),
            current_caller().principal,
        )
        return pb.CommitUploadResponse(version=version_to_wire(version))

    def ListDatasets(self, request: pb.ListDatasetsRequest, _context: _Context) -> pb.ListDatasetsResponse:
        """Answer with a page of data sets by name."""
        found, token = self._datasets.datasets(request.project, request.page_size, request.page_token)
        datasets = [pb.Dataset(name=name, versions=count, latest=version_to_wire(one)) for name, count, one in found]
        return pb.ListDatasetsResponse(datasets=datasets, next_page_token=token)

    def ListVersions(self, request: pb.ListVersionsRequest, _context: _Context) -> pb.ListVersionsResponse:
        """Answer with all versions of a data set, newest first."""
        found = self._datasets.versions(request.project, request.dataset)
        return pb.ListVersionsResponse(versions=[version_to_wire(one) for one in found])

    def GetVersion(self, request: pb.GetVersionRequest, _context: _Context) -> pb.GetVersionResponse:
        """Answer with one version."""
        version = self._datasets.version(request.project, request.version_id, request.dataset)
        return pb.GetVersionResponse(version=version_to_wire(version))

    def GetProfile(self, request: pb.GetProfileRequest, _context: _Context) -> pb.GetProfileResponse:
        """Answer with the profile of a version."""
        document = self._datasets.profile(request.project, request.version_id)
        return pb.GetProfileResponse(profile=profile_to_wire(request.version_id, document))

    def ListRows(self, request: pb.ListRowsRequest, _context: _Context) -> pb.ListRowsResponse:
        """Answer with some rows of a version as text."""
        page = self._datasets.rows(request.project, request.version_id, request.offset, request.limit)
        return page_to_wire(page)

    def DeleteVersion(self, request: pb.DeleteVersionRequest, _context: _Context) -> pb.DeleteVersionResponse:
        """Delete a version that nobody holds."""
        self._datasets.delete(request.project, request.version_id, current_caller().principal)
        return pb.DeleteVersionResponse()

    def HoldVersion(self, request: pb.HoldVersionRequest, _context: _Context) -> pb.HoldVersionResponse:
        """Keep a version from being deleted."""
        self._datasets.hold(request.project, request.version_id, request.holder)
        return pb.HoldVersionResponse()

    def ReleaseVersion(self, request: pb.ReleaseVersionRequest, _context: _Context) -> pb.ReleaseVersionResponse:
        """Take a hold back."""
        self._datasets.release(request.project, request.version_id, request.holder)
        return pb.ReleaseVersionResponse()
