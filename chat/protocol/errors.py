"""Why something is refused: every reason with its text, its gRPC status and whether it is final.

One table. A new refusal is one row here; `server/status.py` makes a gRPC error of it, the client
says it in the user's language.
"""

from __future__ import annotations

from dataclasses import dataclass

from chat.cli.i18n import N_, _
from chat.protocol.details import Details


@dataclass(frozen=True)
class Reason:
    """One row: `text` is for people, in English, and says what to do.

    `status`: the name of the gRPC status that ends a stream with it; empty for one that a server
    only tells in a NOTICE. `is_final`: another attempt would end the same way. `is_local`: the
    client finds it out by itself, and no server sends it.
    """

    text: str
    status: str = ""
    is_final: bool = False
    is_local: bool = False


REASONS = {
    "NAME_TAKEN": Reason(
        N_("this name is taken or reserved, or looks like one that is; choose another one"),
        "ALREADY_EXISTS",
        is_final=True,
    ),
    "NAME_INVALID": Reason(
        N_(
            "a name has 1 to 32 letters, digits or punctuation marks, with single spaces between"
            " them, none of [ ] : , *, and is no address; choose another one"
        ),
        "INVALID_ARGUMENT",
        is_final=True,
    ),
    "ROOM_INVALID": Reason(
        N_(
            "this cannot be a room's name: 1 to 32 letters, digits or signs, without [ ] : , *;"
            " choose another one"
        ),
        "INVALID_ARGUMENT",
        is_final=True,
    ),
    "MESSAGE_INVALID": Reason(
        N_("a message must be text in UTF-8 and say something; write it again"),
        "INVALID_ARGUMENT",
        is_final=True,
    ),
    "MESSAGE_TOO_LONG": Reason(
        N_("a message has at most 8192 bytes; send it in parts"), "INVALID_ARGUMENT", is_final=True
    ),
    "REQUEST_INVALID": Reason(
        N_("the request is not understood; update the client"), "INVALID_ARGUMENT", is_final=True
    ),
    "TOKEN_MISSING": Reason(
        N_(
            "the server asks for a token, and none was given; ask its owner for one and pass it by"
            " --token-file or CHAT_TOKEN"
        ),
        "UNAUTHENTICATED",
        is_final=True,
    ),
    "TOKEN_INVALID": Reason(
        N_(
            "the token that was given is wrong, or no longer holds; ask the owner of the server for"
            " the right one and pass it by --token-file or CHAT_TOKEN"
        ),
        "UNAUTHENTICATED",
        is_final=True,
    ),
    "TOO_MANY_GUESSES": Reason(
        N_("too many wrong tokens have come from this address; try again in a minute"),
        "RESOURCE_EXHAUSTED",
    ),
    "NAME_OWNED": Reason(
        N_("this name belongs to somebody else, or looks like one that does; choose another one"),
        "ALREADY_EXISTS",
        is_final=True,
    ),
    "NAME_CERTIFIED": Reason(
        N_(
            "names come from certificates here, and yours holds another one; connect under the name"
            " in it"
        ),
        "PERMISSION_DENIED",
        is_final=True,
    ),
    "CERTIFICATE_INVALID": Reason(
        N_(
            "your certificate holds no name that can be used here; ask whoever made it for another"
            " one"
        ),
        "PERMISSION_DENIED",
        is_final=True,
    ),
    "PROOF_INVALID": Reason(
        N_(
            "the proof that this name is yours is not valid; check this machine's clock and connect"
            " again"
        ),
        "UNAUTHENTICATED",
        is_final=True,
    ),
    "SERVER_FULL": Reason(N_("the server is full; try again later"), "RESOURCE_EXHAUSTED"),
    "ADDRESS_FULL": Reason(
        N_("too many clients are here from this address; try again later"), "RESOURCE_EXHAUSTED"
    ),
    "READER_STUCK": Reason(
        N_("nothing was read for a minute; connect again"), "RESOURCE_EXHAUSTED"
    ),
    "SHUTTING_DOWN": Reason(
        N_("the server is shutting down; connect again in a moment"), "UNAVAILABLE"
    ),
    "NOT_STORED": Reason(
        N_("the server could not store the message; send it again later"), "UNAVAILABLE"
    ),
    "LOG_UNREADABLE": Reason(
        N_("the server cannot read its log now; connect again later"), "UNAVAILABLE"
    ),
    "CLUSTER_AWAY": Reason(
        N_("names cannot be given out just now; try again in a moment"), "UNAVAILABLE"
    ),
    "SERVERS_AWAY": Reason(
        N_(
            "the server cannot store anything just now; what you say waits, and is refused where"
            " that takes longer than ten seconds"
        )
    ),
    "SERVERS_BACK": Reason(N_("the server can store what you say again")),
    "LOG_LOST": Reason(
        N_("the server's log was removed while it ran; connect again in a moment"), "UNAVAILABLE"
    ),
    "SESSION_REPLACED": Reason(
        N_("you came in elsewhere, in another terminal or on another machine, and go on there"),
        "ABORTED",
        is_final=True,
    ),
    "REMOVED": Reason(N_("you were removed from the chat"), "PERMISSION_DENIED", is_final=True),
    "BANNED": Reason(
        N_("there is a ban on you, this name or this address"),
        "PERMISSION_DENIED",
        is_final=True,
    ),
    "MUTED": Reason(
        N_("you are muted: only operators hear you, in private"),
        "PERMISSION_DENIED",
        is_final=True,
    ),
    "NOT_OPERATOR": Reason(N_("only an operator of this server may do that")),
    "OPERATOR_PROTECTED": Reason(
        N_(
            "operators are not removed, banned or muted, nor is an address that one of them has;"
            " the server's owner can take the name out of the list of operators first"
        )
    ),
    "ADDRESS_PROTECTED": Reason(
        N_(
            "the server's own machine cannot be banned: everybody behind a proxy there has its"
            " address; ban the name, or the address in the proxy"
        )
    ),
    "NOT_IN_FORCE": Reason(
        N_(
            "this name or address is not banned, or not muted, now; if you meant to ban or mute,"
            " look at the clock of this computer"
        )
    ),
    "TOO_MANY_IN_FORCE": Reason(N_("1000 are in force already; end some of them first")),
    "WORDS_TOO_LONG": Reason(
        N_(
            "a reason has at most 256 characters, an announcement 1000, on one line; make it"
            " shorter"
        )
    ),
    "USER_UNKNOWN": Reason(N_("nobody with this name is here; see who is with /who")),
    "USER_UNREACHABLE": Reason(
        N_("this person's client cannot take private messages; nothing was sent")
    ),
    "NAME_CLAIMED": Reason(N_("this name is yours now; nobody else can have it")),
    "AWAY": Reason(N_("this person is not here, and will get it when back")),
    "INBOX_FULL": Reason(
        N_("this person is away, and too many messages wait already; tell them later")
    ),
    "NOT_READ": Reason(
        N_("the person it was for has not come back, and may not have read it; tell them later")
    ),
    "KEY_UNKNOWN": Reason(
        N_("the key of this name has changed just now, or is gone; send it again")
    ),
    "NAME_UNOWNED": Reason(
        N_("nobody owns this name any more, so that nothing can be sealed for it; see /key NAME")
    ),
    "NOT_IN_ROOM": Reason(N_("you are not in this room; enter it first, with /join")),
    "ROOM_CLOSED": Reason(
        N_("this room is closed; ask its owner to invite you"),
        "PERMISSION_DENIED",
        is_final=True,
    ),
    "NOT_ROOM_OWNER": Reason(
        N_(
            "only the room's owner may do this; a room that you are the first to enter, under a"
            " name of your own, is yours to close"
        )
    ),
    "NO_OWN_NAME": Reason(
        N_("no name is yours on this server; to close a room takes TLS and a name of your own")
    ),
    "TOO_MANY_CLOSED": Reason(
        N_("you have closed 100 rooms already; use one of them, and invite other people")
    ),
    "TOO_MANY_GUESTS": Reason(
        N_("a closed room has at most 200 people, invited or inside; use another room as well")
    ),
    "TOO_MANY_ROOMS": Reason(N_("you are in 20 rooms already; leave one first, with /part")),
    "HISTORY_GONE": Reason(N_("some messages sent since you were last here are no longer kept")),
    "MORE_MISSED": Reason(
        N_("more was said since you were last here than comes by itself; /history shows it")
    ),
    "LOG_REWOUND": Reason(
        N_("the server's log was put back to an earlier state; messages may be missing"),
        "UNAVAILABLE",
    ),
    "NOT_A_CHAT": Reason(
        N_("something other than a chat server answers there; check the address"),
        is_final=True,
        is_local=True,
    ),
    "PLAIN_SERVER": Reason(
        N_("this server keeps no history and confirms nothing; it has the common room only"),
        is_local=True,
    ),
    "LAST_ROOM": Reason(
        N_("this is the only room that you are in; enter another one first, with /join"),
        is_local=True,
    ),
    "NOT_CONNECTED": Reason(
        N_("there is no connection to the server now; try again when it is back"), is_local=True
    ),
    "SERVER_SILENT": Reason(
        N_("the server has not answered yet; try again when it has"), is_local=True
    ),
    "KEY_INVALID": Reason(
        N_("a key has at most 256 characters, and each message one of its own; choose another one"),
        is_local=True,
    ),
    "KEY_CHANGED": Reason(
        N_(
            "the key of this name is not the one that you know; compare it with /key NAME, and"
            " accept it with /key NAME accept"
        ),
        is_local=True,
    ),
    "KEY_GONE": Reason(
        N_(
            "the server says that this name has no key any more; ask whoever had it, and then write"
            " unsealed after /key NAME accept"
        ),
        is_local=True,
    ),
    "KEY_BROKEN": Reason(
        N_("the server gives no valid key for this name; ask its owner what is wrong"),
        is_local=True,
    ),
    "NO_OWN_KEY": Reason(
        N_("you have no key on this server; it takes TLS and a name of your own"), is_local=True
    ),
    "TOO_MANY_KEYS": Reason(
        N_(
            "a thousand keys of this server are kept already; to keep one more, look at it with"
            " /key NAME, and accept it with /key NAME accept"
        ),
        is_local=True,
    ),
    "SEAL_INVALID": Reason(N_("it is damaged, or is not from this person to you"), is_local=True),
    "SEAL_OTHER_KEY": Reason(
        N_("it is sealed for another key than yours on this machine"), is_local=True
    ),
    "SEALING_MISSING": Reason(
        N_("PyNaCl, which seals private messages, is not installed; type: pip install PyNaCl"),
        is_local=True,
    ),
    "SEARCH_INVALID": Reason(
        N_("a search takes a word at least, and has at most 256 characters"), is_local=True
    ),
    "CLOSED": Reason(N_("the conversation is over"), is_local=True),
    "TOO_MUCH_WAITING": Reason(
        N_("too many messages wait for the server; send this one when they are confirmed"),
        is_local=True,
    ),
}

NO_DETAILS = Details()


class ChatError(Exception):
    """A refusal: `reason` is for programs (a key of `REASONS`), `str()` for people."""

    def __init__(self, reason: str, details: Details = NO_DETAILS) -> None:
        super().__init__(reason, details)
        self.reason = reason
        self.details = details

    def __str__(self) -> str:
        unknown = _("the server refuses, for a reason that is not known here ({reason})")
        return self.details.sentence(explain(self.reason, unknown.format(reason=self.reason)))

    def without_frames(self) -> ChatError:
        """Return the same refusal, to be kept: a raised one keeps all that its frames hold."""
        return ChatError(self.reason, self.details)


class ConfigError(Exception):
    """A configuration error that the user must fix; `str()` is the whole sentence, translated."""


class UsageError(ConfigError):
    """A wrong flag or variable, or a file that one of them names: the program ends with 2."""


def explain(reason: str, otherwise: str) -> str:
    """Return what `reason` means in the user's language, or `otherwise` for an unknown one."""
    return _(REASONS[reason].text) if reason in REASONS else otherwise


def is_local(reason: str) -> bool:
    """Say whether the client finds it out by itself: a server that says it says nothing known."""
    return reason in REASONS and REASONS[reason].is_local


def is_final(reason: str) -> bool:
    """Say whether another attempt would be refused for the same `reason`."""
    return reason in REASONS and REASONS[reason].is_final
