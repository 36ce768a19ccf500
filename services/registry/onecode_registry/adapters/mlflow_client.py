"""Speak the few sentences of MLflow's REST interface that the registry needs, without loading MLflow."""

import json
import math
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, TypeVar
from urllib.parse import urlencode

from onecode_common.errors import InvalidError, UnavailableError
from onecode_registry.domain.run import Point, Run
from onecode_registry.domain.version import MODEL_FILE, Version

UID = "onecode_version_uid"
"""Tag by which a version is found again."""
RUN = "onecode_run_id"
"""Tag by which a run is found again."""

_STATES = {
    "running": "RUNNING",
    "succeeded": "FINISHED",
    "failed": "FAILED",
    "stopped": "KILLED",
    "interrupted": "FAILED",
}
_POINTS, _ENTRIES = 500, 100
_TIMEOUT_S = 20.0
_SERVER_ERROR = 500
_BUSY = (408, 425, 429)
_LONGEST_TAG = 4_900
_EXISTS = "RESOURCE_ALREADY_EXISTS"
_ABSENT = "RESOURCE_DOES_NOT_EXIST"
_T = TypeVar("_T")


class MlflowClient:
    """See :class:`onecode_registry.ports.Tracking`.

    Args:
        url: Of the server.
        token: Returns the bearer token to send, or an empty text.
        public_url: Where gateways fetch files.
        project: Whose runs these are; each project is an experiment.
    """

    def __init__(self, url: str, token: Callable[[], str], public_url: str, project: str) -> None:
        self._url = url.rstrip("/")
        self._token = token
        self._public_url = public_url.rstrip("/")
        self._experiment_name = f"onecode-{project}"
        self._experiment = ""

    def find_run(self, run_id: str) -> str:
        """Return MLflow's id of a run, or an empty text."""
        found = self._post(
            "runs/search",
            {
                "experiment_ids": [self._experiment_id()],
                "filter": f"tags.{RUN} = {_quoted(run_id)}",
                "run_view_type": "ALL",
                "max_results": 1,
            },
        )
        runs = found.get("runs", [])
        return str(runs[0]["info"]["run_id"]) if runs else ""

    def create_run(self, run: Run) -> str:
        """Return MLflow's id of the new run."""
        answer = self._post(
            "runs/create",
            {
                "experiment_id": self._experiment_id(),
                "run_name": run.run_id,
                "start_time": _milliseconds(run.started),
                "tags": [{"key": RUN, "value": run.run_id}],
            },
        )
        return str(answer["run"]["info"]["run_id"])

    def log(
        self, mlflow_run: str, points: Sequence[Point], parameters: Mapping[str, str], tags: Mapping[str, str]
    ) -> None:
        """Add to a run; MLflow keeps an equal point once."""
        metrics = [_metric(point) for point in points]
        for key, entries, size in (
            ("metrics", metrics, _POINTS),
            ("params", _entries(parameters), _ENTRIES),
            ("tags", _entries(tags), _ENTRIES),
        ):
            for batch in _batches(entries, size):
                self._post("runs/log-batch", {"run_id": mlflow_run, key: batch})

    def set_state(self, mlflow_run: str, state: str, ended: datetime | None) -> None:
        """Set the state of a run, and when it ended if it did."""
        end_time = _milliseconds(ended) if ended is not None else None
        self._post("runs/update", {"run_id": mlflow_run, "status": _STATES[state], "end_time": end_time})

    def find_version(self, model: str, digest: str) -> str:
        """Return MLflow's number of a version, or an empty text."""
        query = {"filter": f"name = {_quoted(model)} and tag.{UID} = {_quoted(digest)}", "max_results": 1}
        found = self._call("GET", f"model-versions/search?{urlencode(query)}", None).get("model_versions", [])
        return str(found[0]["version"]) if found else ""

    def create_version(self, version: Version, mlflow_run: str) -> str:
        """Return MLflow's number of the new version; its run, where it is known, is tagged with it."""
        self._post("registered-models/create", {"name": version.model}, accept=_EXISTS)
        tags = _version_tags(version)
        tags["onecode_url"] = f"{self._public_url}/distribution/v1/objects/{tags['onecode_model_sha256']}"
        answer = self._post(
            "model-versions/create",
            {
                "name": version.model,
                # MLflow refuses sources on hosts it was not told of; the address is a tag.
                "source": f"onecode:/objects/{tags['onecode_model_sha256']}",
                "run_id": mlflow_run or None,
                "tags": _entries(tags),
                "description": f"release {version.release}",
            },
        )
        if mlflow_run:
            self.log(mlflow_run, [], {}, {**tags, "onecode_model": version.model})
        return str(answer["model_version"]["version"])

    def withdraw_version(self, model: str, number: str) -> None:
        """Mark a version that was deleted."""
        tag = {"name": model, "version": number, "key": "onecode_state", "value": "deleted"}
        self._post("model-versions/set-tag", tag, accept=_ABSENT)

    def set_alias(self, model: str, alias: str, number: str) -> None:
        """Point an alias to a version; an empty number removes it."""
        if number:
            self._post("registered-models/alias", {"name": model, "alias": alias, "version": number})
            return
        body = {"name": model, "alias": alias}
        self._call("DELETE", "registered-models/alias", body, accept=_ABSENT)

    def _experiment_id(self) -> str:
        if not self._experiment:
            query = urlencode({"experiment_name": self._experiment_name})
            found = self._call("GET", f"experiments/get-by-name?{query}", None, accept=_ABSENT)
            if not found:
                found = {"experiment": self._post("experiments/create", {"name": self._experiment_name})}
            self._experiment = str(found["experiment"]["experiment_id"])
        return self._experiment

    def _post(self, path: str, body: Mapping[str, Any], accept: str = "") -> dict[str, Any]:
        return self._call("POST", path, body, accept=accept)

    def _call(self, method: str, path: str, body: Mapping[str, Any] | None, accept: str = "") -> dict[str, Any]:
        request = urllib.request.Request(  # noqa: S310 - the operator's own URL
            f"{self._url}/api/2.0/mlflow/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        token = self._token()
        if token:
            request.add_header("Authorization", f"Bearer {token}")
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310
                document: dict[str, Any] = json.load(answer)
                return document
        except urllib.error.HTTPError as error:
            return self._refused(path, error, accept)
        except (OSError, ValueError) as error:
            # A forgotten experiment may be another one when the server is back.
            self._experiment = ""
            message = f"MLflow at {self._url} does not answer: {error}"
            raise UnavailableError(message, code="mlflow.unavailable") from error

    def _refused(self, path: str, error: urllib.error.HTTPError, accept: str) -> dict[str, Any]:
        with error:
            text = error.read(4096).decode("utf-8", "replace")
        if accept and accept in text:
            return {}
        if error.code >= _SERVER_ERROR or error.code in _BUSY:
            message = f"MLflow fails on {path}: {text[:200]}"
            raise UnavailableError(message, code="mlflow.failed") from error
        message = f"MLflow refuses {path}: {text[:200]}"
        raise InvalidError(message, code="mlflow.refused") from error


def _version_tags(version: Version) -> dict[str, str]:
    document = version.document()
    lineage = document["lineage"]
    tags = {
        UID: version.digest,
        "onecode_digest": version.digest,
        "onecode_release": str(version.release),
        "onecode_model_sha256": next(file.hex_digest for file in version.files() if file.name == MODEL_FILE),
    }
    for name in ("run_id", "dataset_version", "code_version", "created_by", "source"):
        if lineage.get(name):
            tags[f"onecode_{name}"] = str(lineage[name])[:_LONGEST_TAG]
    return tags


def _metric(point: Point) -> dict[str, Any]:
    # MLflow reads what JSON cannot write as these words.
    value: float | str = point.value
    if math.isnan(point.value):
        value = "NaN"
    elif math.isinf(point.value):
        value = "Infinity" if point.value > 0 else "-Infinity"
    return {"key": point.key, "value": value, "timestamp": _milliseconds(point.time), "step": point.step}


def _entries(values: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _batches(entries: Sequence[_T], size: int) -> Iterator[list[_T]]:
    rest = iter(entries)
    while batch := list(islice(rest, size)):
        yield batch


def _milliseconds(time: datetime) -> int:
    return int(time.timestamp() * 1000)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "") + "'"
