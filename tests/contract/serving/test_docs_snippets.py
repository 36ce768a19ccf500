"""What the how-to pages of serving tell people to type runs, against the server with the settings that they give."""

import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import serving_models as make
from cryptography.x509 import DNSName
from docs_pages import ROOT, blocks, settings
from docs_process import pump_fault

from onecode_registry.domain.golden import read_golden
from onecode_serving.golden import check_golden, parse_golden

sys.path.append(str(ROOT / "tests" / "unit" / "serving" / "listen"))
from listen_certificates import Authority

ROW = np.array([[0.5, 1.0, 2.0, 0.25]], np.float32)
LABEL = "label [{}]".format(*make.session_of(make.dense()).run(["label"], {"features": ROW})[0])
_PATHS = ("/etc/onecode/tls", "/etc/onecode", "/var/lib/onecode")


class Place:
    """A folder, and a server that listens for what is typed in it."""

    def __init__(self, folder: Path, ports: list[int], documented: list[str]) -> None:
        self.folder = folder
        self._addresses = dict(zip(documented, [f"127.0.0.1:{port}" for port in ports], strict=True))

    def python(self, page: str) -> str:
        """Return what the Python of a page prints, all blocks in one process."""
        return self._run([sys.executable, "-W", "error", "-c", "\n".join(blocks(page, "python"))])

    def shell(self, page: str, place: int) -> str:
        """Return what one shell block of a page prints."""
        return self._run(["bash", "-euo", "pipefail", "-c", blocks(page, "sh")[place]])

    def _run(self, command: list[str]) -> str:
        for documented, real in self._addresses.items():
            command = [word.replace(documented, real) for word in command]
        environment = {**os.environ, "ONECODE_TOKEN_FILE": str(self.folder / "token")}
        done = subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@contextmanager
def serving(folder: Path, wanted: Mapping[str, str], documented: list[str]) -> Iterator[Place]:
    """Run the server with these settings until the block ends; it must then end by itself with status 0."""
    given = {"REST_ADDRESS": "", "GRPC_ADDRESS": "", **wanted}
    for name in ("REST_ADDRESS", "GRPC_ADDRESS")[: len(documented)]:
        given[name] = "127.0.0.1:0"
    environment = {**os.environ, "PYTHONPATH": str(Path(make.__file__).parent)}
    for name, value in given.items():
        for path in _PATHS:
            value = value.replace(path, str(folder))  # noqa: PLW2901 - one after the other
        environment[f"ONECODE_INFERENCE_{name}"] = value
    script = Path(__file__).with_name("docs_process.py")
    command = [sys.executable, "-W", "error", str(script)]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdin is not None
            assert process.stdout is not None
            yield Place(folder, json.loads(process.stdout.readline()), documented)
            process.stdin.close()
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()


def tenants(folder: Path, keys: Mapping[str, str]) -> None:
    """Write the file of the page, with the digests of other keys in it, by principal."""
    document = json.loads(blocks("secure-serving", "json")[0])
    for tenant in document["tenants"]:
        if tenant["principal"] in keys:
            tenant["keys"] = [keys[tenant["principal"]]]
    (folder / "tenants.json").write_text(json.dumps(document))


def digest(key: str) -> str:
    """Return what a tenants file says of a key."""
    return hashlib.sha256(key.encode()).hexdigest()


@pytest.fixture(scope="module")
def everybody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("everybody")
    (folder / "models.json").write_text(blocks("stream-and-sequences", "json")[0])
    (folder / "token").write_text("a token of the console, which is not asked here")
    numbers = np.random.default_rng(4).normal(size=(120, 4)).astype(np.float32)
    np.savetxt(folder / "rows.csv", numbers, delimiter=",", header="a,b,c,d", comments="")
    wanted = {"ANONYMOUS": "true", **settings("stream-and-sequences")}
    with serving(folder, wanted, ["127.0.0.1:8000", "127.0.0.1:8001"]) as place:
        yield place


def test_every_client_of_the_page_gets_the_same_answer(everybody: Place) -> None:
    said = everybody.python("predict")
    assert [line for line in said.splitlines() if line.startswith("label")] == [LABEL] * 7
    assert said.count(pump_fault().digest) == 2


def test_curl_gets_the_same_answer(everybody: Place) -> None:
    text = everybody.shell("predict", 0)
    metadata, answer = (json.loads(one) for one in re.findall(r"\{.*?\}(?=\{\"model_name|$)", text.strip()))
    assert metadata["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 4]}]
    assert [f"{one['name']} {one['data']}" for one in answer["outputs"]] == [LABEL]


def test_streams_and_windows_say_what_the_page_says(everybody: Place) -> None:
    said = everybody.python("stream-and-sequences").splitlines()
    assert said[:5] == [f"answered: {number}" for number in range(5)]
    assert said.pop(5) == "followed: 5"
    assert [line.split(" ", 1)[0] for line in said[5:7]] == ["StatusCode.FAILED_PRECONDITION"] * 2
    assert said[7:] == ["wear [[2. 0.]]", "wear [[ 3. -1.]]", "wear [[ 4. -2.]]"]


def test_the_golden_set_of_the_page_is_taken_and_answered_right(everybody: Place) -> None:
    everybody.python("migrate-serving")
    content = (everybody.folder / "golden.jsonl").read_bytes()
    assert len(read_golden(content).rows) == 100
    assert check_golden(pump_fault(), parse_golden(content)).passed


def test_tensors_travel_through_shared_memory_as_the_page_says(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("operations-key\n")
    (tmp_path / "header").write_text("Authorization: Bearer operations-key\n")
    tenants(tmp_path, {"operations": digest("operations-key")})
    with serving(tmp_path, settings("shared-memory"), ["127.0.0.1:8000", "127.0.0.1:8001"]) as place:
        said = place.python("shared-memory")
        right: Any = make.session_of(make.dense()).run(["probabilities"], {"features": np.repeat(ROW, 8, 0)})[0]
        assert said.strip() == str(right)
        memory = Path("/dev/shm/onecode_rows")  # noqa: S108 - where the page's object lies
        memory.write_bytes(bytes(4096))
        try:
            assert '"byte_size":4096' in place.shell("shared-memory", 0)
        finally:
            memory.unlink()


def test_callers_with_tokens_and_certificates_are_served_over_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    for name, wanted in (("server", []), ("press-7", [DNSName("press-7.plant.example")])):
        certificate, key = authority.issue(name, *wanted)
        certificate.rename(tmp_path / f"{name}.crt")
        assert key.name == f"{name}.key"
    for name, now in (("server.crt", "tls.crt"), ("server.key", "tls.key"), ("ca", "ca.crt")):
        (tmp_path / name).rename(tmp_path / now)
    (tmp_path / "clients.crt").write_bytes((tmp_path / "ca.crt").read_bytes())
    key_digest = Place(tmp_path, [], []).shell("secure-serving", 1).split()[0]
    tenants(tmp_path, {"line-3": key_digest})
    with serving(tmp_path, settings("secure-serving"), ["127.0.0.1:8443"]) as place:
        said = place.python("secure-serving")
        assert [line for line in said.splitlines() if line.startswith("label")] == [LABEL] * 3
        ready, answer = re.findall(r"\{.*?\}(?=\{\"model_name|$)", place.shell("secure-serving", 0).strip())
        assert json.loads(ready) == {"ready": True}
        assert json.loads(answer)["outputs"][0]["data"] == [int(LABEL[7:-1])]
