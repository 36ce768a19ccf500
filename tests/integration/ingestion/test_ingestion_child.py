"""The child that reads foreign bytes is limited, and however it ends, the answer is typed and nothing is left."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from onecode_common.errors import ExhaustedError, InvalidError, OnecodeError, UnavailableError
from onecode_ingestion.adapters import child_reader
from onecode_ingestion.adapters.child_reader import ChildReader
from onecode_ingestion.domain.limits import Limits
from onecode_ingestion.domain.options import ReadOptions
from onecode_ingestion.ports import Reading

GOOD = b"a,b\n1,2\n"


@contextmanager
def reading(folder: Path, content: bytes, limits: Limits | None = None, name: str = "a.csv") -> Iterator[Reading]:
    (folder / "file").write_bytes(content)
    reader = ChildReader(folder / "scratch", limits or Limits(), 1)
    with reader.reading(folder / "file", name, ReadOptions(), preview=False) as one:
        yield one


def fake_child(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    """Put another module in the child's place."""
    (folder / "fake_child.py").write_text(source)
    real = subprocess.Popen

    def start(_argv: list[str], **how: Any) -> "subprocess.Popen[bytes]":
        return real([sys.executable, str(folder / "fake_child.py")], **how)

    monkeypatch.setattr(subprocess, "Popen", start)


def test_what_a_child_wrote_is_gone_after_its_use(tmp_path: Path) -> None:
    with reading(tmp_path, GOOD) as one:
        assert one.rows == 1
        assert one.parts[0].path.stat().st_size == one.parts[0].bytes
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_parquet_bomb_ends_at_the_memory_limit_and_is_named(tmp_path: Path) -> None:
    """A column of one value a million times over is small on disk and large as soon as it is decoded."""
    column = pa.array(["y" * 100_000]).dictionary_encode()
    bomb = pa.table({"a": pa.DictionaryArray.from_arrays(pa.array([0] * 200_000, pa.int32()), column.dictionary)})
    pq.write_table(bomb, tmp_path / "bomb.parquet", store_schema=False)
    content = (tmp_path / "bomb.parquet").read_bytes()
    assert len(content) < 200_000
    with (
        pytest.raises(ExhaustedError) as refusal,
        reading(tmp_path, content, Limits(memory_bytes=1 << 30), "bomb.parquet"),
    ):
        pass
    assert refusal.value.code == "data.too_large_decoded"
    assert list((tmp_path / "scratch").iterdir()) == []


def test_a_file_that_costs_too_much_time_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fake_child(monkeypatch, tmp_path, "import time; time.sleep(60)")
    with pytest.raises(ExhaustedError) as refusal, reading(tmp_path, GOOD, Limits(wall_s=1)):
        pass
    assert refusal.value.code == "data.too_slow"


def test_a_file_that_costs_too_much_cpu_is_given_up(tmp_path: Path) -> None:
    content = b"a,b,c,d\n" + b"1.5,2.5,3.5,4.5\n" * 2_000_000
    with pytest.raises(ExhaustedError) as refusal, reading(tmp_path, content, Limits(cpu_s=1)):
        pass
    assert refusal.value.code == "data.too_slow"


@pytest.mark.parametrize(
    ("source", "error", "code"),
    [
        ("import os; os.kill(os.getpid(), 11)", InvalidError, "data.unreadable"),
        ("import os; os.abort()", InvalidError, "data.unreadable"),
        ("raise RuntimeError", InvalidError, "data.unreadable"),
        ("raise MemoryError", ExhaustedError, "data.too_large_decoded"),
        ("import os; os.write(2, b'std::bad_alloc'); os.abort()", ExhaustedError, "data.too_large_decoded"),
        ("print('{\"rows\": 5', end='')", InvalidError, "data.unreadable"),
        ("pass", InvalidError, "data.unreadable"),
    ],
)
def test_a_child_that_breaks_is_a_refusal_of_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, error: type[OnecodeError], code: str
) -> None:
    fake_child(monkeypatch, tmp_path, source)
    with pytest.raises(error) as refusal, reading(tmp_path, GOOD):
        pass
    assert refusal.value.code == code


def test_a_child_sees_neither_our_settings_nor_our_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONECODE_INGESTION_KEY_FILE", "/secret")
    seen = tmp_path / "environment"
    fake_child(monkeypatch, tmp_path, f"import os; open({str(seen)!r}, 'w').write(repr(sorted(os.environ)))")
    with pytest.raises(InvalidError), reading(tmp_path, GOOD):
        pass
    assert "ONECODE" not in seen.read_text()


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """The parent is killed without a warning while its child is at work."""
    (tmp_path / "file").write_bytes(b"a,b\n" + b"1,2\n" * 3_000_000)
    job = {
        "path": str(tmp_path / "file"),
        "file_name": "a.csv",
        "folder": str(tmp_path),
        "preview": False,
        "options": ReadOptions().to_document(),
        "limits": asdict(Limits()),
    }
    program = (
        "import subprocess, sys, json, time\n"
        "child = subprocess.Popen([sys.executable, '-I', '-m', 'onecode_ingestion.adapters.reading'],"
        " stdin=subprocess.PIPE, stdout=subprocess.PIPE)\n"
        f"child.stdin.write(json.dumps({job!r}).encode() + b'\\n'); child.stdin.flush()\n"
        "print(child.pid, flush=True); time.sleep(600)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert parent.stdout is not None
    child = psutil.Process(int(parent.stdout.readline()))
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs([child], timeout=30)
    assert not alive or child.status() == psutil.STATUS_ZOMBIE


def test_readers_wait_for_their_turn_and_then_say_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(child_reader, "_WAIT_S", 0.1)
    (tmp_path / "file").write_bytes(GOOD)
    reader = ChildReader(tmp_path / "scratch", Limits(), 1)
    with (
        reader.reading(tmp_path / "file", "a.csv", ReadOptions(), preview=False),
        pytest.raises(UnavailableError) as refusal,
        reader.reading(tmp_path / "file", "a.csv", ReadOptions(), preview=False),
    ):
        pass
    assert refusal.value.code == "reader.busy"
    with reader.reading(tmp_path / "file", "a.csv", ReadOptions(), preview=False) as one:
        assert one.rows == 1


def test_scratch_left_by_a_killed_service_is_swept_at_its_start(tmp_path: Path) -> None:
    (tmp_path / "scratch" / "left").mkdir(parents=True)
    (tmp_path / "scratch" / "left" / "part-00000.parquet").write_bytes(b"x")
    ChildReader(tmp_path / "scratch", Limits(), 1)
    assert list((tmp_path / "scratch").iterdir()) == []
