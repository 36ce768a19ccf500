"""End the platform's processes when its supervisor is gone without a word.

A parent-death signal reaches direct children only, and MLflow and Ray start children of their own. So this
small program holds a pipe from the supervisor. It reads lines ``+PID`` and ``-PID`` (sessions that began and
ended) and ``bye``; when the pipe ends without ``bye``, the supervisor was killed, and everything that
belongs to the home is killed too.

Run as ``python -S -m onecode_standalone.keeper HOME``; it imports the standard library only.
"""

import signal
import sys

from onecode_standalone.proc import kill_family


def keep(home: str) -> int:
    """Follow the supervisor's lines on standard input; return the exit status."""
    sessions: set[int] = set()
    for line in sys.stdin:
        word = line.strip()
        if word == "bye":
            return 0
        if word.startswith("+"):
            sessions.add(int(word[1:]))
        elif word.startswith("-"):
            sessions.discard(int(word[1:]))
    kill_family(home, roots=tuple(sessions), limit_s=10.0)
    return 0


if __name__ == "__main__":
    # What ends the supervisor from a terminal must not end its keeper first.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sys.exit(keep(sys.argv[1]))
