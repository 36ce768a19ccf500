"""Every family becomes a file that answers as the trained object does, on real tables of every kind."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from sklearn import datasets

from onecode_training.adapters import estimators
from onecode_training.adapters.onnx_export import export
from onecode_training.adapters.onnx_file import finalise_onnx
from onecode_training.adapters.onnx_runs import feeds_of, open_session, p95_us, run
from onecode_training.adapters.proofs import prove
from onecode_training.adapters.scores import standard_error, trivial
from onecode_training.adapters.splitting import make_plan
from onecode_training.adapters.trial_task import Question, compare, finish
from onecode_training.domain.metric import choose_metric, positive_class
from onecode_training.domain.parity import Parity
from onecode_training.domain.portfolio import Candidate, candidates
from onecode_training.domain.recipe import Recipe, Split
from onecode_training.domain.tabledata import TableData
from onecode_training.driver.shelf import Shelf

FAMILIES = ("linear", "lightgbm", "mlp")
TABLES = ("cancer", "wine", "diabetes", "mixed", "mixed numbers", "words")
_NONE = np.empty((0, 0), object)


def data_of(
    numbers: NDArray[np.float32],
    target: NDArray[np.int64] | NDArray[np.float32],
    classes: tuple[int, ...] | tuple[str, ...],
    texts: NDArray[np.object_] = _NONE,
    groups: NDArray[np.int64] | None = None,
) -> TableData:
    words = texts if texts.size else np.empty((len(target), 0), object)
    categories = tuple(tuple(sorted(set(words[:, place]))) for place in range(words.shape[1]))
    return TableData(np.asarray(numbers, np.float32), words, target, classes, categories, groups)


def mixed() -> tuple[NDArray[np.float32], NDArray[np.object_]]:
    rng = np.random.default_rng(0)
    numbers = rng.normal(size=(600, 3)).astype(np.float32)
    numbers[rng.random((600, 3)) < 0.1] = np.nan
    return numbers, np.array(rng.choice(["泵", "valve, big", "", "b"], size=(600, 2)), dtype=object)


def table(name: str) -> TableData:
    if name == "cancer":
        features, target = datasets.load_breast_cancer(return_X_y=True)
        return data_of(features, target.astype(np.int64), (0, 1))
    if name == "wine":
        features, target = datasets.load_wine(return_X_y=True)
        return data_of(features, target.astype(np.int64), (1, 2, 7))
    if name == "diabetes":
        features, target = datasets.load_diabetes(return_X_y=True)
        return data_of(features, target.astype(np.float32), ())
    numbers, texts = mixed()
    wet = texts[:, 0] == "泵"
    if name == "mixed":
        places = (np.nan_to_num(numbers[:, 0]) + wet > 0.5).astype(np.int64) + (numbers[:, 1] > 1)
        return data_of(numbers, places, ("低", "中", "高"), texts)
    if name == "words":
        return data_of(np.empty((600, 0), np.float32), wet.astype(np.int64), ("dry", "wet"), texts)
    return data_of(numbers, (np.nan_to_num(numbers[:, 0]) * 1000 + wet * 3000).astype(np.float32), (), texts)


def question(data: TableData) -> Question:
    recipe = Recipe("tabular-regression" if data.is_regression else "tabular-classification", split=Split(folds=2))
    counts = data.class_counts()
    return Question(
        data,
        make_plan(data, recipe),
        recipe,
        choose_metric(recipe, counts),
        positive_class(recipe, data.labels, counts),
    )


def first_of(asked: Question, family: str) -> Candidate:
    listed = candidates(asked.recipe, asked.data.numbers.shape[1], 1)
    return next(each for each in listed if each.family == family)


@pytest.mark.parametrize("name", TABLES)
def test_every_family_gives_a_proven_file_that_any_gateway_takes(name: str) -> None:
    data = table(name)
    asked = question(data)
    for family in FAMILIES:
        made = finish(asked, first_of(asked, family))
        assert (made.reason, made.parity is not None and made.parity.passed) == ("", True), family
        model = onnx.load_from_string(made.content)
        assert model.ir_version <= 10
        assert {each.domain: each.version for each in model.opset_import}.keys() <= {"", "ai.onnx.ml"}
        assert len({each.domain for each in model.opset_import}) == len(model.opset_import)
        assert all(not node.doc_string and not node.metadata_props for node in model.graph.node)
        session = open_session(made.content)
        wanted = ["prediction"] if data.is_regression else ["label", "probabilities"]
        assert [output.name for output in session.get_outputs()] == wanted
        for rows in (1, 2, 33):
            answers = run(session, feeds_of(data.numbers, data.texts, slice(0, rows)))
            assert all(len(each) == rows for each in answers.values())
        if not data.is_regression:
            assert set(run(session, feeds_of(data.numbers, data.texts))["label"].tolist()) <= set(data.classes)
            assert answers["probabilities"].shape == (33, len(data.classes))


def test_the_same_seed_gives_the_same_score_and_file() -> None:
    asked = question(table("wine"))
    for family in FAMILIES:
        first, second = (compare(asked, first_of(asked, family)) for _ in range(2))
        assert first.score == pytest.approx(second.score, abs=1e-6)
        assert first.content == second.content


def test_thresholds_of_trees_survive_as_float32() -> None:
    """Midpoints of readings with one decimal place are where float32 and float64 fall on different sides."""
    rng = np.random.default_rng(5)
    numbers = np.round(rng.normal(10, 3, size=(2000, 12)), 1).astype(np.float32)
    target = (numbers[:, 0] + numbers[:, 1] > numbers[:, 2] + 10).astype(np.int64)
    asked = question(data_of(numbers, target, (0, 1)))
    made = finish(asked, Candidate(2, "lightgbm", {"trees": 80, "leaves": 31, "rate": 0.2}))
    assert made.parity is not None
    assert made.parity.max_abs_delta < 1e-6


def test_a_file_of_another_model_has_no_parity() -> None:
    asked = question(table("cancer"))
    candidate = first_of(asked, "linear")
    pipeline = estimators.build("linear", candidate.parameters, asked.data, 400, asked.recipe)
    estimators.fit(pipeline, asked.data, asked.plan.fit)
    other = estimators.build("linear", {"strength": 0.01}, asked.data, 400, asked.recipe)
    estimators.fit(other, asked.data, asked.plan.fit)
    assert prove(pipeline, export(pipeline, asked.data), asked.data, asked.plan.test).passed
    refused = prove(pipeline, export(other, asked.data), asked.data, asked.plan.test)
    assert not refused.passed
    assert refused.detail


def test_a_finished_file_tells_nothing_of_its_machine() -> None:
    asked = question(table("wine"))
    made = finish(asked, first_of(asked, "linear"))
    model = onnx.load_from_string(made.content)
    model.doc_string = "made by somebody in /home/somebody"
    model.graph.node[0].metadata_props.add(key="stack", value="/home/somebody/train.py")
    model.metadata_props.add(key="host", value="build-7")
    model.ir_version = 14
    clean = finalise_onnx(model)
    assert b"somebody" not in clean
    assert b"build-7" not in clean
    assert onnx.load_from_string(clean).ir_version == 10


def test_what_costs_more_measures_more() -> None:
    asked = question(table("cancer"))
    small, large = (
        finish(asked, Candidate(2, "lightgbm", {"trees": trees, "leaves": 31, "rate": 0.1})) for trees in (5, 1500)
    )
    rows = [feeds_of(asked.data.numbers, asked.data.texts, slice(row, row + 1)) for row in range(8)]
    cheap, dear = p95_us([small.content, large.content], rows)
    assert 0 < cheap < dear
    assert len(small.content) < len(large.content)


def test_a_trial_that_fails_says_why_and_raises_nothing() -> None:
    asked = question(table("wine"))
    made = compare(asked, Candidate(2, "mlp", {"widths": [-1], "decay": 0.1}))
    assert made.content == b""
    assert "hidden_layer_sizes" in made.reason


def test_rows_of_a_group_are_never_on_both_sides() -> None:
    numbers, _ = mixed()
    groups = np.arange(600) // 20
    target = (np.nan_to_num(numbers[:, 0]) > 0).astype(np.int64)
    recipe = Recipe("tabular-classification", split=Split(kind="grouped", folds=3))
    plan = make_plan(data_of(numbers, target, (0, 1), groups=groups), recipe)
    assert not set(groups[plan.fit]) & set(groups[plan.test])
    for fitted, compared in plan.folds:
        assert not set(groups[fitted]) & set(groups[compared])
        assert set(fitted) | set(compared) == set(plan.fit)


def test_a_split_keeps_the_share_of_a_rare_class_and_is_the_same_again() -> None:
    numbers, _ = mixed()
    target = (np.arange(600) % 20 == 0).astype(np.int64)
    plans = [make_plan(data_of(numbers, target, (0, 1)), Recipe("tabular-classification", seed=9)) for _ in range(2)]
    assert np.array_equal(plans[0].test, plans[1].test)
    assert target[plans[0].test].sum() == 6
    assert not set(plans[0].fit) & set(plans[0].test)


def test_the_standard_error_shrinks_with_more_rows() -> None:
    rng = np.random.default_rng(0)
    target = rng.normal(size=4000)
    guess = target + rng.normal(size=4000)
    few = standard_error("r2", target[:100], guess[:100], None, 0)
    many = standard_error("r2", target, guess, None, 0)
    assert 0 < many < few
    assert trivial(np.array([0, 0, 1]), 2, 2).tolist() == [[2 / 3, 1 / 3], [2 / 3, 1 / 3]]


def test_a_kept_trial_comes_back_whole_or_not_at_all(tmp_path: Path) -> None:
    folder = tmp_path / "trials"
    asked = question(table("wine"))
    candidate = first_of(asked, "linear")
    shelf, made = Shelf(folder), compare(asked, candidate)
    assert shelf.find("compare", candidate) is None
    shelf.keep("compare", candidate, made)
    assert shelf.find("compare", candidate) == made
    assert shelf.find("finish", candidate) is None
    assert isinstance(made.parity, Parity)
    path = next(folder.glob("*.onnx"))
    path.write_bytes(path.read_bytes()[:-1])
    assert shelf.find("compare", candidate) is None
