"""The examples for programs that predict run as they stand in the documentation."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from client_model_server import TOKEN, Running, running
from serving_models import dense, session_of

EXAMPLES = Path(__file__).parents[3] / "examples" / "clients"
ROW = [0.5, -1.0, 2.0, 0.25]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("server")) as server:
        yield server


@pytest.fixture
def token(tmp_path: Path) -> str:
    path = tmp_path / "token"
    path.write_text(TOKEN + "\n")
    return str(path)


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def label() -> int:
    return int(session_of(dense()).run(["label"], {"features": np.array([ROW], np.float32)})[0][0])


@pytest.mark.parametrize("name", ["triton_grpc", "triton_http", "predictor", "fast_asyncio", "triton_stream"])
def test_an_example_in_python_gets_an_answer(models: Running, token: str, name: str) -> None:
    row = [str(value) for value in ROW]
    # Options first: a row may begin with a negative number.
    words = ["--token-file", token, "--", models.address, "dense", *row]
    out = run(sys.executable, str(EXAMPLES / f"{name}.py"), *words)
    assert "label" in out
    if name == "triton_stream":
        assert [line.split()[0] for line in out.splitlines()] == ["0", "1", "2", "3", "4"]
    else:
        assert f"[{label()}]" in out


def test_the_example_with_curl_gets_an_answer(models: Running, token: str) -> None:
    url = f"http://{models.address}"
    out = run("sh", str(EXAMPLES / "rest.sh"), url, "dense", "features", json.dumps(ROW), token)
    answer = json.loads(out.splitlines()[-1])
    assert next(one["data"] for one in answer["outputs"] if one["name"] == "label") == [label()]


def test_every_example_is_run_here() -> None:
    assert {path.name for path in EXAMPLES.iterdir() if path.is_file()} == {
        "README.md",
        "fast_asyncio.py",
        "predictor.py",
        "rest.sh",
        "triton_grpc.py",
        "triton_http.py",
        "triton_stream.py",
    }
