"""What a name or a room may be, and when two of them are the same.

Used by both sides: the server decides by it who holds a name, the client who is spoken to.
"""

from __future__ import annotations

import re
import unicodedata

from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_NAME_CHARACTERS, MAX_RAW_NAME_CHARACTERS

COMMON_ROOM = ""
# A message from one of these would look like the server's own word.
RESERVED_NAMES = frozenset({"servidor", "server"})

# Letters and marks that show nothing (Default_Ignorable_Code_Point outside category Cf, Unicode
# DerivedCoreProperties.txt): two names that look the same would differ.
_INVISIBLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)


def name_key(name: str) -> str:
    """Return what is equal for names that count as the same: NFKC, without case (UAX #31).

    Of a text too long to be a name only the beginning counts, so that it costs nothing.
    """
    name = name[:MAX_RAW_NAME_CHARACTERS]
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())


def check_name(name: str, reason: str = "NAME_INVALID") -> str:
    """Return `name` in NFC, or raise `ChatError` with `reason` where it is not acceptable.

    1 to 32 characters: letters, digits, marks, punctuation and inner single spaces, nothing
    invisible, and no mark at the start, where it would sit on somebody else's character.
    """
    if len(name) > MAX_RAW_NAME_CHARACTERS:
        raise ChatError(reason)
    name = unicodedata.normalize("NFC", name)
    is_acceptable = (
        1 <= len(name) <= MAX_NAME_CHARACTERS
        and name == name.strip()
        and "  " not in name
        and all(character == " " or _is_visible(character) for character in name)
        and not unicodedata.category(name[0]).startswith("M")
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
    check_name(name_key(room), "ROOM_INVALID")
    return check_name(room, "ROOM_INVALID")


def check_not_reserved(name: str) -> None:
    """Raise NAME_TAKEN if `name` belongs to the server itself."""
    if name_key(name) in RESERVED_NAMES:
        raise ChatError("NAME_TAKEN")


def _is_visible(character: str) -> bool:
    is_allowed = unicodedata.category(character)[0] in "LNMP"
    return is_allowed and not _INVISIBLE.match(character)
