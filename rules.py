"""The rules that server and client share: what names and messages may be, and why one is refused.

Knows no gRPC, no SQL and no terminal. `room.py` judges by it what comes in, and the client cleans
by it what it shows, since it trusts no server.
"""

from __future__ import annotations

import re
import unicodedata

from language import N_, _

MAX_NAME_CHARACTERS = 32
# Of what may become a name or a room. Normalising is quadratic in marks: 240 kB of them took 47 s.
MAX_RAW_NAME_CHARACTERS = 128
MAX_MESSAGE_BYTES = 8192
MAX_KEY_CHARACTERS = 256
COMMON_ROOM = ""
# A message from one of these would look like the server's own word.
RESERVED_NAMES = frozenset({"servidor", "server"})
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"

# Controls but line feed and tab, what reorders a line (bidi marks, embeddings, isolates, UAX #9),
# and the line and paragraph separators, which some screens take for a new line.
_BIDI = "\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069"
_UNSAFE_IN_MESSAGE = re.compile(f"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff{_BIDI}]")
# Letters and marks that show nothing (Default_Ignorable_Code_Point outside category Cf, Unicode
# DerivedCoreProperties.txt): two names that look the same would differ.
_INVISIBLE_IN_NAME = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\U000e0100-\U000e01ef]"
)

TEXTS = {
    "NAME_TAKEN": N_("this name is taken or reserved; choose another one"),
    "NAME_INVALID": N_(
        "a name has 1 to 32 letters, digits or punctuation marks, with single spaces between them;"
        " choose another one"
    ),
    "ROOM_INVALID": N_("a room's name follows the rules of people's names; choose another one"),
    "MESSAGE_INVALID": N_("a message must be text in UTF-8 and say something; write it again"),
    "MESSAGE_TOO_LONG": N_("a message has at most 8192 bytes; send it in parts"),
    "REQUEST_INVALID": N_("the request is not understood; update the client"),
    "TOKEN_INVALID": N_(
        "the server asks for a token, and this is not it; ask its owner for the token"
        " and pass it by --token-file or CHAT_TOKEN"
    ),
    "SERVER_FULL": N_("the server is full; try again later"),
    "READER_STUCK": N_("nothing was read for a minute; connect again"),
    "SHUTTING_DOWN": N_("the server is shutting down; connect again in a moment"),
    "SESSION_REPLACED": N_("this session went on in another connection"),
    "NOT_STORED": N_("the server could not store the message; send it again later"),
    "USER_UNKNOWN": N_("nobody with this name is here; see who is with /quem"),
    "USER_UNREACHABLE": N_(
        "this person's client cannot take a private message now; nothing was sent"
    ),
    "HISTORY_GONE": N_("some messages sent since you were last here are no longer kept"),
    "LOG_REWOUND": N_("the server's log was put back to an earlier state; messages may be missing"),
    "LOG_UNREADABLE": N_("the server cannot read its log now; connect again later"),
    "NOT_A_CHAT": N_("something else than a chat server answers there; check the address"),
    "PLAIN_SERVER": N_("this server is a simple one: it knows the common room only"),
    "CLOSED": N_("the conversation is over"),
    "TOO_MUCH_WAITING": N_("too much waits for the server already; send it when that is confirmed"),
    "ANSWER_DROPPED": N_("you have not read the last answer yet; ask again later"),
}


class ChatError(Exception):
    """A refusal: `reason` is for programs (a key of `TEXTS`), `str()` for people."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return explain(self.reason, self.reason)


class SetupError(ChatError):
    """What must be mended before a program can run; `str()` is the whole sentence, translated."""

    def __init__(self, sentence: str) -> None:
        super().__init__("SETUP")
        self.sentence = sentence

    def __str__(self) -> str:
        return self.sentence


def explain(reason: str, otherwise: str) -> str:
    """Return what `reason` means in the user's language, or `otherwise` for one we do not know."""
    return _(TEXTS[reason]) if reason in TEXTS else otherwise


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
        and name == " ".join(name.split(" ")).strip(" ")
        and "  " not in name
        and all(character == " " or _is_visible(character) for character in name)
        and not unicodedata.category(name[0]).startswith("M")
    )
    if not is_acceptable:
        raise ChatError(reason)
    return name


def _is_visible(character: str) -> bool:
    is_allowed = unicodedata.category(character)[0] in "LNMP"
    return is_allowed and not _INVISIBLE_IN_NAME.match(character)


def check_free(name: str) -> None:
    """Raise NAME_TAKEN if `name` belongs to the server itself."""
    if name_key(name) in RESERVED_NAMES:
        raise ChatError("NAME_TAKEN")


def clean_message(text: str) -> str:
    """Return `text` with U+FFFD for everything that could steer a terminal or reorder a line."""
    return _UNSAFE_IN_MESSAGE.sub(REPLACEMENT, text)


def check_message(text: str) -> str:
    """Return the message cleaned, or raise `ChatError`: blank, or over 8192 bytes of UTF-8."""
    if not text or text.isspace():
        raise ChatError("MESSAGE_INVALID")
    # Characters are never more than bytes: ten megabytes are refused before they are cleaned.
    if len(text) > MAX_MESSAGE_BYTES:
        raise ChatError("MESSAGE_TOO_LONG")
    text = clean_message(text)
    if len(text) * 4 > MAX_MESSAGE_BYTES and len(text.encode()) > MAX_MESSAGE_BYTES:
        raise ChatError("MESSAGE_TOO_LONG")
    return text
