"""Serve our own styles and scripts from memory, under a name that changes with their content.

One hashed folder, so that modules can import each other by relative paths and browsers may keep all for ever.
"""

import hashlib
from importlib.resources import files

from starlette.responses import Response

from onecode_common.errors import NotFoundError

_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
    "txt": "text/plain; charset=utf-8",
}
_FOR_EVER = "public, max-age=31536000, immutable"


class Assets:
    """All files of the folder ``static``."""

    def __init__(self) -> None:
        folder = files("onecode_console") / "static"
        self._files = {entry.name: entry.read_bytes() for entry in sorted(folder.iterdir(), key=lambda each: each.name)}
        digest = hashlib.sha256()
        for name, content in self._files.items():
            digest.update(f"{name}\0{len(content)}\0".encode() + content)
        self.version = digest.hexdigest()[:16]

    def url(self, name: str) -> str:
        """Return the address of a file.

        Raises:
            NotFoundError: There is none of this name; a template is wrong.
        """
        self._content(name)
        return f"/static/{self.version}/{name}"

    def answer(self, version: str, name: str) -> Response:
        """Return the file; an address of another release is answered, but not kept.

        Raises:
            NotFoundError: There is no such file.
        """
        kept = _FOR_EVER if version == self.version else "no-store"
        return Response(
            self._content(name), headers={"Cache-Control": kept}, media_type=_KINDS[name.rpartition(".")[2]]
        )

    def _content(self, name: str) -> bytes:
        if name not in self._files or name.rpartition(".")[2] not in _KINDS:
            message = f"no asset {name[:80]!r}"
            raise NotFoundError(message, code="asset.unknown")
        return self._files[name]
