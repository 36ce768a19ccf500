"""Fill a home with keys, tokens and the bus's configuration; what is there already stays as it is."""

import hashlib
import json
import os
import secrets
from pathlib import Path

import nkeys
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onecode_common.files import write_file
from onecode_common.keys import jwks_document, load_or_create_key, public_bytes
from onecode_standalone.addresses import SERVICES, Addresses
from onecode_standalone.apikey import new_api_key
from onecode_standalone.bus_config import bus_config
from onecode_standalone.home import Home

SEGMENT = "line-1"
"""Where the gateways of `onecode up` belong."""

SIGNERS = (*SERVICES, "standalone")
"""Whose tokens the services believe."""

_FOLDERS = ("keys", "nkeys", "logs", "nats/jetstream", "gateways", "objects/datasets", "objects/models", *SERVICES)


def provision(home: Home, addresses: Addresses) -> None:
    """Make everything that the processes find in the home; doing it again changes no secret.

    Raises:
        ExhaustedError: The disk is full.
        UnavailableError: The home cannot be written.
        InvalidError: A key file is damaged, or others may read it.
    """
    for name in _FOLDERS:
        (home.root / name).mkdir(mode=0o700, parents=True, exist_ok=True)
    _keys(home)
    _secret(home.api_token_file, new_api_key())
    _secret(home.ray_token_file, secrets.token_hex(32))
    write_file(home.root / "api-token.sha256", _sha256(home.api_token_file.read_text().strip()), mode=0o600)
    new_login_code(home)
    gateways = [f"gw-{number}" for number in range(1, addresses.settings.gateways + 1)]
    seeds = {name: _seed(home.seed(name)) for name in (*SERVICES, *gateways)}
    config = bus_config(addresses.nats_port, home.root / "nats" / "jetstream", seeds, SEGMENT)
    write_file(home.bus_config, config.encode(), mode=0o600)
    write_file(home.ports_file, json.dumps(addresses.document(), indent=1).encode() + b"\n")


def new_login_code(home: Home) -> str:
    """Replace the login code, which is good for one sign-in, and return it."""
    code = secrets.token_urlsafe(32)
    write_file(home.login_file, code.encode(), mode=0o600)
    return code


def _keys(home: Home) -> None:
    public = {name: public_bytes(load_or_create_key(home.key(name))) for name in SIGNERS}
    write_file(home.jwks_file, jwks_document(public))
    fleet = load_or_create_key(home.key("fleet"))
    pem = fleet.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    write_file(home.root / "keys" / "fleet.pub", pem)


def _secret(path: Path, value: str) -> None:
    if not path.exists():
        write_file(path, value.encode(), mode=0o600)


def _sha256(text: str) -> bytes:
    return hashlib.sha256(text.encode()).hexdigest().encode()


def _seed(path: Path) -> str:
    """Return the public key of the seed in the file, which is made where there is none."""
    if not path.exists():
        write_file(path, nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER), mode=0o600)
    public: bytes = nkeys.from_seed(bytearray(path.read_bytes().strip())).public_key
    return public.decode()
