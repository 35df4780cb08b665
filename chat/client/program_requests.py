"""What a program asks of the server by a message that it made: for each kind a call of the session.

In the main thread.
"""

from __future__ import annotations

from collections.abc import Callable

from chat.client.session import Session
from chat.protocol.counts import count_in, counts_in
from chat.protocol.errors import ChatError
from chat.protocol.kinds import MODERATION
from chat.protocol.limits import DEFAULT_HISTORY
from chat_pb2 import (
    KIND_CLOSED,
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_INVITED,
    KIND_KEY,
    KIND_NOTICE,
    KIND_OPENED,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_SEARCH,
    KIND_WHO,
    Message,
)


def request(session: Session, made: Message) -> None:
    """Ask what a message asks that says nothing itself.

    Raises `ChatError`: REQUEST_INVALID for a kind that no client may send, and what the session's
    methods raise.
    """
    if (call := _CALLS.get(made.kind)) is None:
        raise ChatError("REQUEST_INVALID")
    call(session, made)


def _room(made: Message) -> str | None:
    return made.room or None


def _enter(session: Session, made: Message) -> str:
    count = count_in(made.message) if made.message else None
    return session.enter(made.room, count, made.key, made.id or None)


def _exit(session: Session, made: Message) -> str:
    if made.to:
        return session.uninvite(made.to, _room(made), made.key)
    return session.leave(made.room, made.key)


def _history(session: Session, made: Message) -> str:
    count, after = counts_in(made.message or str(DEFAULT_HISTORY), made.id)
    if "+" in made.message:
        return session.around(made.id, count, _room(made), made.key, after)
    return session.history(count, _room(made), made.id, made.key)


def _moderate(session: Session, made: Message) -> str:
    until = made.sent_at.ToNanoseconds() / 1e9 if made.HasField("sent_at") else None
    return session.moderate(made.kind, made.to, made.message, until, made.key)


_CALLS: dict[int, Callable[[Session, Message], str]] = {
    KIND_RENAMED: lambda session, made: session.rename(made.message, made.key),
    KIND_WHO: lambda session, made: session.ask_who(_room(made), made.key),
    KIND_ROOMS: lambda session, made: session.ask_rooms(made.key),
    KIND_KEY: lambda session, made: session.ask_key(made.to, made.key),
    KIND_ENTERED: _enter,
    KIND_EXITED: _exit,
    KIND_CLOSED: lambda session, made: session.close_room(_room(made), made.key),
    KIND_OPENED: lambda session, made: session.open_room(_room(made), made.key),
    KIND_INVITED: lambda session, made: session.invite(made.to, _room(made), made.key),
    KIND_HISTORY: _history,
    KIND_SEARCH: lambda session, made: session.search(made.message, _room(made), made.id, made.key),
    KIND_NOTICE: lambda session, made: session.announce(made.message, made.key),
    **dict.fromkeys(MODERATION, _moderate),
}
