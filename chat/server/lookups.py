"""What members ask for: who is in a room, which rooms there are, what was said before.

Knows no gRPC and no SQL. `posting.py` calls it; everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable
from contextlib import nullcontext
from heapq import nsmallest

import chat_pb2
from chat.protocol.counts import counts_in
from chat.server.asked import asked_room, place_of
from chat.server.encoding import Delivery
from chat.server.hub import Hub
from chat.server.member import Member
from chat.server.neighbours import present
from chat.server.replay import History, readable

# Of the answer to ROOMS: those with the most people.
MAX_LISTED_ROOMS = 1000
# And so many of them are one part of it: less than a batch, however long they are.
ROOMS_IN_PART = 100
# So many messages of an answer cost as much as a question more, before the next one.
ANSWERS_OF_A_QUESTION = 250
# Long answers are written one after the other; one whose reader takes so long for a part goes on
# beside the rest.
ANSWER_SECONDS = 0.02

Message = chat_pb2.Message


class Lookups:
    """Answers WHO, ROOMS and HISTORY."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        # Whose turn it is to be answered at length. A part is a hundred writes to a client that
        # takes no batches: those of many at once would be between anybody else's words.
        self._answering = asyncio.Semaphore(1)

    async def tell_who(self, member: Member, message: Message) -> None:
        """Tell a member who is in a room, at any server. Raises ROOM_CLOSED, NOT_IN_ROOM."""
        key = asked_room(member, message)
        self._hub.closed.check(key, member.person)
        room = self._hub.rooms.get(key)
        if room is not None:
            await self._answer(member, room.list_names())
        if elsewhere := self._hub.neighbours.names_in(key):
            await self._answer(member, present(key, elsewhere))
        if message.key:  # the echo is the acknowledgement, and the end of the list
            end = Message(user=member.name, kind=chat_pb2.KIND_WHO, key=message.key, room=key)
            member.queue.put_answer(Delivery([end]))

    async def tell_rooms(self, member: Member, message: Message) -> None:
        """Tell a member which rooms have people, those with the most."""
        counts = self._hub.neighbours.counts()
        for room in self._hub.rooms.values():
            if not room.is_inbox:
                counts[room.key] = counts.get(room.key, 0) + room.people
        admits = self._hub.closed.admits
        rooms = [(-people, key) for key, people in counts.items() if admits(key, member.person)]
        kind = chat_pb2.KIND_ROOMS
        answer = [
            Message(kind=kind, room=key, message=str(-people))
            for people, key in nsmallest(MAX_LISTED_ROOMS, rooms)
            if people
        ]
        starts = range(0, len(answer), ROOMS_IN_PART)
        parts = (Delivery(answer[start : start + ROOMS_IN_PART]) for start in starts)
        await self._answer(member, parts)
        member.queue.put_answer(Delivery([Message(kind=kind, key=message.key)]))

    async def tell_history(self, member: Member, message: Message) -> None:
        """Begin to tell a member what was said in one of its rooms. Raises LOG_UNREADABLE."""
        key = place_of(member, message.room).room.key
        count, count_after = counts_in(message.message, message.id)
        end = self._hub.rooms.last_id + 1
        before = min(message.id or end, end)
        start = before - 1
        if count:
            start = await readable(self._hub.log.start_of_last(key, count, before))
        if count_after:
            reading = self._hub.log.read(key, before - 1, count_after, end)
            before = max((one.id + 1 for one in await readable(reading)), default=before)
        start = max(start, self._hub.closed.heard_after(key, member.person))
        member.replay.begin_history(History(key, message.key, start, before))

    async def _answer(self, member: Member, parts: Iterable[Delivery]) -> None:
        """Answer in parts, each when the one before is written: there is never more of it."""
        is_quick = True
        for part in parts:
            await member.queue.wait_answered()
            if member.is_closing:
                return
            member.rate_limit.ask(len(part.messages) / ANSWERS_OF_A_QUESTION)
            async with self._answering if is_quick else nullcontext():
                member.queue.put_answer(part)
                is_quick = is_quick and await _is_soon(member.queue.wait_answered())


async def _is_soon(waiting: Coroutine[None, None, None]) -> bool:
    """Wait `ANSWER_SECONDS` at most; say whether it is done by then."""
    try:
        await asyncio.wait_for(waiting, ANSWER_SECONDS)
    except asyncio.TimeoutError:
        return False
    return True
