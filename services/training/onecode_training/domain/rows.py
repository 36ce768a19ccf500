"""Choose the rows that a file must prove itself on: held-out ones for the golden set, extreme ones for parity."""

import numpy as np
from numpy.typing import NDArray

GOLDEN_ROWS = 64
_MOST_EDGE_COLUMNS = 200
UNSEEN = "\u0001never seen"
CHINESE = "从未见过的类别"


def golden_rows(
    classes: NDArray[np.int64] | None, sure: NDArray[np.bool_], rng: np.random.Generator, count: int = GOLDEN_ROWS
) -> NDArray[np.int64]:
    """Return which of the held-out rows go into the golden set: every class in turn, rows without doubt first.

    Args:
        classes: Class of each row; None for regression.
        sure: Rows whose label does not hang on the last bit.
        rng: Decides among equals.
        count: Fewer come back where there are fewer rows.
    """
    order = rng.permutation(len(sure))
    order = order[np.argsort(~sure[order], kind="stable")]
    if classes is None:
        return np.sort(order[:count])
    queues = [list(order[classes[order] == each]) for each in np.unique(classes)]
    chosen: list[int] = []
    while len(chosen) < count and any(queues):
        for queue in queues:
            if queue and len(chosen) < count:
                chosen.append(int(queue.pop(0)))
    return np.sort(np.array(chosen, np.int64))


def edge_rows(
    numbers: NDArray[np.float32], texts: NDArray[np.object_]
) -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    """Return rows that nobody measured: all missing, ten times each extreme, categories never seen, empty, Chinese."""
    columns, words = numbers.shape[1], texts.shape[1]
    usual = np.zeros(columns, np.float32)
    if columns:
        usual[:] = np.nan_to_num(np.nanpercentile(numbers, 50, axis=0, method="nearest"))
    usual_texts = texts[0] if words else np.zeros(0, object)
    rows: list[tuple[NDArray[np.float32], NDArray[np.object_]]] = []

    def add(number_row: NDArray[np.float32], text_row: NDArray[np.object_]) -> None:
        rows.append((number_row, text_row))

    add(np.full(columns, np.nan, np.float32), np.full(words, "", object))
    add(usual, usual_texts)
    largest = float(np.finfo(np.float32).max)
    for column in range(min(columns, _MOST_EDGE_COLUMNS)):
        for extreme in (np.nanmin(numbers[:, column]), np.nanmax(numbers[:, column])):
            row = usual.copy()
            row[column] = np.clip(float(extreme) * 10, -largest, largest)
            add(row, usual_texts)
        row = usual.copy()
        row[column] = np.nan
        add(row, usual_texts)
    for column in range(min(words, _MOST_EDGE_COLUMNS)):
        for value in ("", UNSEEN, CHINESE):
            text_row = usual_texts.copy()
            text_row[column] = value
            add(usual, text_row)
    return np.stack([number for number, _ in rows]), np.stack([text for _, text in rows])
