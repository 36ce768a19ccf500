"""The console as a process: it starts alone, survives a kill, ends at once, and stays small."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from onecode_common.keys import jwks_document, load_or_create_key, public_bytes

TOKEN = "token-of-programs-0123456789"
LIMIT_S = 60
MOST_RSS = 160 << 20


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


class Console:
    """A console whose peers are all away."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.http, self.ops, away = free_port(), free_port(), free_port()
        key = load_or_create_key(folder / "console.key")
        (folder / "jwks.json").write_bytes(jwks_document({"console": public_bytes(key)}))
        (folder / "token").write_text(TOKEN, encoding="ascii")
        self.code = secrets.token_urlsafe(32)
        (folder / "login").write_text(self.code, encoding="ascii")
        self.url = f"http://127.0.0.1:{self.http}"
        values = {
            "HTTP_ADDRESS": f"127.0.0.1:{self.http}",
            "OPS_ADDRESS": f"127.0.0.1:{self.ops}",
            "PUBLIC_URL": self.url,
            "DATABASE_URL": f"sqlite:///{folder / 'console.db'}",
            "KEY_FILE": str(folder / "console.key"),
            "JWKS_FILE": str(folder / "jwks.json"),
            "API_TOKEN_FILE": str(folder / "token"),
            "LOGIN_FILE": str(folder / "login"),
            "NATS_URL": f"nats://127.0.0.1:{away}",
            "INGESTION_HTTP_URL": f"http://127.0.0.1:{away}",
            "REGISTRY_HTTP_URL": f"http://127.0.0.1:{away}",
            "INFERENCE_URL": f"http://127.0.0.1:{away}",
            **{f"{name}_ADDRESS": f"127.0.0.1:{away}" for name in ("INGESTION", "TRAINING", "REGISTRY", "ROLLOUT")},
        }
        self.settings = {f"ONECODE_CONSOLE_{name}": value for name, value in values.items()}
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [sys.executable, "-m", "onecode_console"]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(command, env={**os.environ, **self.settings}, stderr=log)
        end = time.monotonic() + LIMIT_S
        while not self.ready():
            assert time.monotonic() < end, (self.folder / "log").read_text()
            time.sleep(0.05)

    def ready(self) -> bool:
        try:
            return httpx2.get(f"http://127.0.0.1:{self.ops}/readyz").status_code == 200
        except httpx2.TransportError:
            return False

    def end(self, number: int) -> int:
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(LIMIT_S)

    def rss(self) -> int:
        assert self.process is not None
        pages = Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


@pytest.fixture
def console(tmp_path: Path) -> Iterator[Console]:
    found = Console(tmp_path)
    found.start()
    yield found
    if found.process is not None and found.process.poll() is None:
        found.end(signal.SIGKILL)


def test_alone_it_is_ready_and_says_who_is_away(console: Console) -> None:
    with httpx2.Client(base_url=console.url, timeout=30) as visitor:
        visitor.get("/login", params={"code": console.code})
        page = visitor.get("/p/default", headers={"accept-language": "en"})
        assert page.status_code == 200
        assert page.text.count("does not answer.") >= 5
        assert visitor.get("/p/default/runs").status_code == 503
        headers = {"authorization": f"Bearer {TOKEN}"}
        status = visitor.get("/api/v1/status", headers=headers).json()
        assert not any(one["ready"] for one in status["services"])
        problem = visitor.post("/api/v1/uploads", headers={**headers, "upload-length": "5"})
        assert (problem.status_code, problem.json()["code"]) == (503, "service.unavailable")
        assert visitor.post("/api/v1/predict/m", json={}, headers=headers).status_code == 503
    assert console.rss() <= MOST_RSS


def test_after_a_kill_the_session_goes_on_and_the_code_stays_used(console: Console) -> None:
    with httpx2.Client(base_url=console.url, timeout=30) as visitor:
        assert visitor.get("/login", params={"code": console.code}).status_code == 303
        console.end(signal.SIGKILL)
        console.start()
        assert visitor.get("/p/default").status_code == 200
        assert visitor.get("/login", params={"code": console.code}).status_code == 401


def test_it_ends_at_once_with_a_stream_open(console: Console) -> None:
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx2.stream("GET", f"{console.url}/api/v1/events", headers=headers, timeout=30) as answer:
        lines = answer.iter_lines()
        assert next(lines) == "retry: 1000"
        assert console.end(signal.SIGTERM) == 0
        assert list(lines)[-1] in ("", ": connected")
    assert "Traceback" not in (console.folder / "log").read_text()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("HTTP_ADRESS", "x", "unknown setting ONECODE_CONSOLE_HTTP_ADRESS"),
        ("KEY_FILE", "/nonexistent", "cannot read the key file"),
    ],
)
def test_a_wrong_setting_is_one_line_and_status_2(tmp_path: Path, name: str, value: Any, said: str) -> None:
    console = Console(tmp_path)
    environment = {**os.environ, **console.settings, f"ONECODE_CONSOLE_{name}": value}
    command = [sys.executable, "-m", "onecode_console"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
