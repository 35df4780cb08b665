"""What members wish of the doors of rooms: to close one, or open it; to invite, or turn out.

Knows no gRPC and no SQL. `posting.py` calls it; everything runs in the event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import NamedTuple

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.server.closed_rooms import ClosedRoom, own_id, owner_id
from chat.server.directory import Person
from chat.server.encoding import Delivery
from chat.server.hub import Hub
from chat.server.log.base import Entry
from chat.server.member import Member
from chat.server.moderation import who_is
from chat.server.neighbours import Neighbour

Message = chat_pb2.Message
# Has a message appended to a room, and returns what became of it, later.
Append = Callable[[Member, str, Message], Awaitable[Entry]]
# Answers a key that was appended before, if it was.
WasSaid = Callable[[Member, Message], Awaitable[bool]]


class Guest(NamedTuple):
    """Somebody whom a name means: `id` as `own_id` has it, where to write to, and the session.

    `rooms`: the keys of those where they are at another server.
    """

    name: str
    id: str
    inbox: str
    identity: str = ""
    is_here: bool = False
    rooms: tuple[str, ...] = ()


class Doors:
    """CLOSED, OPENED, INVITED, and EXITED of somebody else, as members wish them."""

    def __init__(self, hub: Hub, append: Append, was_said: WasSaid) -> None:
        self._hub = hub
        self._append = append
        self._was_said = was_said
        self._wishes = {
            chat_pb2.KIND_CLOSED: self._close,
            chat_pb2.KIND_OPENED: self._open,
            chat_pb2.KIND_INVITED: self._invite,
            chat_pb2.KIND_EXITED: self._turn_out,
        }

    async def post(self, member: Member, message: Message, key: str) -> None:
        """Do what a member wishes of the room with this key, or raise `ChatError`."""
        person = _person_of(member)
        self._hub.closed.check(key, person)
        fact = Message(user=member.name, kind=message.kind, key=message.key, room=key)
        fact.to = message.to[: MAX_RAW_NAME_CHARACTERS + 1]
        await self._wishes[message.kind](member, person, fact)

    async def _close(self, member: Member, person: Person, fact: Message) -> None:
        """Close a room: at once, so that nobody comes in while that is being written.

        Not by a wish that is sent again, which may have been fulfilled, and the room opened since.
        """
        self._check_may_close(member, person, fact.room)
        fact.to = ""
        if await self._was_said(member, fact):
            return
        _check_still_here(member)
        self._check_may_close(member, person, fact.room)  # another may have closed it meanwhile
        if not self._hub.closed.is_closed(fact.room):
            inside = self._hub.rooms[fact.room].persons()
            self._hub.closed.close(fact.room, person, inside, self._ids_elsewhere(fact.room))
        await self._append(member, fact.room, fact)

    def _check_may_close(self, member: Member, person: Person, key: str) -> None:
        if key not in member.rooms:
            raise ChatError("NOT_IN_ROOM")
        if not self._may_close(key, person):
            is_nobodys = key and not self._hub.closed.is_closed(key)
            is_unable = is_nobodys and not person.owner
            raise ChatError("NO_OWN_NAME" if is_unable else "NOT_ROOM_OWNER")

    def _may_close(self, key: str, person: Person) -> bool:
        """Say whether a room is somebody's own: it is alone there, or came when nobody was."""
        if self._hub.closed.is_closed(key):
            return self._hub.closed.is_owner(key, person)
        room = self._hub.rooms[key]
        has_others = room.has_others(person) or self._hub.closed.has_elsewhere(key)
        is_first = room.founder == own_id(person) or not has_others
        return bool(key) and person.owns_name and is_first

    def _ids_elsewhere(self, key: str) -> list[str]:
        """Return who is in a room at other servers, as `own_id` has them."""
        find = self._hub.neighbours.find
        found = (find(name) for name in self._hub.neighbours.names_in(key))
        return [self._id_of(neighbour) for neighbour in found if neighbour is not None]

    def _id_of(self, neighbour: Neighbour) -> str:
        """Return who somebody at another server is, who has an owned name only as its owner."""
        owned = self._hub.owners.find(neighbour.name)
        return neighbour.identity if owned is None else owner_id(owned.name, owned.owner)

    async def _open(self, member: Member, person: Person, fact: Message) -> None:
        """Open a room when that is in the log: all that was said before is for its guests."""
        closed = self._hub.closed
        fact.to = ""
        closing = closed.closing(fact.room)
        if closing is None:
            await self._answer(member, fact)
            return
        if not (closed.is_owner(fact.room, person) or closed.is_operator(person)):
            raise ChatError("NOT_ROOM_OWNER")
        entry = await self._append(member, fact.room, fact)
        await member.wait_committed()
        # One that was said before this closing was fulfilled then; one that was said since, and is
        # repeated, by a server that ended before it had noted that.
        is_for_it = not entry.is_lost and entry.message.id > closing.closed_after
        if is_for_it and closed.closing(fact.room) is closing:
            last_id = self._hub.rooms.last_id if entry.is_repeated else entry.message.id - 1
            closed.open(fact.room, last_id)

    async def _invite(self, member: Member, person: Person, fact: Message) -> None:
        """Let somebody in, and have it told in their inbox.

        Who is inside need not know. Who was invited before and is away finds it there already.
        While this waits, the room may be opened, and closed by somebody else.
        """
        closed = self._hub.closed
        self._check_may_invite(fact.room, person)
        closing = closed.closing(fact.room)
        guest = self._find_guest(fact.to)
        fact.to = guest.name
        async with self._room_for(member, guest):
            _check_still_here(member)
            self._check_may_invite(fact.room, person, closing)
            is_new = closed.invite(fact.room, guest.id)
            is_inside = fact.room in guest.rooms or bool(self._inside(fact.room, guest))
            if is_inside or not (is_new or guest.is_here):
                await self._answer(member, fact)
                return
            fact.message = fact.room  # since its row says that it is in the inbox
            entry = await self._append(member, guest.inbox, fact)
            await member.wait_committed()
        if entry.is_lost and is_new and closed.closing(fact.room) is closing:
            closed.uninvite(fact.room, {guest.id})

    def _check_may_invite(
        self, key: str, person: Person, closing: ClosedRoom | None = None
    ) -> None:
        """Raise NOT_ROOM_OWNER, also where it is not this `closing` any more; raise MUTED."""
        self._check_owner(key, person)
        if closing is not None and self._hub.closed.closing(key) is not closing:
            raise ChatError("NOT_ROOM_OWNER")
        self._hub.moderation.check_may_speak(who_is(person))  # the room's name is words too

    def _room_for(self, member: Member, guest: Guest) -> AbstractAsyncContextManager[None]:
        """Have room in the inbox of somebody who is away; raises INBOX_FULL."""
        owned = None if guest.is_here else self._hub.owners.find(guest.name)
        return nullcontext() if owned is None else self._hub.mail.room_for(owned, member)

    async def _turn_out(self, member: Member, person: Person, fact: Message) -> None:
        """Take an invitation back; who is inside has to leave, at whichever server."""
        self._check_owner(fact.room, person)
        guest = self._find_guest(fact.to)
        fact.to = guest.name
        if guest.id == own_id(person):
            raise ChatError("REQUEST_INVALID")
        self._hub.closed.uninvite(fact.room, {guest.id, guest.identity})
        for inside in self._inside(fact.room, guest):
            self._hub.places.turn_out(inside, fact.room)
        member.queue.put_answer(Delivery([fact]))

    def _check_owner(self, key: str, person: Person) -> None:
        if not self._hub.closed.is_owner(key, person):
            raise ChatError("NOT_ROOM_OWNER")

    def _find_guest(self, name: str) -> Guest:
        """Return who is called so. Of an owned name that is its owner, here or not.

        Else it is whoever has it now. Raises USER_UNKNOWN, and USER_UNREACHABLE for one who cannot
        enter rooms.
        """
        is_name = 0 < len(name) <= MAX_RAW_NAME_CHARACTERS
        present = self._hub.directory.find(name) if is_name else None
        neighbour = self._hub.neighbours.find(name) if is_name and present is None else None
        if neighbour is not None:
            return self._guest_elsewhere(neighbour)
        owned = self._hub.owners.find(name) if is_name else None
        if owned is not None and (present is None or present.owner != owned.owner):
            return Guest(owned.name, owner_id(owned.name, owned.owner), owned.inbox)
        if present is None:
            raise ChatError("USER_UNKNOWN")
        if present.member is not None and not present.member.is_full:
            raise ChatError("USER_UNREACHABLE")
        is_here = present.member is not None
        return Guest(present.name, own_id(present), present.inbox, present.identity, is_here)

    def _guest_elsewhere(self, neighbour: Neighbour) -> Guest:
        """Return somebody at another server; raises USER_UNREACHABLE as `_find_guest`."""
        if not neighbour.inbox:
            raise ChatError("USER_UNREACHABLE")
        guest, rooms = self._id_of(neighbour), neighbour.rooms
        return Guest(neighbour.name, guest, neighbour.inbox, neighbour.identity, True, rooms)

    def _inside(self, key: str, guest: Guest) -> list[Person]:
        """Return the guest if it is in a room, or expected back there."""
        room = self._hub.rooms.get(key)
        persons = room.persons() if room is not None else []
        return [person for person in persons if own_id(person) == guest.id]

    async def _answer(self, member: Member, fact: Message) -> None:
        """Answer a wish that was fulfilled before."""
        if not await self._was_said(member, fact):
            member.queue.put_answer(Delivery([fact]))


def _check_still_here(member: Member) -> None:
    """Raise SHUTTING_DOWN for one whose stream has ended while its wish waited."""
    if member.is_closing:
        raise ChatError("SHUTTING_DOWN")


def _person_of(member: Member) -> Person:
    assert member.person is not None  # a plain one wishes nothing
    return member.person
