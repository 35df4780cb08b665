"""What is shown, cleaned of everything that could deceive, whoever said it and whatever server.

Knows no terminal, no message and no language. The terminals of the client and the screen of the
server take texts and names from here.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from chat.protocol.limits import MAX_NAME_CHARACTERS
from chat.protocol.names import MAX_MARKS, is_name_character
from chat.protocol.text import REPLACEMENT, clean_message

INDENT = "    "
# First strong isolate and its end (UAX #9): what is between them cannot reorder what is around.
ISOLATE, END_ISOLATE = "\u2068", "\u2069"
RTL_CLASSES = frozenset({"R", "AL", "AN"})

# What shows nothing: soft hyphen, fillers, word joiners, invisible operators, variation selectors
# of other scripts, interlinear marks and tags (Default_Ignorable_Code_Point).
_INVISIBLE = re.compile(
    "(\U0001f3f4[\U000e0030-\U000e0039\U000e0061-\U000e007a]{3,6}\U000e007f)|"  # England's flag
    "[\u00ad\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u2060-\u206f\u3164\ufe00-\ufe0e\ufeff"
    "\uffa0\ufff0-\uffff\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
# A (non-)joiner belongs between two characters of a script or emoji that knows it.
_STRAY_JOINER = re.compile("(?<![^\x00-\x7f])[\u200c\u200d]|[\u200c\u200d](?![^\x00-\x7f])")
_JOINERS = re.compile("[\u200c\u200d]{2,}")
# U+FE0F asks for the emoji of a character that has one; after others it is but invisible, as are a
# joiner with no emoji after it, and the tags of a flag but those of a region.
EMOJI_STYLE = "\ufe0f"
_EMOJI = (
    "\u00a9\u00ae\u203c\u2049\u2122\u2139\u2190-\u2bff\u3030\u303d\u3297\u3299\U0001f000-\U0001fbff"
)
_STRAY_EMOJI_SIGN = re.compile(
    f"(?<![{_EMOJI}0-9#*])\ufe0f|(?<=[0-9#*])\ufe0f(?!\u20e3)|(?<=[{_EMOJI}\ufe0f])\u200d(?![{_EMOJI}])"
)


def clean(text: str) -> str:
    """Return `text` without anything that steers, reorders, hides or piles up; tabs are spaces."""
    if text.isascii():
        return clean_message(text).replace("\t", INDENT)
    text = _STRAY_EMOJI_SIGN.sub("", clean_message(text)).replace("\t", INDENT)
    text = _INVISIBLE.sub(lambda found: found[1] or REPLACEMENT, text)
    text = _STRAY_JOINER.sub(REPLACEMENT, _JOINERS.sub(REPLACEMENT, text))
    return "".join(_with_few_marks(text))


def _with_few_marks(text: str) -> Iterator[str]:
    count = 0
    for character in text:
        is_mark = unicodedata.category(character) in ("Mn", "Me")
        count = count + 1 if is_mark else 0
        if count <= MAX_MARKS:
            yield character


def one_line(text: str) -> str:
    """Return `text` cleaned and on one line, as notices are shown."""
    return " ".join(clean(text).split())


@lru_cache(maxsize=4096)
def shown_name(name: str) -> str:
    """Return a name as it is shown: one line, bounded, and nothing in it that we mark names with.

    What a server of ours accepts in no name is shown as such, round brackets for others.
    """
    name = one_line(name[: 4 * MAX_NAME_CHARACTERS])[: 2 * MAX_NAME_CHARACTERS]
    if unicodedata.category(name[:1] or " ").startswith("M"):  # else it sits on our bracket
        name = REPLACEMENT + name
    return "".join(map(_shown_in_name, name))


def _shown_in_name(character: str) -> str:
    if character == " " or is_name_character(character):
        return character
    plain = unicodedata.normalize("NFKC", character)
    return {"[": "(", "]": ")"}.get(plain, REPLACEMENT)


def has_rtl(text: str) -> bool:
    """Say whether `text` contains what is written from right to left."""
    return not text.isascii() and any(map(_is_rtl, text))


def _is_rtl(character: str) -> bool:
    return unicodedata.bidirectional(character) in RTL_CLASSES


def isolated(text: str) -> str:
    """Return `text` so that it cannot reorder what stands around it on the line."""
    return f"{ISOLATE}{text}{END_ISOLATE}" if has_rtl(text) else text
