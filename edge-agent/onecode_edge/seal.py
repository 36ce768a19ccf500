"""Make a model set exist: a sealed document, and links that are switched by one rename.

A set without a good seal does not exist. The link ``current`` is the truth about what is served.
"""

import json
import os
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from onecode_common.canonical import canonical, sha256_hex
from onecode_common.errors import InvalidError
from onecode_common.files import flush_directory, storage_error, write_file
from onecode_edge.domain.modelset import ModelSet, from_document, to_document
from onecode_edge.layout import LINKS, Layout

_SCHEMA = 1
_MAX_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Seal:
    """A model set as it was sealed.

    Attributes:
        models: What is served and how requests are divided.
        generation: Of the policy that asked for it.
        interval_s: Length of a counting interval.
    """

    models: ModelSet
    generation: int
    interval_s: int


def write_seal(layout: Layout, seal: Seal) -> None:
    """Write or replace the seal of a set; once this returns it survives a power cut.

    Raises:
        ExhaustedError: The disk is full.
    """
    document = canonical(
        {
            "schema": _SCHEMA,
            "set": seal.models.id,
            "generation": seal.generation,
            "interval_s": seal.interval_s,
            "models": to_document(seal.models),
        }
    )
    path = layout.seal(seal.models.id)
    try:
        if not path.parent.is_dir():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            flush_directory(layout.sets)
    except OSError as error:
        raise storage_error(error, path) from error
    write_file(path, document + b"\n" + sha256_hex(document).encode() + b"\n", mode=0o600)


def read_seal(layout: Layout, set_id: str) -> Seal:
    """Return a sealed set.

    Raises:
        InvalidError: ``state.corrupt``: there is no seal, or it is not the one that was written for this set.
    """
    path = layout.seal(set_id)
    try:
        with path.open("rb") as file:
            content = file.read(_MAX_BYTES)
    except OSError as error:
        raise _corrupt(set_id, "it has no seal") from error
    head, _, tail = content.partition(b"\n")
    if tail != sha256_hex(head).encode() + b"\n":
        raise _corrupt(set_id, "its seal is broken")
    try:
        document = json.loads(head)
        seal = Seal(from_document(document["models"]), int(document["generation"]), int(document["interval_s"]))
    except (ValueError, KeyError, TypeError) as error:
        raise _corrupt(set_id, f"its seal cannot be read: {error!r}") from error
    if document.get("schema") != _SCHEMA or seal.models.id != set_id or document.get("set") != set_id:
        raise _corrupt(set_id, "its seal is that of another set")
    return seal


def linked(layout: Layout, name: str) -> str:
    """Return the id of the set that a link names; empty if there is none, or it points elsewhere."""
    try:
        target = Path(layout.link(name).readlink())
    except OSError:
        return ""
    return target.name if target.parent == Path("sets") else ""


def point(layout: Layout, name: str, set_id: str) -> None:
    """Make a link name a set, or nothing; old or new survives a cut at any moment.

    Raises:
        UnavailableError, ExhaustedError: The folder cannot be written; the link is as it was.
    """
    link = layout.link(name)
    try:
        if not set_id:
            link.unlink(missing_ok=True)
        else:
            fresh = layout.tmp / f"{name}-{secrets.token_hex(4)}"
            fresh.symlink_to(Path("sets") / set_id)
            fresh.replace(link)
        flush_directory(layout.root)
    except OSError as error:
        raise storage_error(error, link) from error


def sweep_sets(layout: Layout, keep: Iterable[str]) -> None:
    """Remove the folders of sets that neither a link nor ``keep`` names."""
    kept = {linked(layout, name) for name in LINKS} | set(keep)
    for folder in layout.sets.iterdir():
        if folder.name not in kept:
            shutil.rmtree(folder, ignore_errors=True)


def check_links(layout: Layout) -> None:
    """Remove whatever stands in the place of a link and is none: a folder or file there was put by somebody else."""
    for name in LINKS:
        path = layout.link(name)
        if path.is_symlink() or not os.path.lexists(path):
            continue
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _corrupt(set_id: str, why: str) -> InvalidError:
    message = f"model set {set_id!r} does not exist: {why}"
    return InvalidError(message, code="state.corrupt", params={"set": set_id}, hint="the last good set is served")
