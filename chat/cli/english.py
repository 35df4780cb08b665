"""The one line in English for who was not asked which language to speak, and may not read it.

The programs speak Portuguese unless told otherwise. Where the environment names another language
and nothing was chosen, this line says, once, how English is had. Never translated.
"""

from __future__ import annotations

import os
import re
import sys
from typing import IO

from chat.cli import i18n

# The first that is set and not empty counts (POSIX, 8.2).
VARIABLES = ("LC_ALL", "LC_MESSAGES", "LANG")
# What they say where no language is meant.
NO_LANGUAGE = ("", "C", "POSIX")
HINT = 'For English: --lang en, CHAT_LANG=en, or lang = "en" in the settings file.'
CHAT_HINT = "For English: /idioma en; for good --lang en, CHAT_LANG=en or the settings file."

_is_due = False


def offer(is_chosen: bool, is_understood: bool = True) -> None:
    """Have the line ready, unless the language was chosen or is that of the environment.

    Who has chosen one that is not spoken here gets it, whatever the environment says.
    """
    global _is_due
    language = i18n.tongue_of(language_of_environment())
    spoken = i18n.tongue_of(i18n.current())
    is_other = bool(language) and language != spoken
    _is_due = not is_understood if is_chosen else is_other


def take(hint: str = HINT) -> str:
    """Return `hint` where it is due, and else an empty text: it is told once. In any thread."""
    global _is_due
    is_due, _is_due = _is_due, False
    return hint if is_due else ""


def print_to(stream: IO[str]) -> None:
    """Print the line where it is due, and a person reads the stream."""
    if stream.isatty() and (line := take()):
        print(line, file=stream, flush=True)


def language_of_environment() -> str:
    """Return the language that the environment names, such as en_US; empty where it names none."""
    named = next(filter(None, map(os.environ.get, VARIABLES)), None)
    if named is None:
        named = _language_of_windows()
    language = re.split("[.@]", named)[0]
    return "" if language in NO_LANGUAGE else language


def _language_of_windows() -> str:
    """Return the language of the user's desktop, which sets no such variable; elsewhere none."""
    if sys.platform != "win32":
        return ""
    import ctypes
    import locale

    number = ctypes.windll.kernel32.GetUserDefaultUILanguage()
    return locale.windows_locale.get(number, "")
