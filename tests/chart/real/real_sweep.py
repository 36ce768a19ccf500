"""Leave nothing behind: end what a run of these tests started, however the run itself ended.

``python real_sweep.py FOLDER`` where FOLDER held all of the run. Exit status 1, and a line for each, if anything was
still there: the tests' own fixtures should have ended it.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_END_S = 10.0


def main(folder: Path) -> int:
    """End clusters, then whatever still names the folder; then look again."""
    told = []
    for state in sorted(folder.glob("**/cluster/processes.json")):
        subprocess.run([f"{os.environ['ONECODE_TEST_KUBE']}/down", str(state.parent)], capture_output=True, check=False)
        told.append(f"a cluster in {state.parent}")
    for pid, words in processes(folder):
        told.append(f"process {pid}: {words[:200]}")
        os.kill(pid, signal.SIGKILL)
    end = time.monotonic() + _END_S
    while any(True for _ in processes(folder)) and time.monotonic() < end:
        time.sleep(0.1)
    for place in sorted(mounts(folder), reverse=True):
        told.append(f"mount {place}")
        subprocess.run(["umount", "--lazy", place], check=False)
    for line in told:
        sys.stdout.write(f"was left behind: {line}\n")
    return 1 if told else 0


def processes(folder: Path) -> Iterator[tuple[int, str]]:
    """Yield the processes that the folder's files tell of: by their words, or by where they stand."""
    mine = {os.getpid(), os.getppid()}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) in mine:
            continue
        try:
            words = (entry / "cmdline").read_text(errors="replace").replace("\0", " ")
            stands = str((entry / "cwd").readlink())
        except OSError:
            continue
        if f"{folder}/" in words or stands.startswith(f"{folder}/"):
            yield int(entry.name), words


def mounts(folder: Path) -> list[str]:
    """Return what is mounted below the folder, as this process sees it."""
    lines = Path("/proc/self/mounts").read_text().splitlines()
    return [place for line in lines if (place := line.split(" ")[1]).startswith(f"{folder}/")]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
