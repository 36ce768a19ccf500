"""Keep who this gateway is: its own key, and what its enrolment gave it, which appear together or not at all."""

import base64
import json
from dataclasses import asdict, dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from onecode_common.canonical import sha256_hex
from onecode_common.errors import InvalidError
from onecode_common.files import flush_directory, storage_error, write_file
from onecode_common.ids import check_name
from onecode_common.keys import load_key, load_or_create_key

_KEY, _RECORD, _ROOT = "gateway.key", "enrolment.json", "root.json"


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What the server said when this gateway enrolled.

    Attributes:
        distribution_url: Where signed metadata and objects are.
    """

    gateway_id: str
    segment: str
    tenant: str
    distribution_url: str


@dataclass(frozen=True, slots=True)
class Identity:
    """An enrolled gateway."""

    enrolment: Enrolment
    key: Ed25519PrivateKey
    root: bytes


class IdentityStore:
    """The folder ``identity``; until the server has answered, its key lies in ``enrolling`` beside it."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._enrolling = folder.with_name("enrolling")

    def load(self, root_sha256: str) -> Identity | None:
        """Return the identity; None before enrolment.

        Raises:
            InvalidError: ``state.identity``: a file of it is damaged; ``sync.root_mismatch``: the root is not the
                one that is set.
        """
        if not self._folder.exists():
            return None
        try:
            enrolment = Enrolment(**json.loads((self._folder / _RECORD).read_bytes()))
            root = (self._folder / _ROOT).read_bytes()
            for name in (enrolment.gateway_id, enrolment.segment, enrolment.tenant):
                check_name(name, "identity")
        except (OSError, ValueError, TypeError) as error:
            message = f"the identity in {self._folder} is damaged: {error}; remove it and enrol again"
            raise InvalidError(message, code="state.identity") from error
        check_root(root, root_sha256)
        return Identity(enrolment, load_key(self._folder / _KEY), root)

    def candidate_key(self) -> Ed25519PrivateKey:
        """Return the key to enrol with; the same one until enrolment has succeeded."""
        return load_or_create_key(self._enrolling / _KEY)

    def adopt(self, enrolment: Enrolment, root: bytes) -> None:
        """Become this gateway: key, record and root get their place by one rename."""
        self._write(self._enrolling, enrolment)
        write_file(self._enrolling / _ROOT, root, mode=0o600)
        try:
            self._enrolling.chmod(0o700)
            self._enrolling.rename(self._folder)
            flush_directory(self._folder.parent)
        except OSError as error:
            raise storage_error(error, self._folder) from error

    def update(self, enrolment: Enrolment) -> None:
        """Note that the server moved the gateway, or the distribution."""
        self._write(self._folder, enrolment)

    def _write(self, folder: Path, enrolment: Enrolment) -> None:
        write_file(folder / _RECORD, json.dumps(asdict(enrolment), indent=1).encode(), mode=0o600)


def check_root(root: bytes, expected: str) -> None:
    """Refuse a root of trust that is not the one that the operator was shown.

    Raises:
        InvalidError: ``sync.root_mismatch``.
    """
    if expected and sha256_hex(root) != expected:
        message = f"the signing root has SHA-256 {sha256_hex(root)}, expected {expected}"
        hint = "somebody else answers in the name of the server, or the setting ROOT_SHA256 is of another one"
        raise InvalidError(message, code="sync.root_mismatch", hint=hint)


def b64(content: bytes) -> str:
    """Return unpadded URL-safe base64."""
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
