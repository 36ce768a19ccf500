"""Write the demo's data set: real readings of nine sensors, with a few dirty rows added on purpose.

The readings are the Statlog Shuttle set (49,097 rows, about 7 % anomalies), which the package ``river`` carries.
The last fifth is never uploaded: it is what the models are judged on and what is replayed as traffic.
"""

import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from river.datasets import Shuttle

TARGET = "anomaly"
SENSORS = tuple(f"sensor_{number}" for number in range(1, 10))
HELD_OUT_SHARE = 0.2
RAGGED_AT = (1_203, 9_874, 20_001)
"""Data rows after which a row with one value too many is written."""
BAD_CELLS_AT = (515, 4_242, 15_015, 30_303)
"""Data rows whose third sensor reads ``ERR``."""


@dataclass(frozen=True, slots=True)
class Readings:
    """What was written, and what was kept back.

    Attributes:
        path: The CSV file.
        rows: Data rows in it, without the dirty ones that have too many values.
        ragged: Rows with one value too many.
        bad_cells: Cells that are no number.
        features: Held-out readings, float32 [n, 9].
        labels: Their classes, int64 [n], 1 = anomaly.
    """

    path: Path
    rows: int
    ragged: int
    bad_cells: int
    features: NDArray[np.float32]
    labels: NDArray[np.int64]


def write_readings(path: Path) -> Readings:
    """Write the CSV file and return what a reader of it should find."""
    values, labels = _load()
    cut = int(len(labels) * (1 - HELD_OUT_SHARE))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*SENSORS, TARGET])
        for number in range(cut):
            row: list[object] = [*(int(value) for value in values[number]), int(labels[number])]
            if number in BAD_CELLS_AT:
                row[2] = "ERR"
            writer.writerow(row)
            if number in RAGGED_AT:
                writer.writerow([*row, 0])
    return Readings(
        path=path,
        rows=cut,
        ragged=len(RAGGED_AT),
        bad_cells=len(BAD_CELLS_AT),
        features=np.ascontiguousarray(values[cut:], np.float32),
        labels=labels[cut:],
    )


def _load() -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    rows: list[list[float]] = []
    labels: list[int] = []
    for reading, label in Shuttle():
        rows.append([float(reading[f"f{number}"]) for number in range(1, 10)])
        labels.append(int(label))
    return np.array(rows, np.float32), np.array(labels, np.int64)
