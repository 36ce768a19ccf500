"""Fill a home with keys, tokens and the bus's configuration; what is there already stays as it is."""

import json
import secrets
from pathlib import Path

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from onecode_common.errors import InvalidError
from onecode_common.files import write_file
from onecode_common.keys import jwks_document, load_or_create_key, public_bytes
from onecode_standalone.addresses import SERVICES, Addresses
from onecode_standalone.apikey import new_api_key
from onecode_standalone.bus_config import bus_config
from onecode_standalone.home import Home
from onecode_standalone.secret_files import secret, seed_of, sha256_hex

SEGMENT = "line-1"
"""Where the gateways of `onecode up` belong."""

SIGNERS = (*SERVICES, "standalone")
"""Whose tokens the services believe."""

_LEAST_TOKEN = 32
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
    given = addresses.settings.api_token_file
    if given is not None:
        write_file(home.api_token_file, _token(given).encode(), mode=0o600)
    token = secret(home.api_token_file, new_api_key())
    secret(home.ray_token_file, secrets.token_hex(32))
    write_file(home.root / "api-token.sha256", sha256_hex(token), mode=0o600)
    new_login_code(home)
    gateways = [f"gw-{number}" for number in range(1, addresses.settings.gateways + 1)]
    seeds = {name: seed_of(home.seed(name)) for name in (*SERVICES, *gateways)}
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


def _token(file: Path) -> str:
    try:
        token = file.read_text(encoding="ascii").strip()
    except (OSError, ValueError) as error:
        message = f"cannot read the API token from {file}: {error}"
        raise InvalidError(message, code="up.api_token") from error
    if len(token) < _LEAST_TOKEN:
        message = f"the API token in {file} has {len(token)} characters, at least {_LEAST_TOKEN} are needed"
        raise InvalidError(message, code="up.api_token", hint="make one with: onecode keys create DIR")
    return token
