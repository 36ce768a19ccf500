"""Models and their versions: find, import, name, delete."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from onecode_client.nouns import Noun, part
from onecode_client.results import ModelVersion
from onecode_common.errors import InvalidError
from onecode_common.ids import new_id

_VERSION_OF = "from:"


class Models(Noun):
    """Model versions, found by release number, digest or alias."""

    def list(self) -> Sequence[Mapping[str, Any]]:
        """Return all models with their newest version and aliases."""
        return list(self._rest.get("/models").get("models", []))

    def show(self, model: str) -> Mapping[str, Any]:
        """Return a model with all its versions and aliases."""
        document: dict[str, Any] = self._rest.get(f"/models/{part(model)}")
        return document

    def version(self, model: str, release: int | str) -> ModelVersion:
        """Return a version by release number, alias or digest (``sha256:...``).

        Raises:
            InvalidError: The model has no such version.
        """
        if str(release).isdigit():
            return ModelVersion.read(self._rest.get(f"/models/{part(model)}/versions/{release}")["version"])
        document = self.show(model)
        digest = document.get("aliases", {}).get(release, release)
        for one in document.get("versions", []):
            if one["digest"] == digest:
                return ModelVersion.read(one)
        message = f"model {model} has no version {release!r}: give a release number, an alias or a digest"
        raise InvalidError(message, code="client.version", params={"model": model, "version": release})

    def import_onnx(self, path: Path | str, model: str, *, golden: Path | str, request_id: str = "") -> ModelVersion:
        """Import a foreign ONNX file.

        Args:
            path: The file.
            model: Name to register it under.
            golden: A golden set (JSON lines), or ``from:VERSION`` to take that of a version (``from:3``,
                ``from:champion``, ``from:sha256:...``; ``from:other/3`` names another model).
            request_id: Own id, so that a repetition imports nothing twice.

        Raises:
            InvalidError: The file is refused; the code says why.
        """
        file = Path(path)
        body: dict[str, Any] = {
            "request_id": request_id or new_id("imp"),
            "model_sha256": self.put_object(file.read_bytes()),
            "source": file.name,
        }
        if str(golden).startswith(_VERSION_OF):
            body["golden_from"] = self._golden_source(model, str(golden).removeprefix(_VERSION_OF))
        else:
            body["golden_sha256"] = self.put_object(Path(golden).read_bytes())
        return ModelVersion.read(self._rest.post(f"/models/{part(model)}/imports", body)["version"])

    def put_object(self, content: bytes) -> str:
        """Store bytes and return their SHA-256 in hex; storing them again changes nothing."""
        digest = hashlib.sha256(content).hexdigest()
        headers = {"Content-Type": "application/octet-stream"}
        self._rest.send("PUT", f"/objects/{digest}", content=content, headers=headers)
        return digest

    def alias(self, model: str, alias: str, release: int | str, *, expected: str | None = None) -> ModelVersion:
        """Let an alias name a version.

        Args:
            model: Name.
            alias: ``champion``, ``challenger``, or one's own.
            release: Release number, alias or digest.
            expected: Digest that the alias must name now; None: whatever it names when asked.

        Raises:
            ConflictError: Somebody else moved the alias meanwhile.
        """
        digest = self.version(model, release).digest
        if expected is None:
            expected = self.show(model).get("aliases", {}).get(alias, "")
        body = {"digest": digest, "expected_digest": expected}
        return ModelVersion.read(self._rest.put(f"/models/{part(model)}/aliases/{part(alias)}", body)["version"])

    def delete(self, model: str, release: int) -> None:
        """Delete a version.

        Raises:
            ConflictError: An alias or a published policy names it.
        """
        self._rest.delete(f"/models/{part(model)}/versions/{release}")

    def _golden_source(self, model: str, version: str) -> str:
        if version.startswith("sha256:"):
            return version
        other, slash, release = version.rpartition("/")
        return self.version(other if slash else model, release).digest
