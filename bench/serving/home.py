"""Name the files that the server under measurement shares with whoever starts it."""

from pathlib import Path
from typing import NamedTuple


class Home(NamedTuple):
    """A folder with everything a server needs."""

    folder: Path

    @property
    def tokens(self) -> Path:
        """Digests of the tokens that are let in."""
        return self.folder / "tokens"

    @property
    def certificate(self) -> Path:
        """PEM; there only if TLS is spoken."""
        return self.folder / "certificate.pem"

    @property
    def key(self) -> Path:
        """PEM of its private key."""
        return self.folder / "key.pem"

    def manifest(self, model: str, release: int) -> Path:
        """JSON that describes a release of a model."""
        return self.folder / f"{model}-{release}.json"

    def onnx(self, model: str, release: int) -> Path:
        """The network itself."""
        return self.folder / f"{model}-{release}.onnx"
