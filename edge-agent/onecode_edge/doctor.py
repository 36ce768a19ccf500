"""Examine a state directory without the agent: every check says one thing, and changes nothing."""

import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from onecode_common.errors import OnecodeError
from onecode_delivery.store import ModelStore
from onecode_edge.layout import LINKS, Layout
from onecode_edge.seal import linked, read_seal

_LEAST_FREE = 64 << 20


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found."""

    what: str
    good: bool
    detail: str


def examine(layout: Layout) -> list[Finding]:
    """Return what every check found, in the order in which they matter."""
    checks: tuple[Callable[[Layout], Iterator[Finding]], ...] = (_folder, _identity, _links, _records, _disk)
    return [finding for check in checks for finding in check(layout)]


def _folder(layout: Layout) -> Iterator[Finding]:
    if not layout.root.is_dir():
        yield Finding("state directory", good=False, detail=f"{layout.root} does not exist")
        return
    mode = layout.root.stat().st_mode & 0o777
    yield Finding("state directory", mode & 0o077 == 0, f"mode {mode:o}, expected 700")


def _identity(layout: Layout) -> Iterator[Finding]:
    key = layout.identity / "gateway.key"
    if not key.exists():
        yield Finding("identity", good=True, detail="not enrolled yet")
        return
    mode = key.stat().st_mode & 0o777
    yield Finding("identity", mode & 0o077 == 0, f"key has mode {mode:o}, expected 600")


def _links(layout: Layout) -> Iterator[Finding]:
    store = ModelStore(layout.root)
    for name in LINKS:
        set_id = linked(layout, name)
        if not set_id:
            yield Finding(name, good=not os.path.lexists(layout.link(name)), detail="names no set")
            continue
        try:
            seal = read_seal(layout, set_id)
            for digest in seal.models.digests:
                store.check_version(digest)
        except OnecodeError as error:
            yield Finding(name, good=False, detail=f"{error.code}: {error.message}")
        else:
            names = ", ".join(f"{entry.name} {entry.stable.release}" for entry in seal.models.entries) or "nothing"
            yield Finding(name, good=True, detail=f"set {set_id}: {names}")


def _records(layout: Layout) -> Iterator[Finding]:
    if not layout.database.exists():
        yield Finding("records", good=True, detail="none yet")
        return
    try:
        connection = sqlite3.connect(f"file:{layout.database}?mode=ro", uri=True, timeout=5)
        try:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            (waiting,) = connection.execute("SELECT count(*) FROM outbox").fetchone()
        finally:
            connection.close()
    except sqlite3.Error as error:
        yield Finding("records", good=False, detail=f"state.corrupt: {error}")
        return
    detail = f"{verdict}; {waiting} reports wait; SQLite {sqlite3.sqlite_version}"
    yield Finding("records", verdict == "ok", detail)


def _disk(layout: Layout) -> Iterator[Finding]:
    if layout.root.is_dir():
        free = shutil.disk_usage(layout.root).free
        yield Finding("disk", free >= _LEAST_FREE, f"{free >> 20} MiB free")
