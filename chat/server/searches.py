"""What members search for: which messages of a room have some words.

Nobody finds what they may not hear: it is asked of a room that they are in, and of what they may
hear there, now and when the answer goes out. What is private is in no room. Knows no gRPC and no
SQL. `posting.py` calls it; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_FOUND, MAX_SEARCH_CHARACTERS
from chat.protocol.words import Query
from chat.server.asked import place_of
from chat.server.encoding import Delivery
from chat.server.hub import Hub
from chat.server.member import Member
from chat.server.replay import PART_BYTES, readable
from chat.server.subscription import Subscription

# A search that has not found enough by then says how far it has come.
SEARCH_SECONDS = 1.0
# So much of it costs as much as a question more, before the next one.
SECONDS_OF_A_QUESTION = 0.2
# So many members search at a time, each for a turn; the others wait for theirs.
SEARCHES_AT_ONCE = 1

Message = chat_pb2.Message


class Searches:
    """Answers SEARCH."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._searching = asyncio.Semaphore(SEARCHES_AT_ONCE)

    async def tell_found(self, member: Member, message: Message) -> None:
        """Tell a member what was found, as it is found, and how far was searched.

        Raises NOT_IN_ROOM, REQUEST_INVALID, LOG_UNREADABLE.
        """
        place = place_of(member, message.room)
        query = _query_in(message)
        before = min(message.id or self._end, self._end)
        clock = asyncio.get_running_loop().time
        left, spent_seconds = MAX_FOUND, 0.0
        while True:
            async with self._searching:
                started = clock()
                found, reached = await self._search(member, place, query, before, left)
                spent_seconds += clock() - started
            left -= len(found)
            await self._hand_over(member, message.key, place.room.key, found)
            if member.is_closing:
                return
            before = reached
            if not before or not left or spent_seconds >= SEARCH_SECONDS:
                break
        member.rate_limit.ask(spent_seconds / SECONDS_OF_A_QUESTION)
        room, kind = place.room.key, chat_pb2.KIND_SEARCH
        end = Message(user=member.name, kind=kind, key=message.key, room=room, id=before)
        member.queue.put_answer(Delivery([end]))

    @property
    def _end(self) -> int:
        """The first id that was not broadcast yet."""
        return self._hub.rooms.last_id + 1

    async def _search(
        self, member: Member, place: Subscription, query: Query, before: int, limit: int
    ) -> tuple[Sequence[Message], int]:
        """Search for one turn; return what was found, and how far it has come, 0 at the end."""
        key = place.room.key
        after = self._hub.closed.heard_after(key, member.person)
        found = await readable(self._hub.log.search(key, query, after, before, limit))
        if place.is_leaving or place.has_ended:  # it was turned out, or has gone, meanwhile
            raise ChatError("NOT_IN_ROOM")
        after = max(after, self._hub.closed.heard_after(key, member.person))
        return [one for one in found.messages if one.id > after], found.reached

    async def _hand_over(
        self, member: Member, key: str, room: str, found: Sequence[Message]
    ) -> None:
        """Answer in parts, each when the one before is written: there is never more of it."""
        for batch in _in_parts(found):
            await member.queue.wait_answered()
            if member.is_closing:
                return
            part = Message(kind=chat_pb2.KIND_SEARCH, room=room, key=key, batch=batch)
            member.queue.put_answer(Delivery([part]))


def _query_in(message: Message) -> Query:
    """Return what is searched for; raises REQUEST_INVALID where there is no word in it."""
    if len(message.message) > MAX_SEARCH_CHARACTERS:
        raise ChatError("REQUEST_INVALID")
    query = Query.of(message.message)
    if not query.terms:
        raise ChatError("REQUEST_INVALID")
    return query


def _in_parts(found: Sequence[Message]) -> Iterator[list[Message]]:
    """Yield the messages in portions that are no larger than a batch, or a single one."""
    part: list[Message] = []
    size = 0
    for message in found:
        size += message.ByteSize()
        if part and size > PART_BYTES:
            yield part
            part, size = [], message.ByteSize()
        part.append(message)
    if part:
        yield part
