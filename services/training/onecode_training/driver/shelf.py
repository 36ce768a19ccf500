"""Keep finished trials on disk, so that a resumed run does not fit them again."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onecode_common.canonical import canonical, sha256_hex
from onecode_common.files import write_file
from onecode_training.adapters.trial_task import Made
from onecode_training.domain.parity import Parity
from onecode_training.domain.portfolio import Candidate


class Shelf:
    """The trials of one run; recipe and data never change within it, so that a candidate's parameters name it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def find(self, kind: str, candidate: Candidate) -> Made | None:
        """Return what an earlier attempt made, if it is whole."""
        name = self._name(kind, candidate)
        try:
            note: dict[str, Any] = json.loads((self._folder / f"{name}.json").read_bytes())
            content = (self._folder / f"{name}.onnx").read_bytes() if note["sha256"] else b""
        except (OSError, ValueError, KeyError):
            return None
        if note.pop("sha256") != (sha256_hex(content) if content else ""):
            return None
        parity = note.pop("parity")
        curve = tuple(note.pop("curve"))
        return Made(content=content, parity=Parity(**parity) if parity else None, curve=curve, **note)

    def keep(self, kind: str, candidate: Candidate, made: Made) -> None:
        """Keep a finished trial: first its file, then the note that makes it count."""
        name = self._name(kind, candidate)
        if made.content:
            write_file(self._folder / f"{name}.onnx", made.content)
        note = asdict(made)
        note["sha256"] = sha256_hex(note.pop("content")) if made.content else ""
        if made.parity is not None and made.parity.max_abs_delta == float("inf"):
            note["parity"] = None
        write_file(self._folder / f"{name}.json", json.dumps(note, allow_nan=False).encode())

    def _name(self, kind: str, candidate: Candidate) -> str:
        asked = canonical({"family": candidate.family, "parameters": dict(candidate.parameters)})
        return f"{kind}-{candidate.number}-{sha256_hex(asked)[:16]}"
