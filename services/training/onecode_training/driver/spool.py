"""Tell what the run does in a file that only grows, so that a reader who was away misses nothing."""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from onecode_common.clock import Clock
from onecode_training.domain import journal
from onecode_training.domain.run import Trial


class Spool:
    """Appends lines and flushes each to the disk before the next thing happens."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._clock = clock
        self._handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._progress = 0.0
        self._stage = "prepare"

    def step(self, stage: str, progress: float, message: str) -> None:
        """Tell that a stage was reached."""
        self._stage, self._progress = stage, progress
        self._write({"kind": journal.STEP, "stage": stage, "progress": progress, "message": message})

    def say(self, message: str) -> None:
        """Tell something at the present stage."""
        self.step(self._stage, self._progress, message)

    def facts(self, metric: str, baseline_score: float) -> None:
        """Tell what the run is ranked by, and how good the trivial baseline is."""
        self._write({"kind": journal.FACTS, "metric": metric, "baseline_score": baseline_score})

    def trial(
        self, trial: Trial, message: str = "", progress: float = 0.0, curve: tuple[float, ...] | None = None
    ) -> None:
        """Tell how a trial stands; without a message only its row changes."""
        self._progress = max(self._progress, progress)
        line: dict[str, Any] = {
            "kind": journal.TRIAL,
            "stage": self._stage,
            "progress": self._progress,
            "message": message,
            "trial": asdict(trial),
            "quiet": not message,
        }
        if curve:
            line["curves"] = {f"loss/trial_{trial.number}": curve}
        self._write(line)

    def outcome(self, outcome: Mapping[str, Any], message: str) -> None:
        """Tell the end of a run that worked."""
        self._write({"kind": journal.OUTCOME, "outcome": outcome, "message": message})

    def broken(self, code: str, message: str) -> None:
        """Tell why the run cannot go on."""
        self._write({"kind": journal.BROKEN, "code": code, "message": message})

    def stopped(self) -> None:
        """Tell that the run was asked to stop."""
        self._write({"kind": journal.STOPPED})

    def _write(self, line: Mapping[str, Any]) -> None:
        told = {"at": self._clock.now().isoformat(), **line}
        os.write(self._handle, json.dumps(told, ensure_ascii=False, allow_nan=False).encode() + b"\n")
        os.fsync(self._handle)
