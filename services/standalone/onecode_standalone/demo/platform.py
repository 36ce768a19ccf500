"""Use the platform as any program outside does: REST with a bearer token, `onecode process`, nothing else."""

import hashlib
import socket
import subprocess
import sys
import time
import uuid
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import httpx2
from rich.progress import Progress

from onecode_standalone.demo.agreement import Server
from onecode_standalone.demo.claims import StoryFailedError

_T = TypeVar("_T")
_PART = 256 << 10
_POLL_S = 0.3
_TRAIN_LIMIT_S = 400
_RELEASE_LIMIT_S = 240
_SETTLED_S = 4.0
_TERMINAL_RUNS = ("RUN_STATE_SUCCEEDED", "RUN_STATE_FAILED", "RUN_STATE_STOPPED")
_TERMINAL_ROLLOUTS = ("succeeded", "rolled_back", "aborted", "superseded", "rejected", "canceled", "paused")
_BAD_REQUEST = 400
_COMES_BACK = (502, 503, 504)


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload that was cut on purpose and went on.

    Attributes:
        upload_id: Its id.
        length: Bytes in all.
        resumed_at: Durable bytes that the server named after the cut.
    """

    upload_id: str
    length: int
    resumed_at: int


class Platform:
    """The running platform, seen from outside.

    Args:
        console: URL of the console.
        token: Bearer token.
        home: Its home, for ``onecode process``.
        faces: OIP faces of cloud and gateways.
        progress: Where bars are drawn.
    """

    def __init__(self, console: str, token: str, home: Path, faces: Sequence[Server], progress: Progress) -> None:
        self.console = console
        self._token = token
        self._home = home
        self._faces = tuple(faces)
        self._progress = progress
        self._http = httpx2.Client(
            base_url=f"{console}/api/v1",
            headers={"authorization": f"Bearer {token}"},
            timeout=60,
            transport=httpx2.HTTPTransport(retries=3),
        )
        self.gateways = len(faces) - 1
        self.patience_s = 30.0
        self.run_mark = uuid.uuid4().hex[:6]

    def servers(self) -> Sequence[Server]:
        """Return the faces of cloud and gateways."""
        return self._faces

    def grpc_servers(self) -> list[str]:
        """Return host:port of every OIP gRPC face."""
        return [server.grpc for server in self._faces]

    def call(self, method: str, path: str, body: object = None) -> Any:
        """Return the JSON answer of a REST call; every call here may be repeated, so a restart is waited for.

        Raises:
            StoryFailedError: It was refused, or nobody answered in time.
        """
        answer = self._ask(method, path, {} if body is None else {"json": body})
        return answer.json() if answer.content else {}

    def _ask(self, method: str, path: str, content: Mapping[str, Any]) -> httpx2.Response:
        end = time.monotonic() + self.patience_s
        while True:
            try:
                answer = self._http.request(method, path, **content)
                if answer.status_code < _BAD_REQUEST:
                    return answer
                seen = f"{answer.status_code} {answer.text[:400]}"
                again = answer.status_code in _COMES_BACK
            except httpx2.TransportError as error:
                seen, again = repr(error), True
            if not again or time.monotonic() > end:
                raise StoryFailedError(f"{method} {path}: {seen}")
            time.sleep(_POLL_S)

    def upload_with_a_cut(self, path: Path) -> Upload:
        """Upload a file in parts; the connection of the second part is cut in its middle."""
        content = path.read_bytes()
        metadata = f"filename {b64encode(path.name.encode()).decode()}"
        headers = {"Tus-Resumable": "1.0.0", "Upload-Length": str(len(content)), "Upload-Metadata": metadata}
        created = self._ask("POST", "/uploads", {"headers": headers})
        upload_id = created.headers["location"].rstrip("/").rsplit("/", 1)[-1]
        task = self._progress.add_task("upload", total=len(content))
        offset = self._patch(upload_id, content[:_PART], 0)
        self._cut(upload_id, content[offset : offset + _PART], offset)
        resumed = self._settled_offset(upload_id)
        offset = resumed
        while offset < len(content):
            offset = self._patch(upload_id, content[offset : offset + _PART], offset)
            self._progress.update(task, completed=offset)
        self._progress.remove_task(task)
        return Upload(upload_id, len(content), resumed)

    def preview(self, upload_id: str, options: Mapping[str, object]) -> Any:
        """Return what would be committed."""
        return self.call("POST", f"/uploads/{upload_id}/preview", {"options": options})

    def commit(self, upload_id: str, dataset: str, options: Mapping[str, object]) -> Any:
        """Commit the upload and return the version."""
        body = {"dataset": dataset, "options": options}
        return self.call("POST", f"/uploads/{upload_id}/commit", body)["version"]

    def profile(self, version_id: str) -> Any:
        """Return the profile of a data-set version."""
        return self.call("GET", f"/dataset-versions/{version_id}/profile")["profile"]

    def train(self, run_id: str, version_id: str, recipe: Mapping[str, object], model: str, title: str) -> Any:
        """Start a run, draw its progress, resume it when it was interrupted, and return it when it has ended."""
        body = {"run_id": run_id, "dataset_version": version_id, "recipe": recipe, "model": model}
        self.call("POST", "/runs", body)
        task = self._progress.add_task(title, total=1.0)
        run: Any = {}

        def ended() -> bool:
            nonlocal run
            run = self.call("GET", f"/runs/{run_id}")["run"]
            stage = run.get("stage", "")
            self._progress.update(task, completed=run.get("progress", 0.0), description=f"{title}: {stage}")
            if run["state"] == "RUN_STATE_INTERRUPTED":
                self.call("POST", f"/runs/{run_id}/resume")
            return run["state"] in _TERMINAL_RUNS

        self.wait(ended, title, _TRAIN_LIMIT_S)
        self._progress.remove_task(task)
        return run

    def version(self, model: str, release: int) -> Any:
        """Return a model version."""
        return self.call("GET", f"/models/{model}/versions/{release}")["version"]

    def alias(self, model: str, name: str) -> str:
        """Return the digest that an alias names, or nothing."""
        versions = self.call("GET", f"/models/{model}")["versions"]
        return next((str(version["digest"]) for version in versions if name in version.get("aliases", [])), "")

    def file(self, hex_digest: str) -> bytes:
        """Return the bytes of a model's file, checked."""
        answer = self._ask("GET", f"/objects/{hex_digest}", {})
        if hashlib.sha256(answer.content).hexdigest() != hex_digest:
            raise StoryFailedError(f"object {hex_digest} came with other bytes")
        return bytes(answer.content)

    def put_object(self, content: bytes) -> str:
        """Store a file and return its hex digest."""
        hex_digest = hashlib.sha256(content).hexdigest()
        self._ask("PUT", f"/objects/{hex_digest}", {"content": content})
        return hex_digest

    def import_version(self, model: str, request_id: str, model_sha256: str, golden_from: str, source: str) -> Any:
        """Import a foreign ONNX file that must answer like the version it takes its golden set from."""
        body = {
            "request_id": request_id,
            "model_sha256": model_sha256,
            "golden_from": golden_from,
            "source": source,
        }
        return self.call("POST", f"/models/{model}/imports", body)["version"]

    def release(self, rollout_id: str, plan: Mapping[str, object], title: str) -> Any:
        """Start a rollout, draw its progress, and return it when it has ended."""
        self.call("POST", "/rollouts", {"rollout_id": rollout_id, "plan": plan})
        task = self._progress.add_task(title, total=None)
        rollout: Any = {}

        def over() -> bool:
            nonlocal rollout
            rollout = self.rollout(rollout_id)
            requests = rollout.get("candidate_count", {}).get("requests", 0)
            self._progress.update(
                task, description=f"{title}: {rollout['state']}, step {rollout.get('step', 0) + 1}, {requests} requests"
            )
            return str(rollout["state"]) in _TERMINAL_ROLLOUTS

        self.wait(over, title, _RELEASE_LIMIT_S)
        self._progress.remove_task(task)
        return rollout

    def rollout(self, rollout_id: str) -> Any:
        """Return a rollout."""
        return self.call("GET", f"/rollouts/{rollout_id}")["rollout"]

    def decisions(self, rollout_id: str) -> Any:
        """Return the decisions of a rollout, replayed."""
        return self.call("GET", f"/rollouts/{rollout_id}/explain")["decisions"]

    def served(self, model: str) -> dict[str, str]:
        """Return the digest that each gateway and the cloud report, by source."""
        gateways = self.call("GET", "/gateways")["gateways"]
        return {str(entry["gateway_id"]): str(entry.get("serving", {}).get(model, "")) for entry in gateways}

    def count(self, model: str) -> int:
        """Return how many requests cloud and gateways have reported."""
        gateways = self.call("GET", "/gateways")["gateways"]
        return sum(int(entry.get("requests", {}).get(model, 0)) for entry in gateways)

    def settled_count(self, model: str) -> int:
        """Return the count once it no longer changes."""
        same, last = 0, -1

        def settled() -> bool:
            nonlocal same, last
            now = self.count(model)
            same, last = (same + 1 if now == last else 0), now
            return same >= _SETTLED_S / _POLL_S

        self.wait(settled, "counters to settle", 60)
        return last

    def process(self, verb: str, name: str) -> None:
        """Hold a process of the platform down, or start it again."""
        onecode = Path(sys.executable).parent / "onecode"
        command = [str(onecode), "process", verb, name, "--home", str(self._home)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)  # noqa: S603
        if done.returncode != 0:
            raise StoryFailedError(f"onecode process {verb} {name}: {done.stdout}{done.stderr}")

    def wait(self, reached: Callable[[], bool], what: str, limit_s: float) -> None:
        """Ask again and again until something is reached.

        Raises:
            StoryFailedError: It was not, within the limit.
        """
        end = time.monotonic() + limit_s
        while not reached():
            if time.monotonic() > end:
                raise StoryFailedError(f"waited {limit_s:.0f} s for {what}")
            time.sleep(_POLL_S)

    def eventually(self, ask: Callable[[], _T], good: Callable[[_T], bool], limit_s: float) -> _T:
        """Return the first good answer, or the last one when the limit is over."""
        end = time.monotonic() + limit_s
        while not good(seen := ask()) and time.monotonic() < end:
            time.sleep(_POLL_S)
        return seen

    def close(self) -> None:
        """Close connections."""
        self._http.close()

    def _patch(self, upload_id: str, part: bytes, offset: int) -> int:
        headers = {
            "Tus-Resumable": "1.0.0",
            "Upload-Offset": str(offset),
            "Content-Type": "application/offset+octet-stream",
        }
        try:
            answer = self._http.patch(f"/uploads/{upload_id}", content=part, headers=headers)
        except httpx2.TransportError:
            return self._settled_offset(upload_id)
        # A part that did not arrive as one, or arrived twice: the server's offset tells how to go on.
        return int(answer.headers.get("upload-offset") or self._settled_offset(upload_id))

    def _cut(self, upload_id: str, part: bytes, offset: int) -> None:
        """Announce a part, send half of it, and drop the line."""
        where = urlsplit(self.console)
        head = (
            f"PATCH /api/v1/uploads/{upload_id} HTTP/1.1\r\nHost: {where.netloc}\r\n"
            f"Authorization: Bearer {self._token}\r\nTus-Resumable: 1.0.0\r\nUpload-Offset: {offset}\r\n"
            f"Content-Type: application/offset+octet-stream\r\nContent-Length: {len(part)}\r\n\r\n"
        )
        with socket.create_connection((where.hostname or "127.0.0.1", where.port or 80), timeout=10) as line:
            line.sendall(head.encode() + part[: len(part) // 2])

    def _settled_offset(self, upload_id: str) -> int:
        seen = -1

        def settled() -> bool:
            nonlocal seen
            headers = {"Tus-Resumable": "1.0.0"}
            answer = self._ask("HEAD", f"/uploads/{upload_id}", {"headers": headers})
            offset = int(answer.headers.get("upload-offset", -1))
            done = offset == seen and offset >= 0
            seen = offset
            return done

        self.wait(settled, "the durable offset of the upload", 20)
        return seen
