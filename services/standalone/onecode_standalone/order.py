"""Work out in which waves processes stop: nobody before those who need it."""

from collections.abc import Iterable, Mapping

from onecode_standalone.table import Entry


def stop_waves(entries: Iterable[Entry]) -> list[list[str]]:
    """Return names in waves, the first to stop first; a wave's members do not need each other."""
    table = list(entries)
    depths: dict[str, int] = {}
    by_name = {entry.name: entry for entry in table}
    for entry in table:
        _depth(entry, by_name, depths)
    waves: list[list[str]] = [[] for _ in range(max(depths.values(), default=-1) + 1)]
    for entry in table:
        waves[depths[entry.name]].append(entry.name)
    return waves[::-1]


def _depth(entry: Entry, by_name: Mapping[str, Entry], depths: dict[str, int]) -> int:
    if entry.name not in depths:
        needed = [by_name[name] for name in entry.needs if name in by_name]
        depths[entry.name] = 1 + max((_depth(one, by_name, depths) for one in needed), default=-1)
    return depths[entry.name]
