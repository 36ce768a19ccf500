"""Add up what versions did in the processes of one server, so that each of them can answer for all."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from onecode_serving.execution.statistics import VersionStatistics, added, from_document, to_document

Views = Mapping[tuple[str, str], VersionStatistics]
"""By model and version."""


class Pool:
    """The newest statistics of every process; what a process did that has ended stays."""

    def __init__(self) -> None:
        self._present: dict[int, Views] = {}
        self._ended: Views = {}

    def take(self, process: int, views: Iterable[VersionStatistics]) -> None:
        """Note what a process did until now."""
        self._present[process] = by_version(views)

    def end(self, process: int) -> None:
        """Note that a process is no more; its memory is free."""
        left = [replace(one, memory_bytes=0, waiting=0) for one in self._present.pop(process, {}).values()]
        self._ended = _summed([self._ended, by_version(left)])

    def others(self, process: int) -> Views:
        """Return what all processes but this one did."""
        return _summed([self._ended, *(views for number, views in self._present.items() if number != process)])


def by_version(views: Iterable[VersionStatistics]) -> Views:
    """Return statistics by model and version."""
    return {(one.model, one.version): one for one in views}


def told(views: Views) -> list[dict[str, Any]]:
    """Return statistics as JSON."""
    return [to_document(one) for one in views.values()]


def heard(documents: Iterable[Mapping[str, Any]]) -> list[VersionStatistics]:
    """Return the statistics of such JSON."""
    return [from_document(one) for one in documents]


def _summed(all_views: Iterable[Views]) -> Views:
    whole: dict[tuple[str, str], VersionStatistics] = {}
    for views in all_views:
        for key, one in views.items():
            whole[key] = added(whole[key], one) if key in whole else one
    return whole
