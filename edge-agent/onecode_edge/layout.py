"""Know where everything of one gateway lies in its folder; standard library only, because the supervisor reads it."""

from pathlib import Path

LINKS = ("current", "previous", "committed")
"""What is served, what was served before it, and what was last found good."""


class Layout:
    """Paths below the state directory, which is 0700 and on one file system."""

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def identity(self) -> Path:
        """The gateway's own key and what its enrolment gave it."""
        return self.root / "identity"

    @property
    def database(self) -> Path:
        """Journal, outbox, quarantine and counters."""
        return self.root / "state.db"

    @property
    def sets(self) -> Path:
        """One folder with a seal for each model set."""
        return self.root / "sets"

    @property
    def tmp(self) -> Path:
        """What is not whole yet."""
        return self.root / "tmp"

    @property
    def run(self) -> Path:
        """Sockets and locks; means nothing after a restart."""
        return self.root / "run"

    @property
    def control(self) -> Path:
        """Socket by which people and tools ask the agent."""
        return self.run / "control.sock"

    def link(self, name: str) -> Path:
        """Return one of :data:`LINKS`."""
        return self.root / name

    def seal(self, set_id: str) -> Path:
        """Return the file that makes a model set exist."""
        return self.sets / set_id / "seal.json"

    def serve_socket(self, name: str) -> Path:
        """Return the private socket of a serving process."""
        return self.run / f"{name}.sock"

    def make(self) -> None:
        """Make the folders, for this user only."""
        for folder in (self.root, self.sets, self.tmp, self.run):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        self.run.chmod(0o700)
