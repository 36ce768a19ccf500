"""Say when a signed-in browser is still believed, and how its forms prove that they are ours."""

import hashlib
import hmac
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

IDLE = timedelta(minutes=30)
"""A session that was not used for this long is over."""

ABSOLUTE = timedelta(hours=12)
"""A session is over after this long, used or not."""

TOUCH = timedelta(minutes=1)
"""How often the time of last use is written; more often would be a disk write for each request."""

PER_PERSON = 20
"""Sessions of one person; the oldest ends when another begins."""

_ID_BYTES = 32


@dataclass(frozen=True, slots=True)
class Session:
    """A signed-in browser.

    Attributes:
        key: SHA-256 of the cookie, hex; the cookie itself is never stored.
        subject: Who signed in.
        created: When.
        seen: Last use, to the minute.
    """

    key: str
    subject: str
    created: datetime
    seen: datetime

    def alive(self, now: datetime) -> bool:
        """Return whether the session still counts."""
        return now - self.seen < IDLE and now - self.created < ABSOLUTE

    def wants_touch(self, now: datetime) -> bool:
        """Return whether the time of last use should be written again."""
        return now - self.seen >= TOUCH


def new_cookie() -> str:
    """Return a session id: 256 random bits, base64url."""
    return secrets.token_urlsafe(_ID_BYTES)


def key_of(cookie: str) -> str:
    """Return what is stored in place of a cookie or a login code."""
    return hashlib.sha256(cookie.encode("utf-8", "surrogatepass")).hexdigest()


def csrf_of(cookie: str) -> str:
    """Return the value that forms and scripts of this session must send back; other sites cannot compute it."""
    return hmac.new(cookie.encode("utf-8", "surrogatepass"), b"onecode-csrf", hashlib.sha256).hexdigest()


def same_secret(given: str, expected: str) -> bool:
    """Compare two secrets by their digests, in constant time."""
    return hmac.compare_digest(key_of(given), key_of(expected))
