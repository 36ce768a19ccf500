"""Read the passphrase that seals a backup from a file that nobody else may read."""

import os
from pathlib import Path

from onecode_common.errors import InvalidError

LEAST = 12
"""Characters; scrypt makes each guess cost 128 MiB and about half a second, which shorter ones do not survive."""

_OTHERS = 0o077


def read_passphrase(path: Path) -> bytes:
    """Return the first line of the file.

    Raises:
        InvalidError: There is none, others may read it, or it is too short.
    """
    try:
        mode = path.stat().st_mode
        line = path.read_bytes().partition(b"\n")[0].rstrip(b"\r")
    except OSError as error:
        message = f"cannot read the passphrase file {path}: {error.strerror}"
        raise InvalidError(message, code="backup.passphrase_file", params={"path": path}) from error
    if mode & _OTHERS and os.name == "posix":
        message = f"passphrase file {path} may be read by others: chmod 600 {path}"
        raise InvalidError(message, code="backup.passphrase_file", params={"path": path})
    if len(line.decode(errors="replace")) < LEAST:
        message = f"the passphrase in {path} is shorter than {LEAST} characters"
        hint = f"make one with: (umask 077; openssl rand -base64 24 > {path})"
        raise InvalidError(message, code="backup.passphrase_short", hint=hint)
    return line
