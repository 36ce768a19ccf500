"""Put the console together: the other services behind ports, REST and pages in front."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from onecode_common.clock import Clock
from onecode_common.program import Part
from onecode_common.web import HttpServer
from onecode_console.domain.events import EventRing
from onecode_console.domain.origins import Origins
from onecode_console.health import Health
from onecode_console.http import Faces, Inside, make_app, make_face
from onecode_console.pages.assets import Assets
from onecode_console.pages.render import Pages
from onecode_console.ports import AuditCopies, Credentials, Peers, SessionStore
from onecode_console.streams import Streams
from onecode_console.usecases import Identity

_HEALTH_S = 2.0


@dataclass(frozen=True, slots=True)
class Ports:
    """Everything outside that the console uses."""

    clock: Clock
    sessions: SessionStore
    copies: AuditCopies
    credentials: Credentials
    peers: Peers
    faces: Faces
    bus_away: Callable[[], str | None]


@dataclass(frozen=True, slots=True)
class Choices:
    """What the operator set, as far as rules need it."""

    project: str
    language: str
    version: str
    origins: Origins
    http_address: str


@dataclass(frozen=True, slots=True)
class Service:
    """The console, ready to start.

    Attributes:
        streams: Long answers; stopped before the listener.
        http: The listener.
        inside: For the tests that walk all routes.
    """

    streams: Streams
    http: HttpServer
    inside: Inside

    def parts(self, before: Sequence[Part]) -> list[Part]:
        """Return all parts in the order of their start."""
        return [*before, self.http, self.streams]


def build(ports: Ports, choices: Choices) -> Service:
    """Return the console on these ports."""
    identity = Identity(ports.sessions, ports.credentials, ports.clock)
    # Numbers of facts grow over restarts, so that an old place is recognised: microseconds since 1970.
    streams = Streams(EventRing(int(ports.clock.now().timestamp() * 1_000_000)))
    faces = ports.faces
    health = Health(
        ports.peers,
        choices.project,
        lambda: faces.inference.refuses("/v2/health/ready", _HEALTH_S),
        ports.bus_away,
    )
    pages = Pages(Assets(), ports.clock, choices.project, choices.language, secure=choices.origins.secure)
    inside = Inside(
        identity,
        choices.origins,
        ports.peers,
        faces,
        health,
        streams,
        ports.copies,
        pages,
        choices.project,
        choices.version,
    )
    return Service(streams, HttpServer(make_face(inside, make_app(inside)), choices.http_address), inside)
