"""Choose the language of a page."""

from collections.abc import Sequence

LANGUAGES = ("zh", "en")
LOCALES = {"zh": "zh_Hans_CN", "en": "en"}
HTML_LANG = {"zh": "zh-Hans", "en": "en"}


def choose(asked: str, kept: str, accepted: str, default: str) -> str:
    """Return the language: what was asked for now, kept from before, or accepted by the browser, in this order.

    Args:
        asked: Of the query; may be anything.
        kept: Of the cookie; may be anything.
        accepted: The Accept-Language header.
        default: When nothing fits.
    """
    for wish in (asked, kept, *_ranked(accepted)):
        if wish in LANGUAGES:
            return wish
    return default


def _ranked(header: str) -> Sequence[str]:
    ranked = []
    for place, part in enumerate(header.split(",")[:20]):
        name, _, weight = part.partition(";q=")
        try:
            quality = float(weight) if weight else 1.0
        except ValueError:
            quality = 0.0
        if quality > 0:
            ranked.append((-quality, place, name.strip().split("-")[0].lower()))
    return [name for _, _, name in sorted(ranked)]
