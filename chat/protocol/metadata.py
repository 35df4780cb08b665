"""What travels beside the messages: the request's and the server's metadata, spelled once.

`JoinRequest` is what a full client says of itself, `Greeting` the server's first word. Both sides
make one into metadata and the other out of them; neither knows gRPC.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass

from chat.protocol.errors import ChatError
from chat.protocol.limits import DEFAULT_HISTORY
from chat.protocol.names import COMMON_ROOM

USER = "chat-user-bin"  # its presence makes a client a full one
ROOM = "chat-room-bin"
SESSION = "chat-session"
INBOX = "chat-inbox"  # its presence: the client knows rooms beside the first, and private ids
GENERATION = "chat-generation"  # the same word in the server's initial metadata
AFTER = "chat-after"  # the same word in the server's initial metadata
HISTORY = "chat-history"
AT_MOST = "chat-at-most"
BATCH = "chat-batch"
EPOCH = "chat-epoch"
PEOPLE = "chat-people"
AUTHORIZATION = "authorization"
PROOF = "chat-proof"  # that the name is its owner's: see proof.py
# In the trailing metadata of PROOF_INVALID: the server's clock, in whole seconds since 1970.
TIME = "chat-time"
# In the trailing metadata of a refusal, for clients without the rich error model.
REASON = "chat-reason"

MAX_ID = (1 << 63) - 1  # the largest that a log holds
# Twenty digits hold every uint64.
MAX_DIGITS = 20
# Longer than any that a log gives.
MAX_GENERATION_CHARACTERS = 64
_SESSION = re.compile("[0-9a-fA-F]{32}")

Pair = tuple[str, "str | bytes"]


@dataclass(frozen=True)
class JoinRequest:
    """What a client says of itself when it opens its stream; a plain one says nothing.

    `after`: the id of the last message seen, None for a newcomer, who gets the last `history`.
    `inbox`: the id of the last private message seen, None for a client of the first contract, which
    knows one room and no private ids. `generation`: in which of the log's openings those ids were
    seen, empty: not said. `at_most`: of what came after `after` the newest so many, None for all of
    it. `session`: 32 hex digits, or empty. `proof`: that the name is this
    client's (`proof.py`), or empty. `token`: sent only; the server checks it elsewhere.
    """

    user: str | None = None
    room: str = COMMON_ROOM
    session: str = ""
    after: int | None = None
    inbox: int | None = None
    generation: str = ""
    history: int = DEFAULT_HISTORY
    at_most: int | None = None
    wants_batches: bool = False
    proof: str = ""
    token: str = ""

    @property
    def is_full(self) -> bool:
        return self.user is not None

    @classmethod
    def from_metadata(cls, pairs: Iterable[Pair]) -> JoinRequest:
        """Read it out of a request's metadata; raises `ChatError` where they make no sense."""
        metadata = dict(pairs)
        if USER not in metadata:
            return cls()
        session = _text(metadata, SESSION)
        if session and not _SESSION.fullmatch(session):
            raise ChatError("REQUEST_INVALID")
        history = _number(metadata, HISTORY)
        return cls(
            user=_text(metadata, USER, "NAME_INVALID"),
            room=_text(metadata, ROOM, "ROOM_INVALID"),
            session=session,
            after=_number(metadata, AFTER),
            inbox=_number(metadata, INBOX),
            generation=_text(metadata, GENERATION)[:MAX_GENERATION_CHARACTERS],
            history=DEFAULT_HISTORY if history is None else history,
            at_most=_number(metadata, AT_MOST),
            wants_batches=_text(metadata, BATCH) == "1",
            proof=_text(metadata, PROOF),
        )

    def to_metadata(self) -> list[Pair]:
        """Return the metadata by which a full client opens its stream."""
        metadata: list[Pair] = [(USER, (self.user or "").encode())]
        if self.session:
            metadata.append((SESSION, self.session))
        if self.wants_batches:
            metadata.append((BATCH, "1"))
        if self.room:
            metadata.append((ROOM, self.room.encode()))
        if self.after is not None:
            metadata.append((AFTER, str(self.after)))
            if self.at_most is not None:
                metadata.append((AT_MOST, str(self.at_most)))
        else:
            metadata.append((HISTORY, str(self.history)))
        if self.inbox is not None:
            metadata.append((INBOX, str(self.inbox)))
        if self.generation:
            metadata.append((GENERATION, self.generation))
        if self.proof:
            metadata.append((PROOF, self.proof))
        if self.token:
            metadata.append((AUTHORIZATION, bearer(self.token)))
        return metadata


@dataclass(frozen=True)
class Greeting:
    """The server's first word: which log this is, and after which id the stream begins.

    A server without `epoch` is a plain one. `generation`: which opening of the log. `people`: how
    many are in the first room, the client included. `after` and `people` are None where the server
    did not say.
    """

    epoch: str = ""
    after: int | None = None
    generation: str = ""
    people: int | None = None

    @classmethod
    def from_metadata(cls, pairs: Iterable[Pair]) -> Greeting:
        """Read it out of a server's initial metadata; what makes no sense was not said."""
        metadata = dict(pairs)
        epoch = _word(metadata, EPOCH)
        generation = _word(metadata, GENERATION)
        after, people = _number_said(metadata, AFTER), _number_said(metadata, PEOPLE)
        return cls(epoch, after, generation, people)

    def to_metadata(self) -> tuple[tuple[str, str], ...]:
        """Return the initial metadata of a stream."""
        numbers = ((AFTER, self.after), (PEOPLE, self.people))
        said = ((key, str(number)) for key, number in numbers if number is not None)
        return ((EPOCH, self.epoch), (GENERATION, self.generation), *said)


def bearer(token: str) -> str:
    """Return the value of `authorization` for `token` (RFC 6750)."""
    return f"Bearer {token}"


def session_in(metadata: Mapping[str, str | bytes]) -> str:
    """Return the session in a request's metadata, empty where there is none that could be one."""
    session = metadata.get(SESSION, "")
    return session if isinstance(session, str) and _SESSION.fullmatch(session) else ""


def _number_said(metadata: dict[str, str | bytes], key: str) -> int | None:
    """Return the number under `key`, None where there is none, or none that makes sense."""
    with suppress(ChatError):
        return _number(metadata, key)
    return None


def _text(metadata: dict[str, str | bytes], key: str, reason: str = "REQUEST_INVALID") -> str:
    value = metadata.get(key, "")
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        raise ChatError(reason) from None


def _word(metadata: dict[str, str | bytes], key: str) -> str:
    """Return what a server calls its log, of which nothing but the beginning is kept.

    What cannot stand in metadata (visible ASCII) is none: it is sent back.
    """
    with suppress(ChatError):
        text = _text(metadata, key)[:MAX_GENERATION_CHARACTERS]
        return text if is_word(text) else ""
    return ""


def is_word(text: str) -> bool:
    """Say whether it can stand in metadata, which gRPC would raise for else: ASCII, visible."""
    return text.isascii() and text.isprintable()


def _number(metadata: dict[str, str | bytes], key: str) -> int | None:
    """Return the number under `key`, None where there is none.

    Digits only, and not too many of them: int() takes signs, spaces and underscores as well.
    """
    text = _text(metadata, key)
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS):
        raise ChatError("REQUEST_INVALID")
    return min(int(text), MAX_ID)
