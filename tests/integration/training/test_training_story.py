"""A driver's story from Parquet objects to a proven file, with trials in this process instead of on Ray."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onecode_common.clock import SystemClock
from onecode_common.errors import InvalidError, NotFoundError, OnecodeError
from onecode_common.objects import DirectoryObjects
from onecode_training.adapters.recipe_text import require_recipe
from onecode_training.adapters.trial_task import Made, Question, Work
from onecode_training.domain.job import GOLDEN_FILE, MODEL_FILE, Job, read_job, spool_file
from onecode_training.domain.portfolio import Candidate
from onecode_training.domain.recipe import recipe_text
from onecode_training.domain.table import Column, Dataset
from onecode_training.driver.spool import Spool
from onecode_training.driver.story import Story

LINEAR = "search: {families: [linear]}"


@dataclass
class Here:
    """Trials work in this process, one after the other."""

    asked: list[tuple[str, int]] = field(default_factory=list)

    def share(self, question: Question) -> Question:
        return question

    def each(
        self,
        work: Work,
        shared: Any,
        candidates: list[Candidate],
        at_a_time: int,
        begin: Callable[[Candidate], bool],
    ) -> Iterator[tuple[Candidate, Made, bool]]:
        assert at_a_time > 0
        for candidate in candidates:
            if begin(candidate):
                self.asked.append((work.__name__, candidate.number))
                yield candidate, work(shared, candidate), True

    def close(self) -> None:
        pass


@dataclass
class Stage:
    """A table, and stories told of it."""

    folder: Path
    cluster: Here = field(default_factory=Here)

    def job(self, table: pa.Table, types: dict[str, str], recipe: str, attempt: int = 1, **dataset: Any) -> Job:
        objects = DirectoryObjects(self.folder / "objects")
        parts = []
        for number, part in enumerate((table.slice(0, 40), table.slice(40))):
            path = self.folder / f"part-{number}.parquet"
            pq.write_table(part, path)
            parts.append(objects.put_file(path))
        columns = tuple(Column(name, types.get(name, "float")) for name in table.column_names)
        known = {"target": "y", "time_column": "", "id_column": "", **dataset}
        found = Dataset("sha256:v", "t", table.num_rows, columns, objects=tuple(parts), **known)
        text = recipe_text(require_recipe(recipe))
        return Job("r", attempt, text, found, f"file://{self.folder}/objects", "", 2)

    def tell(self, job: Job) -> list[dict[str, Any]]:
        folder = self.folder / "run"
        folder.mkdir(exist_ok=True)
        spool = folder / spool_file(job.attempt)
        Story(read_job(job.document()), folder, Spool(spool, SystemClock()), lambda *_: self.cluster).tell()
        return [json.loads(line) for line in spool.read_text().splitlines()]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


def columns(rows: int = 400) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    a, b = rng.normal(size=rows), rng.normal(size=rows)
    return {
        "a": a,
        "b": [None if number % 9 == 0 else float(value) for number, value in enumerate(b)],
        "kind": rng.choice(["x", "y", "z"], rows).tolist(),
        "y": ((a + b) > 0).astype(np.int64),
    }


TYPES = {"kind": "text", "y": "integer"}
RECIPE = f"task: tabular-classification\n{LINEAR}"


def refused(stage: Stage, table: pa.Table, types: dict[str, str], recipe: str = RECIPE, **dataset: Any) -> OnecodeError:
    with pytest.raises(InvalidError) as caught:
        stage.tell(stage.job(table, types, recipe, **dataset))
    assert stage.cluster.asked == []
    return caught.value


def test_numbers_words_and_gaps_become_a_file_a_golden_set_and_a_contract(stage: Stage) -> None:
    lines = stage.tell(stage.job(pa.table(columns()), TYPES, RECIPE))
    outcome = lines[-1]["outcome"]
    inputs = {each["name"]: each for each in outcome["contract"]["inputs"]}
    assert inputs["features"]["columns"] == ["a", "b"]
    assert inputs["features"]["allow_nan"]
    assert inputs["features"]["minimum"][0] < -2 < 2 < inputs["features"]["maximum"][0]
    assert inputs["categories"] == {"name": "categories", "datatype": "BYTES", "shape": [-1, 1], "columns": ["kind"]}
    assert outcome["contract"]["outputs"][1]["labels"] == ["0", "1"]
    assert outcome["parity"]["passed"]
    assert outcome["test_metrics"]["accuracy"] > 0.8
    assert {"roc_auc", "average_precision", "balanced_accuracy"} <= outcome["test_metrics"].keys()
    golden = (stage.folder / "run" / GOLDEN_FILE).read_text().splitlines()
    assert len(golden) == 65
    assert (stage.folder / "run" / MODEL_FILE).stat().st_size == outcome["model_bytes"]


def test_a_second_attempt_takes_finished_trials_over_and_gives_the_same_file(stage: Stage) -> None:
    first = stage.tell(stage.job(pa.table(columns()), TYPES, RECIPE))[-1]["outcome"]
    asked = list(stage.cluster.asked)
    assert {name for name, _ in asked} == {"compare", "finish"}
    again = stage.tell(stage.job(pa.table(columns()), TYPES, RECIPE, attempt=2))[-1]["outcome"]
    assert stage.cluster.asked == asked
    assert again["model_sha256"] == first["model_sha256"]
    assert again["golden_sha256"] == first["golden_sha256"]


def test_a_budget_that_nothing_fits_names_the_nearest_miss(stage: Stage) -> None:
    recipe = f"{RECIPE}\nbudget: {{max_p95_us: 0.5}}"
    with pytest.raises(InvalidError, match=r"nearest is trial \d \(linear, .*µs, .* over 0.5") as caught:
        stage.tell(stage.job(pa.table(columns()), TYPES, recipe))
    assert caught.value.code == "budget.none_fits"
    lines = [json.loads(line) for line in (stage.folder / "run" / spool_file(1)).read_text().splitlines()]
    ended = {line["trial"]["number"]: line["trial"] for line in lines if "trial" in line}
    assert {trial["state"] for number, trial in ended.items() if number > 1} == {"ruled_out"}
    assert all("over the budget" in trial["reason"] for number, trial in ended.items() if number > 1)


def test_a_budget_too_small_for_any_family_fails_before_anything_is_fitted(stage: Stage) -> None:
    recipe = "task: tabular-classification\nsearch: {families: [lightgbm]}\nbudget: {max_bytes: 500}"
    with pytest.raises(InvalidError, match="500 are allowed") as caught:
        stage.tell(stage.job(pa.table(columns()), TYPES, recipe))
    assert caught.value.code == "budget.none_fits"
    assert stage.cluster.asked == []


def test_no_candidate_begins_after_the_time_of_the_search(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(range(0, 1000, 2))
    monkeypatch.setattr("onecode_training.driver.story.time.monotonic", lambda: float(next(ticks)))
    recipe = "task: tabular-classification\nsearch: {families: [linear], max_seconds: 3}"
    lines = stage.tell(stage.job(pa.table(columns()), TYPES, recipe))
    trials = {line["trial"]["number"]: line["trial"] for line in lines if "trial" in line}
    assert [trials[number]["state"] for number in sorted(trials)] == ["done", "done", "ruled_out"]
    assert "3 s" in trials[3]["reason"]


def test_a_regression_gives_one_number_a_row(stage: Stage) -> None:
    values = columns()
    values["y"] = values["a"] * 500 + 2000
    recipe = f"task: tabular-regression\n{LINEAR}"
    outcome = stage.tell(stage.job(pa.table(values), {"kind": "text"}, recipe))[-1]["outcome"]
    assert outcome["contract"]["task"] == "regression"
    assert outcome["contract"]["outputs"] == [{"name": "prediction", "datatype": "FP32", "shape": [-1, 1]}]
    assert outcome["test_metrics"]["r2"] > 0.99


def test_a_small_table_still_gets_sixty_four_golden_rows(stage: Stage) -> None:
    stage.tell(stage.job(pa.table(columns(100)), TYPES, RECIPE))
    header, *rows = (stage.folder / "run" / GOLDEN_FILE).read_text().splitlines()
    assert json.loads(header)["rows"] == len(rows) == 64


def test_repeating_ids_are_kept_together_and_single_ones_are_not(stage: Stage) -> None:
    values = columns() | {"pump": np.arange(400) // 10}
    told = stage.tell(stage.job(pa.table(values), TYPES | {"pump": "integer"}, RECIPE, id_column="pump"))
    assert any("'pump' stay together: 40 groups" in str(line.get("message")) for line in told)
    values["pump"] = np.arange(400)
    told = stage.tell(stage.job(pa.table(values), TYPES | {"pump": "integer"}, RECIPE, attempt=2, id_column="pump"))
    assert not any("stay together" in str(line.get("message")) for line in told)


def test_rows_without_a_target_are_left_out_and_counted(stage: Stage) -> None:
    values = columns()
    values["y"] = [None if number < 7 else int(value) for number, value in enumerate(values["y"])]
    told = stage.tell(stage.job(pa.table(values), TYPES, RECIPE))
    assert any(line.get("message") == "7 rows without a target are left out" for line in told)


@pytest.mark.parametrize(
    ("change", "code", "value"),
    [
        ({"y": np.zeros(400, np.int64)}, "data.single_class", "0"),
        ({"y": np.arange(400)}, "data.too_many_classes", "400"),
        ({"y": np.array([1] * 396 + [0] * 4)}, "data.rare_class", "0"),
        ({"b": [None] * 400}, "data.all_missing", "b"),
        ({"a": [float("inf")] + [0.5] * 399}, "data.infinite", "a"),
        ({"a": [1e300] + [0.5] * 399}, "data.infinite", "a"),
    ],
)
def test_a_table_that_cannot_be_learnt_from_is_refused_by_name(
    stage: Stage, change: dict[str, Any], code: str, value: str
) -> None:
    values = columns() | change
    table = pa.table({name: pa.array(each, pa.float64() if name == "b" else None) for name, each in values.items()})
    error = refused(stage, table, TYPES)
    assert error.code == code
    assert value in error.params.values()


def test_a_target_without_a_value_is_refused(stage: Stage) -> None:
    table = pa.table(columns() | {"y": pa.array([None] * 400, pa.int64())})
    assert refused(stage, table, TYPES).code == "data.target_missing"


def test_a_fractional_target_is_no_class(stage: Stage) -> None:
    table = pa.table(columns() | {"y": np.linspace(0, 1, 400)})
    assert refused(stage, table, {"kind": "text"}).code == "data.fractional_target"


def test_few_rows_are_refused(stage: Stage) -> None:
    assert refused(stage, pa.table(columns(79)), TYPES).code == "data.too_few_rows"


def test_a_constant_number_is_no_target(stage: Stage) -> None:
    table = pa.table(columns() | {"y": np.full(400, 3.5)})
    error = refused(stage, table, {"kind": "text"}, f"task: tabular-regression\n{LINEAR}")
    assert error.code == "data.constant_target"


def test_a_positive_class_that_does_not_occur_is_refused(stage: Stage) -> None:
    error = refused(stage, pa.table(columns()), TYPES, f"{RECIPE}\npositive: burst")
    assert (error.code, error.params["path"], error.params["value"]) == ("recipe.invalid", "positive", "burst")


def test_too_few_groups_are_refused(stage: Stage) -> None:
    values = columns() | {"pump": np.arange(400) // 200}
    recipe = f"{RECIPE}\nsplit: {{group: pump}}"
    assert refused(stage, pa.table(values), TYPES | {"pump": "integer"}, recipe).code == "split.groups"


def test_infinite_numbers_count_as_missing_where_the_recipe_says_so(stage: Stage) -> None:
    values = columns()
    values["a"] = [float("inf"), *values["a"][1:].tolist()]
    told = stage.tell(stage.job(pa.table(values), TYPES, f"{RECIPE}\nmissing: {{infinities: missing}}"))
    assert any("1 numbers that are infinite" in str(line.get("message")) for line in told)


def test_data_that_is_gone_or_damaged_is_told_apart_from_bad_data(stage: Stage) -> None:
    job = stage.job(pa.table(columns()), TYPES, RECIPE)
    path = next(path for path in (stage.folder / "objects").glob("??/*"))
    content = bytearray(path.read_bytes())
    content[50] ^= 1
    path.write_bytes(content)
    with pytest.raises(NotFoundError) as caught:
        stage.tell(job)
    assert caught.value.code == "object.damaged"
