"""Say what a model version is, and write the manifest whose digest is its name."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from onecode_common.canonical import canonical, sha256_hex
from onecode_common.errors import ConflictError, InvalidError
from onecode_registry.domain.contract import Contract, contract_document

MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.jsonl"

STORED = "stored"
"""Release number and manifest are fixed; not yet signed, so nobody sees it."""
READY = "ready"
"""Signed and found by everybody."""
DELETED = "deleted"
"""Taken out of the signed list; the row stays, so that its release number and request id never come again."""

_SCHEMA = 1
_ALIAS = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_TAKEN = re.compile(r"latest|v\d+")


@dataclass(frozen=True, slots=True)
class File:
    """A file of a version: its name there, and its bytes by digest and length."""

    name: str
    hex_digest: str
    length: int


@dataclass(frozen=True, slots=True)
class Draft:
    """A version before it has a release number.

    Attributes:
        body: Digest of what was asked, without the request id: a repeated request must ask the same.
        parity: JSON object; fractions as text, as everywhere in a manifest.
        lineage: Alike.
        runtime: What the graph needs: ``ir_version``, ``opset``.
    """

    project: str
    request_id: str
    body: str
    model: str
    files: tuple[File, ...]
    contract: Contract
    golden: Mapping[str, Any]
    metrics: Mapping[str, str]
    parity: Mapping[str, Any]
    lineage: Mapping[str, Any]
    runtime: Mapping[str, int]
    p95_us: str


@dataclass(frozen=True, slots=True)
class Version:
    """A version as it is kept.

    Attributes:
        digest: ``sha256:<hex>`` of the manifest.
        manifest: Canonical JSON.
        kind: ``register`` or ``import``.
        mlflow_version: Number at MLflow; empty until it is mirrored.
    """

    project: str
    request_id: str
    body: str
    kind: str
    model: str
    release: int
    digest: str
    manifest: str
    state: str
    principal: str
    created: datetime
    mlflow_version: str = ""

    def document(self) -> dict[str, Any]:
        """Return the manifest, parsed."""
        document: dict[str, Any] = json.loads(self.manifest)
        return document

    def files(self) -> tuple[File, ...]:
        """Return what it is made of."""
        return tuple(File(entry["name"], entry["sha256"], entry["length"]) for entry in self.document()["files"])


@dataclass(frozen=True, slots=True)
class Alias:
    """A name that moves from version to version; an empty digest names nothing."""

    project: str
    model: str
    alias: str
    digest: str


def make_version(draft: Draft, release: int, kind: str, principal: str, created: datetime) -> Version:
    """Return the draft as the given release of its model."""
    manifest = canonical(_manifest(draft, release, created))
    return Version(
        project=draft.project,
        request_id=draft.request_id,
        body=draft.body,
        kind=kind,
        model=draft.model,
        release=release,
        digest=f"sha256:{sha256_hex(manifest)}",
        manifest=manifest.decode(),
        state=STORED,
        principal=principal,
        created=created,
    )


def require_same_request(version: Version, kind: str, body: str) -> None:
    """Refuse a request id that was used for something else.

    Raises:
        ConflictError: ``request.mismatch``.
    """
    if (version.kind, version.body) != (kind, body):
        message = f"request {version.request_id!r} was sent before with another content: choose a new id"
        raise ConflictError(message, code="request.mismatch", params={"request_id": version.request_id})


def check_alias(alias: str) -> None:
    """Refuse a name that could be taken for a version number.

    Raises:
        InvalidError: ``alias.invalid``.
    """
    if not _ALIAS.fullmatch(alias) or _TAKEN.fullmatch(alias):
        message = f"{alias[:80]!r} cannot be an alias: use a letter, then a-z 0-9 _ -, and not latest or v1"
        raise InvalidError(message, code="alias.invalid", params={"value": alias[:80]})


def manifest_path(model: str, release: int) -> str:
    """Return the name under which the manifest is signed."""
    return f"models/{model}/{release}/manifest.json"


def _manifest(draft: Draft, release: int, created: datetime) -> dict[str, Any]:
    document: dict[str, Any] = {
        "schema": _SCHEMA,
        "project": draft.project,
        "model": draft.model,
        "release": release,
        "request_id": draft.request_id,
        "created": created.isoformat().replace("+00:00", "Z"),
        "files": [{"name": file.name, "sha256": file.hex_digest, "length": file.length} for file in draft.files],
        "contract": contract_document(draft.contract),
        "golden": dict(draft.golden),
        "metrics": dict(draft.metrics),
        "parity": dict(draft.parity),
        "lineage": dict(draft.lineage),
        "runtime": dict(draft.runtime),
    }
    if draft.p95_us:
        document["p95_us"] = draft.p95_us
    return document
