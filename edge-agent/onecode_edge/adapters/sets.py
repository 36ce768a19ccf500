"""Hold what is served on this disk: three links, the seals that they name, and the files that the seals name."""

import logging
from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from onecode_common.errors import InvalidError, NotFoundError, OnecodeError
from onecode_delivery.store import ModelStore
from onecode_edge.domain.modelset import EMPTY, ModelSet
from onecode_edge.layout import Layout
from onecode_edge.seal import Seal, check_links, linked, point, read_seal, sweep_sets, write_seal

_log = logging.getLogger(__name__)


class Sets:
    """The model sets of one gateway. Not safe for several threads; its owner has the lock."""

    def __init__(self, layout: Layout, store: ModelStore) -> None:
        self._layout = layout
        self._store = store
        self.current: Seal | None = None
        self.damage: list[str] = []

    @property
    def present(self) -> ModelSet:
        """What is to be served now."""
        return self.current.models if self.current else EMPTY

    def open(self) -> None:
        """Find out what can be served, every file hashed: the current set, or the last good one, or the one before.

        What is found damaged is named in :attr:`damage`; the link ``current`` afterwards names what is served.
        """
        check_links(self._layout)
        named = linked(self._layout, "current")
        for name in ("current", "committed", "previous"):
            seal = self._whole(name)
            if seal is not None:
                self.current = seal
                if seal.models.id != named:
                    _log.error("state.corrupt: %s; serving the %s set", "; ".join(self.damage), name)
                    point(self._layout, "current", seal.models.id)
                return
        self.current = None
        if named:
            point(self._layout, "current", "")

    def sealed(self, set_id: str) -> bool:
        """Return whether a set has a good seal."""
        return self._read(set_id) is not None

    def linked(self, name: str) -> ModelSet | None:
        """Return the set that a link names, if its seal is good."""
        seal = self._read(linked(self._layout, name))
        return seal.models if seal else None

    def linked_id(self, name: str) -> str:
        """Return the id that a link names; empty if none."""
        return linked(self._layout, name)

    def seal(self, models: ModelSet, generation: int, interval_s: int) -> Seal:
        """Make a set exist, or give it new shares."""
        seal = Seal(models, generation, interval_s)
        write_seal(self._layout, seal)
        if self.current is not None and self.current.models.id == models.id:
            self.current = seal
        return seal

    def switch(self, seal: Seal) -> None:
        """Serve another set from now on; the present one becomes the previous one."""
        old = linked(self._layout, "current")
        if old and old != seal.models.id:
            point(self._layout, "previous", old)
        point(self._layout, "current", seal.models.id)
        self.current = seal

    def commit(self) -> None:
        """Note that the current set was found good."""
        if self.current is not None:
            point(self._layout, "committed", self.current.models.id)

    def go_back(self, seal: Seal) -> None:
        """Serve a set that was found good before; it is the committed one afterwards."""
        for name in ("current", "committed"):
            if linked(self._layout, name) != seal.models.id:
                point(self._layout, name, seal.models.id)
        self.current = seal

    def damaged(self, models: ModelSet) -> str:
        """Return what is wrong with the files of a set, every one hashed; empty if nothing is."""
        for digest in sorted(models.digests):
            try:
                self._store.open_version(digest)
            except OnecodeError as error:
                return f"{error.code}: {error.message}"
        return ""

    def sweep(self, keep: Iterable[ModelSet], digests: AbstractSet[str]) -> None:
        """Remove sets and files that neither a link nor the arguments name."""
        kept = [models for name in ("current", "previous", "committed") if (models := self.linked(name)) is not None]
        kept += list(keep)
        sweep_sets(self._layout, {models.id for models in kept})
        self._store.sweep(frozenset().union(digests, *(models.digests for models in kept)))

    def _whole(self, name: str) -> Seal | None:
        set_id = linked(self._layout, name)
        if not set_id:
            return None
        try:
            seal = read_seal(self._layout, set_id)
        except (InvalidError, NotFoundError) as error:
            self.damage.append(f"{name}: {error.message}")
            return None
        damage = self.damaged(seal.models)
        if damage:
            self.damage.append(f"{name}: {damage}")
            return None
        return seal

    def _read(self, set_id: str) -> Seal | None:
        try:
            return read_seal(self._layout, set_id) if set_id else None
        except InvalidError:
            return None
