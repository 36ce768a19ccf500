"""The client predicts against a real model server, over both faces, from everything that people hold data in."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from client_model_server import TOKEN, Running, running
from serving_models import dense, session_of
from typer.testing import CliRunner

from onecode_client import OneCode, Predictor
from onecode_client.cli.main import application
from onecode_common.errors import InvalidError, NotFoundError, UnauthenticatedError, UnavailableError

ROWS = np.random.default_rng(1).normal(size=(3, 4)).astype(np.float32)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture(params=["grpc", "http"])
def predictor(models: Running, request: pytest.FixtureRequest) -> Iterator[Predictor]:
    with Predictor(f"{request.param}://{models.address}", token=TOKEN) as one:
        yield one


@pytest.mark.parametrize(
    "form", [lambda rows: rows, lambda rows: rows.tolist(), pd.DataFrame, lambda r: {"features": r}]
)
def test_the_answer_is_onnxruntime_s_bit_for_bit(predictor: Predictor, form: Any) -> None:
    answer = predictor.predict("dense", form(ROWS))
    label, probabilities = session_of(dense()).run(None, {"features": ROWS})
    assert list(answer.outputs) == ["label", "probabilities"]
    assert answer.outputs["label"].tolist() == label.tolist()
    assert answer.outputs["probabilities"].tobytes() == probabilities.tobytes()
    assert answer.outputs["probabilities"].shape == (3, 3)


def test_only_the_outputs_that_are_wanted_come(predictor: Predictor) -> None:
    assert list(predictor.predict("dense", ROWS, outputs=["label"]).outputs) == ["label"]


def test_an_answer_names_the_version_that_gave_it(models: Running, predictor: Predictor) -> None:
    answer = predictor.predict("dense", ROWS)
    assert (answer.model, answer.version, answer.release) == ("dense", "1", 1)
    assert models.plane.version(answer.digest) is not None


def test_a_unit_is_answered_by_the_same_arm_on_both_faces(models: Running) -> None:
    with (
        Predictor(f"grpc://{models.address}", token=TOKEN) as one,
        Predictor(f"http://{models.address}", token=TOKEN) as other,
    ):
        arms = {}
        for number in range(24):
            answers = [each.predict("halves", np.zeros((1, 4), np.float32), unit=f"u{number}") for each in (one, other)]
            assert answers[0].arm == answers[1].arm
            assert (
                answers[0].outputs["prediction"][0, 0] == answers[1].outputs["prediction"][0, 0] == answers[0].release
            )
            arms[answers[0].arm] = answers[0].release
    assert arms == {"stable": 1, "candidate": 2}


def test_a_version_can_be_named(predictor: Predictor) -> None:
    assert predictor.predict("halves", np.zeros((1, 4)), version="2").outputs["prediction"].tolist() == [[2, 2, 2, 2]]


def test_every_datatype_comes_back_as_it_went(predictor: Predictor) -> None:
    kinds = {"b": "?", "i8": "i1", "i16": "i2", "i32": "i4", "i64": "i8", "u8": "u1", "u16": "u2", "u32": "u4"}
    kinds |= {"u64": "u8", "f16": "f2", "f32": "f4", "f64": "f8"}
    data: dict[str, Any] = {name: np.array([[0, 1]], kind) for name, kind in kinds.items()}
    data["s"] = [["", "üñí"]]
    outputs = predictor.predict("many", data).outputs
    assert {name: outputs[f"{name}_out"].tolist() for name in data} == {
        name: value if name == "s" else value.tolist() for name, value in data.items()
    }


@pytest.mark.parametrize(
    ("model", "data", "error", "words"),
    [
        ("nobody", ROWS, NotFoundError, "nobody"),
        ("dense", ROWS[:, :3], InvalidError, "features"),
        ("dense", ["warm"] * 4, InvalidError, "features"),
        ("many", ROWS, InvalidError, "mapping"),
        ("many", {"b": [[True, False]]}, InvalidError, "i8"),
    ],
)
def test_what_is_wrong_is_said_by_name(
    predictor: Predictor, model: str, data: Any, error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        predictor.predict(model, data)


@pytest.mark.parametrize("scheme", ["grpc", "http"])
def test_a_wrong_token_is_refused_as_such(models: Running, scheme: str) -> None:
    with Predictor(f"{scheme}://{models.address}", token="wrong") as one, pytest.raises(UnauthenticatedError):
        one.predict("dense", ROWS)


def test_a_server_that_is_not_there_is_named() -> None:
    with Predictor("grpc://127.0.0.1:1") as one, pytest.raises(UnavailableError, match=r"127\.0\.0\.1:1"):
        one.predict("dense", ROWS, timeout_s=0.2)


def test_without_a_scheme_the_client_chooses(models: Running) -> None:
    with Predictor(models.address, token=TOKEN) as one:
        assert one.predict("dense", ROWS).release == 1


def test_a_gateway_is_asked_without_the_console_s_token(models: Running) -> None:
    with OneCode("http://127.0.0.1:9", TOKEN) as client:
        with pytest.raises(UnauthenticatedError):
            client.predict("dense", ROWS.tolist(), url=f"http://{models.address}")
        prediction = client.predict("dense", ROWS, url=models.address, token=TOKEN, unit="pump-7")
    assert prediction.shapes == {"label": [3], "probabilities": [3, 3]}
    assert len(prediction.outputs["probabilities"]) == 9


def test_the_command_predicts_rows_of_a_file(models: Running, tmp_path: Path) -> None:
    rows, token = tmp_path / "rows.json", tmp_path / "token"
    rows.write_text("[[1, 2, 3, 4], [5, 6, 7, 8]]")
    token.write_text(TOKEN)
    words = ["--token-file", str(token), "predict", "dense", "--input", str(rows), "--url", models.address]
    result = CliRunner().invoke(application(), [*words, "--url-token-file", str(token), "--output", "json"])
    assert result.exit_code == 0, result.output
    assert [one["shape"] for one in json.loads(result.stdout)["outputs"]] == [[2], [2, 3]]
