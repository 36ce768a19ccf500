"""Decide from which addresses a browser's changes are taken, so that no other page can send them."""

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from onecode_common.errors import InvalidError

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")


@dataclass(frozen=True, slots=True)
class Origins:
    """The addresses under which this console is reached.

    Attributes:
        scheme: ``http`` or ``https``.
        hosts: Values of the Host header that are ours.
    """

    scheme: str
    hosts: frozenset[str]

    @property
    def exposed(self) -> bool:
        """Whether cookies travel unprotected over a network: plain http, and not this machine alone."""
        return not self.secure and not any(host.startswith(_LOOPBACK) for host in self.hosts)

    @property
    def secure(self) -> bool:
        """Whether cookies may be bound to https."""
        return self.scheme == "https"

    @property
    def cookie(self) -> str:
        """Name of the session cookie; the prefix makes browsers refuse one that another host has set."""
        return "__Host-onecode" if self.secure else "onecode"

    def host_is_ours(self, host: str) -> bool:
        """Return whether a Host header names us; a foreign name pointing here is an attack."""
        return host.lower() in self.hosts

    def refuses(self, headers: Mapping[str, str]) -> str | None:
        """Return why a change with these headers is not taken, or None.

        Args:
            headers: By lower-case name.
        """
        host = headers.get("host", "").lower()
        if host not in self.hosts:
            return "the Host header does not name this console"
        if headers.get("origin", "").lower() != f"{self.scheme}://{host}":
            return "the Origin header is missing or names another site"
        if headers.get("sec-fetch-site", "same-origin") != "same-origin":
            return "the request was started by another site"
        return None


def origins_of(public_url: str) -> Origins:
    """Return the addresses that follow from the public URL; on loopback all its names count.

    Raises:
        InvalidError: Not an http or https address without a path.
    """
    parts = urlsplit(public_url)
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.path not in ("", "/") or parts.query:
        message = f"public URL {public_url!r} is not http(s)://host[:port]"
        raise InvalidError(message, code="settings.public_url", params={"value": public_url})
    host = parts.netloc.lower()
    name = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    if name not in _LOOPBACK:
        return Origins(parts.scheme, frozenset({host}))
    port = f":{parts.port}" if parts.port is not None else ""
    return Origins(parts.scheme, frozenset(f"{loopback}{port}" for loopback in _LOOPBACK))
