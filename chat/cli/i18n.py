"""The user's language: gettext catalogues under `locale/`, Brazilian Portuguese by default.

Source strings are English. Every module that speaks to people takes `_` and `_n` from here and
calls them when it speaks, not when it is imported: `use()` may come later, and again while the
program runs.
"""

from __future__ import annotations

import gettext
import os
import re
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


def use_for_argparse() -> None:
    """Let argparse, which speaks through the process-wide functions of gettext, speak it too.

    Not while other threads run: it changes the environment, which C code reads without a lock.
    """
    os.environ["LANGUAGE"] = _language
    gettext.bindtextdomain(DOMAIN, LOCALE_DIR)
    gettext.textdomain(DOMAIN)


def current() -> str:
    """Return the language that is spoken now."""
    return _language


def find(text: str) -> str | None:
    """Return which of `available()` is meant: by pt, pt-BR, EN or en_US.UTF-8; None: none of them.

    The form is that of locales (POSIX, 8.2: `language_TERRITORY.codeset@modifier`) or of BCP 47.
    """
    name = re.split("[.@]", text.strip())[0].replace("-", "_").casefold()
    known = {language.casefold(): language for language in available()}
    tongues = {tongue_of(language): language for language in available()}
    return known.get(name) or tongues.get(tongue_of(name))


def tongue_of(language: str) -> str:
    """Return a language without the country: pt for pt_BR."""
    return language.partition("_")[0].casefold()


def wanted(arguments: Sequence[str]) -> str:
    """Return the language that `--lang` or `CHAT_LANG` asks for, before they are parsed.

    The default one where that is none of ours: its refusal must be in some language.
    """
    return find(given(arguments, "--lang", "CHAT_LANG")) or DEFAULT_LANGUAGE


def given(arguments: Sequence[str], flag: str, variable: str) -> str:
    """Return what the last `flag` says, or else the variable; empty where neither is given.

    Before the arguments are parsed, which takes a language and a settings file already.
    """
    value = os.environ.get(variable, "")
    for index, argument in enumerate(arguments):
        if argument.startswith(f"{flag}="):
            value = argument.removeprefix(f"{flag}=")
        elif argument == flag and index + 1 < len(arguments):
            value = arguments[index + 1]
    return value


def _(text: str) -> str:
    """Return `text` in the user's language."""
    return _translations.gettext(text)


def _n(one: str, many: str, count: int) -> str:
    """Return `one` or `many`, by `count`, in the user's language."""
    return _translations.ngettext(one, many, count)


def N_(text: str) -> str:
    """Mark `text` for the catalogue; it is translated later, by `_`."""
    return text
