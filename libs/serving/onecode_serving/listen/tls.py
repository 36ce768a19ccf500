"""Keep the server's certificate current without a restart."""

import logging
import ssl
from pathlib import Path
from typing import Any

from onecode_common.errors import InvalidError
from onecode_serving.listen.dispatch import HTTP1, HTTP2

_log = logging.getLogger(__name__)


class Certificates:
    """The TLS files of a server, read again when one of them changes.

    Args:
        certificate_file: PEM, with the chain.
        key_file: PEM, not encrypted.
        client_ca_file: PEM; certificates signed by it are accepted from clients, and none is demanded.

    Attributes:
        trouble: Why the newest files are not in use, or None.

    Raises:
        InvalidError: The files are no certificate with its key.
    """

    def __init__(self, certificate_file: Path, key_file: Path, client_ca_file: Path | None = None) -> None:
        self._certificate = certificate_file
        self._key = key_file
        self._client_ca = client_ca_file
        self._files = [path for path in (certificate_file, key_file, client_ca_file) if path is not None]
        self._stamps: list[tuple[int, int, int]] = self._look()
        self._context = self._load()
        self.trouble: str | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context for the next handshake; files that do not fit leave the former one in use."""
        try:
            stamps = self._look()
            if stamps != self._stamps:
                self._stamps = stamps
                self._context = self._load()
                self.trouble = None
        except InvalidError as error:
            if self.trouble != error.message:
                _log.error("%s; the former certificate stays in use", error.message)
                self.trouble = error.message
        return self._context

    def _look(self) -> list[tuple[int, int, int]]:
        try:
            found = [path.stat() for path in self._files]
        except OSError as error:
            raise self._refused(error.strerror or "no such file") from error
        return [(one.st_mtime_ns, one.st_size, one.st_ino) for one in found]

    def _load(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols([HTTP1, HTTP2])
        try:
            # An encrypted key must be an error, not a question on a terminal.
            context.load_cert_chain(self._certificate, self._key, password=lambda: b"")
            if self._client_ca is not None:
                context.load_verify_locations(self._client_ca)
                context.verify_mode = ssl.CERT_OPTIONAL
        except (OSError, ValueError) as error:
            raise self._refused(str(error)) from error
        return context

    def _refused(self, why: str) -> InvalidError:
        message = f"the TLS files {', '.join(map(str, self._files))} cannot be used: {why}"
        return InvalidError(message, code="serving.tls")


def certificate_name(peer: dict[str, Any] | None) -> str | None:
    """Return the name of a verified client certificate: its first URI, else DNS name, else common name.

    Args:
        peer: As :meth:`ssl.SSLSocket.getpeercert` gives it; None or empty without a certificate.
    """
    if not peer:
        return None
    names = dict(reversed(peer.get("subjectAltName", ())))
    for kind, prefix in (("URI", "uri"), ("DNS", "dns")):
        if kind in names:
            return f"{prefix}:{names[kind]}"
    common = [value for rdn in peer.get("subject", ()) for name, value in rdn if name == "commonName"]
    return f"cn:{common[0]}" if common else None
