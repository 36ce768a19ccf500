"""Store files at the registry over HTTP, and make versions and run logs there over gRPC."""

import http.client
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from onecode.registry.v1 import registry_pb2 as pb
from onecode.registry.v1 import registry_pb2_grpc as rpc
from onecode_common.errors import DeniedError, ExhaustedError, InvalidError, OnecodeError, UnavailableError
from onecode_training.domain.run import Run
from onecode_training.ports import LogBatch, Registered

_TIMEOUT_S = 60
_CREATED = (200, 201, 204)
_SERVER_ERRORS = 500
_REFUSALS: Mapping[int, type[OnecodeError]] = {401: DeniedError, 403: DeniedError, 413: ExhaustedError}


class RegistryPeer:
    """See :class:`onecode_training.ports.Registry`.

    Args:
        channel: To the registry's gRPC face.
        url: Of its HTTP face.
        token: Returns a caller token for the registry.
        project: The project that versions belong to.
    """

    def __init__(self, channel: grpc.Channel, url: str, token: Callable[[], str], project: str) -> None:
        self._stub = rpc.RegistryServiceStub(channel)
        self._url = urlsplit(url)
        self._token = token
        self._project = project

    def put(self, hex_digest: str, path: Path) -> None:
        """Store a file under its digest.

        Raises:
            UnavailableError: The registry does not answer.
            InvalidError: It refuses the file.
        """
        kind = http.client.HTTPSConnection if self._url.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._url.netloc, timeout=_TIMEOUT_S)
        headers = {
            "Authorization": f"Bearer {self._token()}",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(path.stat().st_size),
        }
        try:
            with path.open("rb") as file:
                connection.request("PUT", f"{self._url.path}/internal/v1/objects/{hex_digest}", file, headers)
            answer = connection.getresponse()
            body = answer.read(64 << 10)
        except (OSError, http.client.HTTPException) as error:
            message = f"the registry at {self._url.netloc} does not take files now: {error!r}"
            raise UnavailableError(message, code="registry.unavailable") from error
        finally:
            connection.close()
        if answer.status not in _CREATED:
            raise _refused(answer.status, body)

    def register(self, run: Run, outcome: Mapping[str, Any], lineage: Mapping[str, str]) -> Registered:
        """Make the run's version."""
        request = pb.RegisterVersionRequest(
            project=self._project,
            request_id=run.run_id,
            model=run.model,
            model_sha256=outcome["model_sha256"],
            golden_sha256=outcome["golden_sha256"],
            contract=_contract(outcome["contract"]),
            metrics=outcome["test_metrics"],
            parity=json.dumps({**outcome["parity"], "made_with": outcome["made_with"]}, ensure_ascii=False),
            lineage=json.dumps(dict(lineage), ensure_ascii=False),
            p95_us=outcome["p95_us"],
        )
        version = self._stub.RegisterVersion(request).version
        return Registered(version.digest, version.release)

    def log(self, batch: LogBatch) -> None:
        """Add a batch to the run's log."""
        time = Timestamp()
        time.FromJsonString(batch.at)
        entry = batch.entry
        request = pb.LogRunRequest(
            project=self._project,
            run_id=batch.run_id,
            parameters=entry.parameters,
            tags=entry.tags,
            metrics=[
                pb.MetricPoint(key=name, value=value, step=step, time=time) for name, value, step in entry.metrics
            ],
            state=entry.state,
            batch=batch.batch,
        )
        self._stub.LogRun(request)


def _contract(document: Mapping[str, Any]) -> pb.Contract:
    return pb.Contract(
        task=document["task"],
        inputs=[pb.TensorSpec(**each) for each in document["inputs"]],
        outputs=[pb.TensorSpec(**each) for each in document["outputs"]],
    )


def _refused(status: int, body: bytes) -> OnecodeError:
    try:
        problem = json.loads(body)
        detail, code = str(problem.get("detail", "")), str(problem.get("code", ""))
    except (ValueError, AttributeError):
        detail, code = body[:200].decode(errors="replace"), ""
    message = f"the registry refused a file ({status}): {detail}"
    if status >= _SERVER_ERRORS:
        return UnavailableError(message, code=code or "registry.unavailable")
    return _REFUSALS.get(status, InvalidError)(message, code=code)
