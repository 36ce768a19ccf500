"""Put ingestion together: use cases on ports, faces on use cases."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from onecode.ingestion.v1 import ingestion_pb2_grpc as rpc
from onecode_common.loops import Loop
from onecode_common.program import Part
from onecode_common.rpc import GrpcServer
from onecode_common.tokens import TokenVerifier
from onecode_common.web import HttpServer
from onecode_ingestion.http import build_app
from onecode_ingestion.ports import Ports
from onecode_ingestion.reconcile import Sweep
from onecode_ingestion.servicer import RULES, IngestionServicer
from onecode_ingestion.settings import IngestionSettings
from onecode_ingestion.uploads import Uploads
from onecode_ingestion.usecases import Datasets

_SWEEP_S = 600.0


@dataclass(frozen=True, slots=True)
class Service:
    """Ingestion, ready to be started.

    Attributes:
        grpc: Answers questions.
        http: Takes uploads.
        parts: These and the sweep, in the order of their start.
    """

    grpc: GrpcServer
    http: HttpServer
    parts: Sequence[Part]


def build(settings: IngestionSettings, ports: Ports, verifier: TokenVerifier) -> Service:
    """Return the service on these ports."""
    keep = timedelta(hours=settings.upload_keep_hours)
    uploads = Uploads(ports, settings.limits(), settings.max_open_uploads, keep)
    datasets = Datasets(ports, uploads, settings.project)
    grpc = GrpcServer("ingestion", settings.grpc_address, verifier, RULES)
    servicer = IngestionServicer(datasets, uploads, settings.project)
    rpc.add_IngestionServiceServicer_to_server(servicer, grpc.server)
    http = HttpServer(build_app(uploads, settings.project, verifier), settings.http_address)
    sweep = Sweep(ports, keep, timedelta(hours=settings.object_grace_hours))
    return Service(grpc, http, (Loop("sweep", sweep.turn, idle_s=_SWEEP_S), grpc, http))
