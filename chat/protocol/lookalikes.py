"""Which names look alike: the skeletons of Unicode (UTS 39), and what the server's own look like.

The server decides by it who may take a name. A client has no use for it, and does not load the
table.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache

from chat.protocol.confusables import CONFUSABLES
from chat.protocol.names import name_key

# A message from one of these would look like the server's own word.
RESERVED_NAMES = frozenset({"servidor", "server"})

_PROTOTYPE_OF = {
    ord(character): prototype
    for prototype, characters in CONFUSABLES.items()
    for character in characters
}
# Between two parts of a name all marks count as this one, at its ends as none.
_SEPARATOR = " "
# Latin, Ukrainian and Greek: in the table they look like a small L, but they are large forms of i.
_LARGE_I = str.maketrans("I\u0406\u0399", "iii")
# Small capitals have no prototype but themselves in the table, or a Cyrillic letter's (the kra and
# the turned w, for K and M); there is none of X. `test_lookalikes.py` holds them against Unicode.
_SMALL_CAPITALS = str.maketrans(
    "\u1d00\u0299\u1d05\u1d07\ua730\u0262\u029c\u1d0a\u0138\u029f\u028d\u0274\u1d18\ua7af\u0280\u1d1b",
    "abdefghjklmnpqrt",
)
# Whoever comes is looked at several times in a row; most names are made of few characters.
MAX_REMEMBERED = 1000
# It stretches the line between two letters of Arabic; beside others it looks like a dash.
_TATWEEL = "\u0640"
_STRETCHED = re.compile(r"(?<=[\u0600-\u08ff])\u0640+|\u0640+(?=[\u0600-\u08ff])")


def skeleton(text: str) -> str:
    """Return what is equal for texts that look alike (UTS 39, section 4), case being kept."""
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFD", decomposed.translate(_PROTOTYPE_OF))


@lru_cache(MAX_REMEMBERED)
def looks(name: str) -> frozenset[str]:
    """Return what a name looks like: as it is written, in small letters and in large ones.

    Two names look alike where any of these are equal: `Ian` is taken for `lan`, since a large i
    looks like a small L, and for `ian` with a Cyrillic `a`, since case makes no difference. Which
    punctuation or space stands between two parts makes none either, nor what stands at the ends:
    `ana.` is `ana`, and `ana-b` is `ana b` but not `anab`.
    """
    name = _STRETCHED.sub("", name)
    parts = _SEPARATOR.join(_parts(name)) or name
    small = name_key(parts)
    return frozenset(map(_look, {parts, small, small.upper().translate(_LARGE_I)}))


def _look(text: str) -> str:
    """Return the skeleton without case; of that once more, since a small `m` looks like `rn`."""
    return skeleton(skeleton(text).translate(_SMALL_CAPITALS).casefold())


def _parts(name: str) -> Iterator[str]:
    """Yield what stands between punctuation and spaces."""
    marked = "".join(_SEPARATOR if _separates(character) else character for character in name)
    yield from marked.split()


@lru_cache(MAX_REMEMBERED)
def _separates(character: str) -> bool:
    """Say whether it is punctuation or a space, or a modifier letter that looks like one."""
    category = unicodedata.category(character)
    if character == _TATWEEL:
        return True
    if category == "Lm":
        return all(unicodedata.category(shown)[0] == "P" for shown in skeleton(character))
    return category[0] in "PZ"


@lru_cache(MAX_REMEMBERED)
def looks_reserved(name: str) -> bool:
    """Say whether a name looks like one of the server's own: its letters and digits alone count.

    Both `1` and a small L, which stands for a large i in skeletons, are taken for an `i`.
    """
    return any(_letters(look) in RESERVED_NAMES for look in looks(name))


def _letters(look: str) -> str:
    return "".join(filter(str.isalnum, look)).replace("l", "i")
