"""What a server says, bounded and cleaned before anything of ours keeps, shows or hands it on.

Trusts no server: whatever one of ours would never send is cut, cleaned or dropped here, so that
nothing behind it need ask how long a name is. Knows no session; the receiver lets each message pass
through here, in the thread that iterates.
"""

from __future__ import annotations

from collections.abc import Iterator

from chat.protocol.errors import REASONS, is_local
from chat.protocol.kinds import DOORS, MODERATION, PRESENCE, READINGS, SAID
from chat.protocol.limits import (
    MAX_KEY_CHARACTERS,
    MAX_RAW_NAME_CHARACTERS,
    MAX_SEALED_BYTES,
)
from chat.protocol.text import REPLACEMENT, clean_message
from chat_pb2 import (
    KIND_INVITED,
    KIND_KEY,
    KIND_NOTICE,
    KIND_RENAMED,
    KIND_UNSPECIFIED,
    Kind,
    Message,
)

# Twice what the contract allows: a server that knows two fields may allow more. The line editor
# holds five thousand of them while the terminal takes nothing.
MAX_TEXT_CHARACTERS = 16 << 10
# The sentence of a notice, or an operator's reason.
MAX_SENTENCE_CHARACTERS = 1024
# What google.protobuf.Timestamp can be: of the years 1 to 9999 (timestamp.proto).
MIN_SECONDS, MAX_SECONDS = -62_135_596_800, 253_402_300_799
NANOS_A_SECOND = 1_000_000_000

_KINDS = frozenset(Kind.values())


def unpacked(message: Message) -> Iterator[Message]:
    """Yield what one message of a stream brings, in order: itself, or those of its batch.

    Cleaned in place. What is of no known kind, or says nothing, is left out.
    """
    is_batch = message.batch and message.kind not in READINGS
    for item in message.batch if is_batch else (message,):
        if _clean(item):
            yield item


def _clean(message: Message) -> bool:
    """Clean one message; say whether it is to be handed on."""
    if message.kind not in _KINDS:
        return False
    if message.HasField("sent_at") and not _is_time(message):
        message.ClearField("sent_at")
    if len(message.key) > MAX_KEY_CHARACTERS:
        message.key = ""  # none of ours
    _clean_names(message)
    if message.sealed:
        _clean_sealed(message)
    _clean_text(message)
    if message.batch:
        _clean_parts(message)
    return _says_something(message)


def _clean_parts(message: Message) -> None:
    """Clean what is in an answer to HISTORY or SEARCH, said in its room; nothing else has parts."""
    parts = message.batch if message.kind in READINGS else ()
    for part in parts:
        part.ClearField("sealed")
    kept = Message(batch=[part for part in parts if not part.batch and _clean(part)])
    for part in kept.batch:
        part.room = message.room
    message.ClearField("batch")
    message.batch.extend(kept.batch)


def _is_time(message: Message) -> bool:
    sent_at = message.sent_at
    is_date = MIN_SECONDS <= sent_at.seconds <= MAX_SECONDS
    return is_date and 0 <= sent_at.nanos < NANOS_A_SECOND


def _clean_names(message: Message) -> None:
    if (user := _as_name(message.user)) != message.user:
        message.user = user
    if (to := _as_name(message.to)) != message.to:
        message.to = to
    if (room := _as_name(message.room)) != message.room:
        message.room = room


def _as_name(text: str) -> str:
    if text.isascii() and text.isprintable() and len(text) <= MAX_RAW_NAME_CHARACTERS:
        return text
    return _on_one_line(text[:MAX_RAW_NAME_CHARACTERS])


def _on_one_line(text: str) -> str:
    return clean_message(text).replace("\n", REPLACEMENT).replace("\t", REPLACEMENT)


def _clean_sealed(message: Message) -> None:
    """Let what is sealed be all that a private message says; elsewhere there is nothing sealed."""
    is_private = bool(message.to) and message.kind == KIND_UNSPECIFIED
    if is_private:
        message.message = ""
    elif message.kind != KIND_KEY:
        message.ClearField("sealed")
    if len(message.sealed) > MAX_SEALED_BYTES:
        message.sealed = message.sealed[:MAX_SEALED_BYTES]


def _clean_text(message: Message) -> None:
    text = message.message
    if message.kind in SAID:
        cleaned = clean_message(text[:MAX_TEXT_CHARACTERS])
    elif message.kind == KIND_NOTICE:
        if is_local(message.user):
            message.user = ""
        cleaned = clean_message(text[:MAX_SENTENCE_CHARACTERS])
    elif message.kind in MODERATION:
        cleaned = clean_message(text[:MAX_SENTENCE_CHARACTERS])
    else:  # a name or a number
        cleaned = _as_name(text)
    if cleaned != text:
        message.message = cleaned


def _says_something(message: Message) -> bool:
    """Say whether a line can be made of it; what carries a key may answer something of ours."""
    if message.key:
        return True
    if message.kind in SAID:
        return bool(message.message or message.sealed)
    if message.kind == KIND_NOTICE:
        return bool(message.message) or message.user in REASONS
    if message.kind in MODERATION:
        return bool(message.to)
    if message.kind in PRESENCE:
        return bool(message.user) and (message.kind != KIND_RENAMED or bool(message.message))
    if message.kind in DOORS:
        is_whole = message.kind != KIND_INVITED or bool(message.to and message.room)
        return bool(message.user) and is_whole
    return True
