"""Changes by a session are taken from the console's own pages only."""

from typing import Any

import pytest

from onecode_common.errors import InvalidError
from onecode_console.domain.language import choose
from onecode_console.domain.origins import origins_of

OURS = {"host": "127.0.0.1:8080", "origin": "http://127.0.0.1:8080"}


@pytest.mark.parametrize(
    ("headers", "taken"),
    [
        (OURS, True),
        ({**OURS, "sec-fetch-site": "same-origin"}, True),
        ({"host": "localhost:8080", "origin": "http://localhost:8080"}, True),
        ({"host": "127.0.0.1:8080"}, False),
        ({**OURS, "origin": "null"}, False),
        ({**OURS, "origin": "http://127.0.0.1:9999"}, False),
        ({**OURS, "origin": "https://127.0.0.1:8080"}, False),
        ({**OURS, "sec-fetch-site": "cross-site"}, False),
        ({**OURS, "sec-fetch-site": "none"}, False),
        ({"host": "evil.example", "origin": "http://evil.example"}, False),
        ({"host": "localhost:8080", "origin": "http://127.0.0.1:8080"}, False),
    ],
)
def test_only_our_own_origin_counts(headers: dict[str, str], taken: Any) -> None:
    assert (origins_of("http://127.0.0.1:8080").refuses(headers) is None) == taken


def test_on_https_the_cookie_is_bound_to_the_host() -> None:
    origins = origins_of("https://onecode.plant.example")
    assert (origins.secure, origins.cookie, origins.exposed) == (True, "__Host-onecode", False)
    assert origins.hosts == {"onecode.plant.example"}


def test_plain_http_is_known_as_exposed_unless_it_stays_on_the_machine() -> None:
    assert origins_of("http://plant.example:8080").exposed
    assert not origins_of("http://127.0.0.1:8080").exposed
    assert not origins_of("http://[::1]:8080").exposed
    assert origins_of("http://127.0.0.1:8080").cookie == "onecode"


@pytest.mark.parametrize("url", ["", "ftp://host", "http://", "http://host/path", "http://host/?q=1", "host:80"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(InvalidError):
        origins_of(url)


@pytest.mark.parametrize(
    ("asked", "kept", "accepted", "language"),
    [
        ("en", "zh", "zh-CN", "en"),
        ("fr", "en", "zh-CN", "en"),
        ("", "", "de, en-GB;q=0.7, zh;q=0.3", "en"),
        ("", "", "zh-Hant-TW,en;q=0.9", "zh"),
        ("", "", "en;q=0, fr", "zh"),
        ("", "", "en;q=x", "zh"),
        ("", "", "," * 5000, "zh"),
    ],
)
def test_the_language_is_what_was_asked_kept_or_accepted(asked: str, kept: Any, accepted: Any, language: str) -> None:
    assert choose(asked, kept, accepted, "zh") == language
