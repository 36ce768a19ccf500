"""What surrounds the tests on a real node: a machine that cannot is named, not blamed, and nothing stays behind."""

import os
import subprocess
import sys
from pathlib import Path

REAL = Path(__file__).with_name("real")


def run(name: str, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one of the programs with this environment and no other of ours."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("ONECODE_", "KUBE"))}
    command = [sys.executable, str(REAL / name), *map(str, words)]
    return subprocess.run(command, env=kept | environment, capture_output=True, text=True, timeout=60, check=False)


def test_a_machine_that_cannot_run_a_node_is_told_what_it_lacks() -> None:
    said = run("real_preflight.py")
    assert said.returncode == 75
    assert said.stdout.startswith(
        "no container was started; missing: a program that starts nodes: ONECODE_TEST_KUBE is not set"
    )


def test_what_is_left_behind_is_ended_and_told_once(tmp_path: Path) -> None:
    by_place = subprocess.Popen(["sleep", "600"], cwd=tmp_path, start_new_session=True)
    inner = tmp_path / "inner"
    inner.mkdir()
    stands = subprocess.Popen(["sleep", "600"], cwd=inner, start_new_session=True)
    code = "import sys, time; time.sleep(600)"
    named = subprocess.Popen([sys.executable, "-c", code, f"{tmp_path}/file"], start_new_session=True)
    first = run("real_sweep.py", tmp_path)
    assert (first.returncode, first.stdout.count("was left behind: process")) == (1, 2)
    assert [one.wait(10) for one in (stands, named)] == [-9, -9]
    # Who stands in the folder itself may be the person who looks at it.
    assert by_place.poll() is None
    second = run("real_sweep.py", tmp_path)
    assert (second.returncode, second.stdout) == (0, "")
    by_place.kill()
    by_place.wait()
