"""The user's language: gettext catalogues under `locale/`, Brazilian Portuguese by default.

Source strings are English. Every module that speaks to people takes `_` and `_n` from here and
calls them when it speaks, not when it is imported, so that `use()` may come later.
"""

from __future__ import annotations

import gettext
import os
from collections.abc import Sequence
from pathlib import Path

DOMAIN = "chat"
LOCALE_DIR = Path(__file__).resolve().parent.parent / "locale"
SOURCE_LANGUAGE = "en"
DEFAULT_LANGUAGE = "pt_BR"

_language = SOURCE_LANGUAGE
_translations: gettext.NullTranslations = gettext.NullTranslations()


def available() -> list[str]:
    """Return the languages that can be chosen: English and every catalogue under `locale/`."""
    return sorted({SOURCE_LANGUAGE} | {path.parts[-3] for path in LOCALE_DIR.glob("*/*/chat.mo")})


def use(language: str) -> None:
    """Speak `language` (as in `available()`) from now on; an unknown one is English."""
    global _language, _translations
    _language = language
    _translations = gettext.translation(DOMAIN, LOCALE_DIR, [language], fallback=True)
    # argparse speaks through the process-wide functions of gettext.
    os.environ["LANGUAGE"] = language
    gettext.bindtextdomain(DOMAIN, LOCALE_DIR)
    gettext.textdomain(DOMAIN)


def current() -> str:
    """Return the language that is spoken now."""
    return _language


def wanted(arguments: Sequence[str]) -> str:
    """Return the language that `--lang` or `CHAT_LANG` asks for, before they are parsed.

    The default one where that is none of ours: its refusal must be in some language.
    """
    language = os.environ.get("CHAT_LANG") or DEFAULT_LANGUAGE
    for index, argument in enumerate(arguments):
        if argument.startswith("--lang="):
            language = argument.removeprefix("--lang=")
        elif argument == "--lang" and index + 1 < len(arguments):
            language = arguments[index + 1]
    return language if language in available() else DEFAULT_LANGUAGE


def _(text: str) -> str:
    """Return `text` in the user's language."""
    return _translations.gettext(text)


def _n(one: str, many: str, count: int) -> str:
    """Return `one` or `many`, by `count`, in the user's language."""
    return _translations.ngettext(one, many, count)


def N_(text: str) -> str:
    """Mark `text` for the catalogue; it is translated later, by `_`."""
    return text
