"""What a name or a room may be, and when two of them are the same.

Used by both sides: the server decides by it who holds a name, the client who is spoken to.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_NAME_CHARACTERS, MAX_RAW_NAME_CHARACTERS

COMMON_ROOM = ""
ROUND_BRACKETS = "(){}"
# Marks pile up over the lines above and below; no script needs more of them on one letter.
MAX_MARKS = 4
# Letters and marks that show nothing: two names that look the same would differ. Those of
# Default_Ignorable_Code_Point outside category Cf (Unicode, DerivedCoreProperties.txt), then
# joiners and blanks of Tifinagh, Khitan, Brahmi and Egyptian.
_INVISIBLE = (
    "\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef"
    "\u2d7f\U00016fe4\U0001107f\U00013441\U00013442"
)
# What ends a name where it stands in a sentence, in brackets or before a colon, what stands between
# two names and what begins an event, with all that looks like it (confusables.txt, UTS 39) but the
# marks of scripts. `test_lookalikes.py` holds it against the table.
_SEPARATING = (
    r"\[\]:,*"
    "\u02d0\u0589\u05c3\u060d\u066b\u066d\u0703\u0704\u16ec\u1803\u1809\u201a\u204e\u205a"
    "\ua4f9\ua4fb\ua4fd\ufe30\U0001031f"
)
# An address of IPv4, or a network: what operators ban in place of a name. IPv6 has colons.
_ADDRESS = re.compile(r"[0-9]{1,3}(\.[0-9]{1,3}){3}(/[0-9.]*)?")
# Most names are made of few characters.
MAX_REMEMBERED = 1000
# Most names are of this form, of which no more needs to be asked.
_PLAIN_FORM = re.compile("[A-Za-z0-9]+( [A-Za-z0-9]+)*")
_NOT_IN_NAMES = re.compile(f"[{_INVISIBLE}{_SEPARATING}]")


def name_key(name: str) -> str:
    """Return what is equal for names that count as the same: NFKC, without case (UAX #31).

    Of a text too long to be a name only the beginning counts, so that it costs nothing.
    """
    return _key(name[:MAX_RAW_NAME_CHARACTERS])


@lru_cache(MAX_REMEMBERED)  # of whoever comes it is asked several times in a row
def _key(name: str) -> str:
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


@lru_cache(MAX_REMEMBERED)
def is_name_character(character: str) -> bool:
    """Say whether it is a letter, a digit, a mark or punctuation of the sort that names have."""
    category, plain = unicodedata.category(character), unicodedata.normalize("NFKC", character)
    if category in ("Ps", "Pe"):  # the other brackets look too much like ours
        return plain in ROUND_BRACKETS
    return category[0] in "LNMP" and not _NOT_IN_NAMES.search(character + plain)


def check_name(name: str) -> str:
    """Return `name` in NFC, or raise NAME_INVALID where it is not acceptable.

    1 to 32 characters: letters, digits, marks, punctuation and inner single spaces. Nothing
    invisible; nothing that marks a name's end where it is shown, in any width (`[ ] : , *`); no
    mark at the start, where it would sit on somebody else's character, and no pile of them. No
    address either (192.0.2.7, 192.0.2.0/24), in any width: a ban must not take one for the other.
    """
    name = _check_form(name, "NAME_INVALID")
    if _ADDRESS.fullmatch(name_key(name)):
        raise ChatError("NAME_INVALID")
    return name


def _check_form(name: str, reason: str) -> str:
    """Check all that names and rooms have in common."""
    if len(name) <= MAX_NAME_CHARACTERS and _PLAIN_FORM.fullmatch(name):
        return name
    if len(name) > MAX_RAW_NAME_CHARACTERS:
        raise ChatError(reason)
    name = unicodedata.normalize("NFC", name)
    is_acceptable = (
        1 <= len(name) <= MAX_NAME_CHARACTERS
        and name == name.strip()
        and "  " not in name
        and all(character == " " or is_name_character(character) for character in name)
        and not unicodedata.category(name[0]).startswith("M")
        and not _has_pile_of_marks(name)
    )
    if not is_acceptable:
        raise ChatError(reason)
    return name


def check_room(room: str) -> str:
    """Return the room's name in NFC, empty for the common room; raises ROOM_INVALID.

    The form in which rooms are compared must be a name too, since that is what a server answers.
    """
    if not room:
        return COMMON_ROOM
    _check_form(name_key(room), "ROOM_INVALID")
    return _check_form(room, "ROOM_INVALID")


def _has_pile_of_marks(name: str) -> bool:
    """Say whether more than so many marks sit on one letter, be they composed with it or not."""
    categories = map(unicodedata.category, unicodedata.normalize("NFD", name))
    marks = "".join("m" if category in ("Mn", "Me") else " " for category in categories)
    return "m" * (MAX_MARKS + 1) in marks
