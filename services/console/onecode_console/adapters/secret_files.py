"""Read the operator's secrets from their files at each use, so that a fresh one counts at once."""

from pathlib import Path

_LONGEST = 4096


class SecretFiles:
    """The credentials port on two files."""

    def __init__(self, api_token_file: Path, login_file: Path | None) -> None:
        self._api_token_file = api_token_file
        self._login_file = login_file

    def api_token(self) -> str:
        """Return the bearer token of programs; empty if the file is missing or unreadable."""
        return _read(self._api_token_file)

    def login_code(self) -> str:
        """Return the present login code; empty if there is none."""
        return "" if self._login_file is None else _read(self._login_file)


def _read(path: Path) -> str:
    try:
        with path.open(encoding="utf-8") as file:
            return file.read(_LONGEST).strip()
    except (OSError, UnicodeDecodeError):
        return ""
