"""Say where a server listens and what each connection may cost."""

from dataclasses import dataclass
from pathlib import Path

MAX_MESSAGE = 4 << 20
"""Bytes of a request, in the message, in the body, and in the body after it was decompressed."""


@dataclass(frozen=True, slots=True)
class ListenSettings:
    """Every bound of a listener; the letters are those of the threats they answer.

    Attributes:
        rest_address: host:port; port 0 picks a free one.
        grpc_address: Alike; both take both protocols. Empty: one port for everything.
        inherited: Descriptors of bound sockets that somebody else keeps, instead of the addresses, in their order.
        reuse_port: Let other processes of the same user listen on the same ports.
        certificate_file: PEM, with the chain; switches TLS on, together with the next one. Read again when it changes.
        key_file: PEM.
        client_ca_file: PEM; certificates that it signed are credentials. None: clients are not asked for one.
        max_message: Bytes of a request.
        per_address: Connections from one address, or from one IPv6 network of 64 bits (H12).
        connections: In all (H12).
        greeting_s: For the TLS handshake, and again for the first bytes (H8).
        idle_s: Without a request (H8).
        stalled_s: With output that the peer does not take (H7).
        age_s: After which a peer is asked to connect again, give or take a tenth; 0: never.
        age_grace_s: How long what such a peer still has open may go on.
        notice_s: Between "not ready" and the end of accepting, so that whoever sends callers here hears of it.
        grace_s: For what was accepted to end, then it is cut.
        freeze: Once the plane is ready, the garbage collector looks at nothing any more that is there by then; for a
            process that does nothing but serve.
    """

    rest_address: str
    grpc_address: str = ""
    inherited: tuple[int, ...] = ()
    reuse_port: bool = False
    certificate_file: Path | None = None
    key_file: Path | None = None
    client_ca_file: Path | None = None
    max_message: int = MAX_MESSAGE
    per_address: int = 256
    connections: int = 4096
    greeting_s: float = 10.0
    idle_s: float = 300.0
    stalled_s: float = 30.0
    age_s: float = 1800.0
    age_grace_s: float = 300.0
    notice_s: float = 0.0
    grace_s: float = 8.0
    freeze: bool = False
