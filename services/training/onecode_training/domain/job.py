"""Say what a driver is told: everything it needs is in its run's folder, and it knows no key and no service."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from onecode_training.domain.table import Column, Dataset

JOB_FILE = "job.json"
LOCK_FILE = "driver.lock"
RAY_NOTE = "ray-folder"
TRIALS = "trials"
MODEL_FILE = "model.onnx"
GOLDEN_FILE = "golden.jsonl"


@dataclass(frozen=True, slots=True)
class Job:
    """One attempt of a run.

    Attributes:
        recipe: Canonical JSON.
        datasets_url: Where the data set's objects are.
        ray_address: Of a cluster; empty: a Ray of its own.
        ray_cpus: Processors of its own Ray, and trials at a time.
    """

    run_id: str
    attempt: int
    recipe: str
    dataset: Dataset
    datasets_url: str
    ray_address: str
    ray_cpus: int

    def document(self) -> bytes:
        """Return the content of the job file."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1).encode()


def read_job(content: bytes) -> Job:
    """Return the job of a job file that this service wrote."""
    document: dict[str, Any] = json.loads(content)
    dataset: Mapping[str, Any] = document.pop("dataset")
    columns = tuple(Column(**each) for each in dataset["columns"])
    return Job(dataset=Dataset(**{**dataset, "columns": columns, "objects": tuple(dataset["objects"])}), **document)


def spool_file(attempt: int) -> str:
    """Return the name of the file in which the driver of this attempt tells what it does."""
    return f"spool-{attempt}.jsonl"
