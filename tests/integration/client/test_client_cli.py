"""The command line says what it does, by words and by exit codes."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from onecode_client.cli.main import application

HEAVY = ("httpx2", "grpc", "ray", "mlflow", "sqlalchemy", "fastapi", "numpy", "cryptography", "nats", "psutil", "yaml")
VERSION = {"model": "m", "release": 2, "digest": "sha256:" + "2" * 64}


def run(server: Any, token_file: Path, *arguments: str, text: str | None = None) -> Result:
    options = ["--server", server.url, "--token-file", str(token_file)]
    return CliRunner().invoke(application(), [*options, *arguments], input=text)


def test_help_loads_nothing_heavy() -> None:
    program = (
        "import sys\n"
        "from onecode_client.cli.main import application\n"
        "try: application()(['--help'])\n"
        "except SystemExit: pass\n"
        f"print('LOADED', [name for name in {HEAVY!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1] == "LOADED []"
    assert "rollout" in done.stdout


def test_every_command_explains_itself() -> None:
    runner, app = CliRunner(), application()
    nouns = ("data", "train", "model", "rollout", "gateway", "segment", "process")
    for words in [(), *((noun,) for noun in nouns), ("up",), ("status",), ("predict",), ("demo",), ("doctor",)]:
        result = runner.invoke(app, [*words, "--help"])
        assert result.exit_code == 0, words
        assert "Usage" in result.output


@pytest.mark.parametrize("words", [["nonsense"], ["train", "nonsense"], ["up", "--gateways", "many"], ["data", "show"]])
def test_wrong_usage_exits_2(words: list[str]) -> None:
    assert CliRunner().invoke(application(), words).exit_code == 2


@pytest.mark.parametrize(("status", "code"), [(404, 3), (401, 4), (403, 5), (409, 6), (422, 7), (413, 7), (500, 1)])
def test_a_refusal_has_its_exit_code(server: Any, answer: Any, token_file: Path, status: int, code: int) -> None:
    server.script = lambda _request: answer(status, {"code": "some.code", "detail": "why", "hint": "do this"})
    result = run(server, token_file, "train", "show", "r_1")
    assert result.exit_code == code
    assert result.stderr == "Error: why\nHint:  do this\nCode:  some.code\n"
    assert result.stdout == ""


def test_an_error_is_json_where_the_answer_would_be(server: Any, answer: Any, token_file: Path) -> None:
    server.script = lambda _request: answer(404, {"code": "some.code", "detail": "why"})
    result = run(server, token_file, "train", "show", "r_1", "-o", "json")
    assert json.loads(result.stderr) == {"error": "why", "code": "some.code", "kind": "not_found"}


def test_no_server_exits_10(token_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("onecode_client.client.OneCode.__init__.__kwdefaults__", {"patience_s": 0})
    arguments = ["--server", "http://127.0.0.1:9", "--token-file", str(token_file), "data", "list"]
    assert CliRunner().invoke(application(), arguments).exit_code == 10


def test_no_token_exits_4(tmp_path: Path) -> None:
    arguments = ["--token-file", str(tmp_path / "none"), "data", "list"]
    result = CliRunner().invoke(application(), arguments)
    assert result.exit_code == 4
    assert "ONECODE_TOKEN_FILE" in result.stderr


def test_nothing_running_exits_6(tmp_path: Path) -> None:
    result = CliRunner().invoke(application(), ["status", "--home", str(tmp_path)])
    assert result.exit_code == 6
    assert "onecode up" in result.stderr


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_documents_carry_their_kind(server: Any, answer: Any, token_file: Path, form: str) -> None:
    server.script = lambda _request: answer(200, {"models": [{"name": "m", "versions": 1, "latest": VERSION}]})
    result = run(server, token_file, "model", "list", "-o", form)
    assert result.exit_code == 0
    import yaml

    document = yaml.safe_load(result.stdout)
    assert (document["apiVersion"], document["kind"]) == ("onecode/v1", "ModelList")
    assert document["models"][0]["latest"] == VERSION


def test_tables_go_to_stdout_and_talk_to_stderr(server: Any, answer: Any, token_file: Path) -> None:
    server.script = lambda _request: answer(200, {"segments": []})
    result = run(server, token_file, "segment", "list")
    assert "no segments" in result.stderr
    assert "no segments" not in result.stdout


def test_a_run_that_fails_exits_9_and_one_that_takes_long_exits_8(server: Any, answer: Any, token_file: Path) -> None:
    server.script = lambda _request: answer(200, {"run": {"run_id": "r_1", "state": "RUN_STATE_FAILED", "error": "no"}})
    assert run(server, token_file, "train", "watch", "r_1").exit_code == 9
    server.script = lambda _request: answer(200, {"run": {"run_id": "r_1", "state": "RUN_STATE_RUNNING"}})
    assert run(server, token_file, "train", "watch", "r_1", "--timeout", "0").exit_code == 8


def test_a_rollout_that_rolls_back_exits_9(server: Any, answer: Any, token_file: Path) -> None:
    rollout = {"rollout_id": "ro_1", "state": "rolled_back", "sentence": "errors", "plan": {"steps": [{"share": 1}]}}
    server.script = lambda _request: answer(200, {"rollout": rollout})
    result = run(server, token_file, "rollout", "watch", "ro_1")
    assert result.exit_code == 9
    assert "onecode rollout explain ro_1" in result.stderr


def test_a_rollout_is_started_from_words(server: Any, answer: Any, token_file: Path) -> None:
    server.script = lambda request: (
        answer(200, {"version": VERSION})
        if request.method == "GET"
        else answer(200, {"rollout": {"rollout_id": "ro_1", "state": "draft", "plan": {}}})
    )
    words = ["rollout", "start", "--model", "m:2", "--segment", "cloud", "--segment", "line-1", "--steps", "5,100"]
    result = run(server, token_file, *words, "--set", "min_observe_seconds=5", "--rollout-id", "ro_1")
    assert result.exit_code == 0, result.stderr
    body = server.seen[-1].json()
    assert body["rollout_id"] == "ro_1"
    assert body["plan"]["steps"] == [{"share": 500}, {"share": 10000}]
    assert body["plan"]["segments"] == ["cloud", "line-1"]
    assert body["plan"]["preset"] == {"min_observe_seconds": 5}


@pytest.mark.parametrize(("text", "seconds"), [("600", 600), ("90s", 90), ("10m", 600), ("2h", 7200)])
def test_a_rollout_may_begin_in_shadow(server: Any, answer: Any, token_file: Path, text: str, seconds: int) -> None:
    shadow = {"pairs": 120, "different": 7, "running": True}
    server.script = lambda request: (
        answer(200, {"version": VERSION})
        if request.method == "GET"
        else answer(200, {"rollout": {"rollout_id": "ro_1", "state": "running", "plan": {}, "shadow": shadow}})
    )
    result = run(server, token_file, "rollout", "start", "--model", "m:2", "--shadow", text)
    assert result.exit_code == 0, result.stderr
    assert server.seen[-1].json()["plan"]["shadow_seconds"] == seconds
    assert "different" in result.stdout


@pytest.mark.parametrize("text", ["0", "-5", "m", "10d", "ten", "1.5h"])
def test_a_shadow_that_is_no_time_is_wrong_usage(server: Any, answer: Any, token_file: Path, text: str) -> None:
    server.script = lambda _request: answer(200, {"version": VERSION})
    assert run(server, token_file, "rollout", "start", "--model", "m:2", f"--shadow={text}").exit_code == 2


@pytest.mark.parametrize("steps", ["0,100", "101", "ten", ""])
def test_steps_that_are_no_percentages_are_wrong_usage(server: Any, answer: Any, token_file: Path, steps: str) -> None:
    server.script = lambda _request: answer(200, {"version": VERSION})
    assert run(server, token_file, "rollout", "start", "--model", "m:2", "--steps", steps).exit_code == 2


def test_rows_from_standard_input_are_predicted(server: Any, answer: Any, token_file: Path) -> None:
    outputs = [{"name": "label", "datatype": "INT64", "shape": [2], "data": [0, 1]}]
    server.script = lambda _request: answer(200, {"outputs": outputs, "parameters": {"onecode_release": "3"}})
    result = run(server, token_file, "predict", "m", text="[[1, 2], [3, 4]]")
    assert result.exit_code == 0, result.stderr
    assert "release 3" in result.stderr


def test_a_file_that_is_not_there_exits_3(server: Any, token_file: Path) -> None:
    assert run(server, token_file, "data", "upload", "/no/such.csv").exit_code == 3


def test_a_new_gateway_s_token_can_go_into_a_file(server: Any, answer: Any, token_file: Path, tmp_path: Path) -> None:
    made = {"gateway": {"gateway_id": "gw-9"}, "token": "oce_secret", "expires": "soon", "root_sha256": "ab"}
    server.script = lambda _request: answer(200, made)
    words = ["gateway", "create", "gw-9", "--segment", "line-1", "--save-token", str(tmp_path / "enrol")]
    result = run(server, token_file, *words)
    assert "oce_secret" not in result.output
    assert (tmp_path / "enrol").read_text() == "oce_secret"
    assert (tmp_path / "enrol").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_is_printed(shell: str) -> None:
    result = CliRunner().invoke(application(), ["completion", shell])
    assert result.exit_code == 0
    assert "_ONECODE_COMPLETE" in result.stdout
