"""Draw pages: templates that escape, in the reader's language and colours."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from typing import Any

from fastapi import Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from onecode_common.clock import Clock
from onecode_common.errors import OnecodeError
from onecode_common.web import STATUS
from onecode_console.domain.evidence_chart import odds
from onecode_console.domain.language import HTML_LANG, LANGUAGES, LOCALES, choose
from onecode_console.domain.texts import Share, Span, Text
from onecode_console.pages.assets import Assets
from onecode_console.pages.numbers import Numbers, moment_of, short_digest
from onecode_console.pages.phrases import error_text
from onecode_console.visit import visitor_or_none

LANGUAGE_COOKIE = "onecode_lang"
THEME_COOKIE = "onecode_theme"
THEMES = ("light", "dark")
_YEAR_S = 31_536_000


@dataclass(frozen=True, slots=True)
class Look:
    """What the reader chose: language, and theme or none."""

    language: str
    theme: str


class Pages:
    """Draws every page.

    Args:
        assets: Styles and scripts.
        clock: For "3 minutes ago".
        project: In the addresses of pages.
        language: When a reader chose none.
        secure: Whether cookies are bound to https.
    """

    def __init__(self, assets: Assets, clock: Clock, project: str, language: str, *, secure: bool) -> None:
        self.project = project
        self.assets = assets
        self._clock = clock
        self._language = language
        self._secure = secure
        self._environments = {name: _environment(name, assets) for name in LANGUAGES}

    def look(self, request: Request) -> Look:
        """Return what the reader of this request chose."""
        query, cookies = request.query_params, request.cookies
        language = choose(
            query.get("lang", ""),
            cookies.get(LANGUAGE_COOKIE, ""),
            request.headers.get("accept-language", ""),
            self._language,
        )
        theme = query.get("theme") or cookies.get(THEME_COOKIE, "")
        return Look(language, theme if theme in THEMES else "")

    def draw(self, request: Request, template: str, data: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """Return a page; a choice of language or theme in its address is kept in a cookie."""
        look, visitor, now = self.look(request), visitor_or_none(), self._clock.now()
        environment = self._environments[look.language]
        context = {
            "look": look,
            "html_lang": HTML_LANG[look.language],
            "visitor": visitor,
            "csrf": visitor.csrf if visitor else "",
            "project": self.project,
            "P": f"/p/{self.project}",
            "path": request.url.path,
            "now": now,
            "ago": _ago(environment.globals["numbers"], now),
            "notice": None,
            **data,
        }
        page = HTMLResponse(environment.get_template(template).render(context), status)
        for name, asked in ((LANGUAGE_COOKIE, "lang"), (THEME_COOKIE, "theme")):
            if asked in request.query_params:
                page.set_cookie(
                    name, getattr(look, "language" if asked == "lang" else "theme"),
                    max_age=_YEAR_S, httponly=True, samesite="lax", secure=self._secure,
                )  # fmt: skip
        page.headers["Vary"] = "Cookie, Accept-Language"
        return page

    def draw_error(self, request: Request, error: OnecodeError, status: int = 0) -> HTMLResponse:
        """Return the page of a refusal."""
        number = status or (507 if error.code == "disk.full" else STATUS[type(error)])
        data = {"status": number, "error": error, "sentence": error_text(error), "nav": ""}
        return self.draw(request, "error.html", data, number)


def _ago(numbers: Any, now: datetime) -> Callable[[Any], str]:
    def ago(stamp: Any) -> str:
        moment = stamp if isinstance(stamp, datetime) else moment_of(stamp)
        return "-" if moment is None else str(numbers.ago(moment, now))

    return ago


def _environment(language: str, assets: Assets) -> Environment:
    environment = Environment(
        loader=PackageLoader("onecode_console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    translations = translations_of(language)
    environment.install_gettext_translations(translations, newstyle=True)  # type: ignore[attr-defined]
    numbers = Numbers(LOCALES[language])
    say = _speaker(translations, numbers)
    environment.globals |= {
        "numbers": numbers,
        "say": say,
        "static": assets.url,
        "moment_of": moment_of,
    }
    environment.filters |= {
        "whole": numbers.whole,
        "share": numbers.share,
        "real": numbers.real,
        "size": numbers.size,
        "span": numbers.span,
        "moment": numbers.moment,
        "digest": short_digest,
        "odds": odds,
        "spoken": lambda rows: [[*row[:-1], say(row[-1])] for row in rows],
    }
    return environment


def translations_of(language: str) -> NullTranslations:
    """Return the catalogue of a language; English is written in the sources."""
    if language == "en":
        return NullTranslations()
    path = files("onecode_console") / "locale" / LOCALES[language] / "LC_MESSAGES" / "messages.mo"
    with path.open("rb") as file:
        return GNUTranslations(file)


def _speaker(translations: NullTranslations, numbers: Numbers) -> Callable[[Any], str]:
    """Return the function that puts a :class:`Text`, or a bare message of a table, into words."""

    def value(one: Any) -> str:
        if isinstance(one, Text):
            return say(one)
        if isinstance(one, Share):
            return numbers.share(one)
        if isinstance(one, Span):
            return numbers.span(one.seconds)
        return numbers.whole(one) if isinstance(one, int) else str(one)

    def say(one: Text | str) -> str:
        if isinstance(one, str):
            return translations.gettext(one) if one else ""
        return translations.gettext(one.id) % {name: value(each) for name, each in one.values.items()}

    return say
