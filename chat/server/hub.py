"""Every room of one server: who comes and goes, and what becomes of what the log has committed.

Knows no gRPC and no SQL. `server.py` joins a member for each stream and hands it what the log
commits; what a member says is in `posting.py`. Everything runs in the event loop.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence

import chat_pb2
from chat.protocol.errors import ChatError, explain
from chat.protocol.limits import HELD_SECONDS, MAX_ROOMS
from chat.protocol.metadata import Greeting, JoinRequest
from chat.protocol.names import check_name, check_room, name_key
from chat.server.admission import places_of_address
from chat.server.certified_names import check_certified
from chat.server.closed_rooms import ClosedRooms, tell_invitations
from chat.server.directory import (
    Directory,
    Person,
    asking_person,
    new_identity,
)
from chat.server.encoding import Backlog, Delivery, cut
from chat.server.held_names import HeldNames
from chat.server.log.base import Entry, Log, Missing, Place
from chat.server.mail import UNCERTAIN_SECONDS, Mail
from chat.server.member import Member
from chat.server.moderation import Moderation, Who, who_is
from chat.server.neighbours import Alone, Neighbours
from chat.server.ownership import CERTIFIED, Owners
from chat.server.rate_limit import RateLimits
from chat.server.records import HOLDER, Holder
from chat.server.replay import PageBudget
from chat.server.room import Room, is_inbox
from chat.server.sealed import Bundles
from chat.server.subscription import Subscription


class Hub:
    """The rooms, their members, and the answers to those who spoke.

    `rate`: messages a second for each person, 0 for no limit; `limits`: all of them, where others
    than the usual ones are wanted. `max_per_address`: names that are held for one address, as in
    `admission.places_of_address`. `owns_names`: whoever first proves a key under a name owns it.
    `rooms`: by key, inboxes among them; empty ones are forgotten.
    """

    def __init__(
        self,
        log: Log,
        max_clients: int,
        rate: float,
        limits: RateLimits | None = None,
        max_per_address: int = 0,
        owns_names: bool = True,
        neighbours: Neighbours | None = None,
    ) -> None:
        self.log = log
        self.neighbours = neighbours or Alone()
        self.directory = Directory()
        self.owners = Owners(log, is_enforced=owns_names)
        self.bundles = Bundles(log, self.owners)
        self.mail = Mail(log, self.owners)
        self.moderation = Moderation(log, self.owners)
        self.members: set[Member] = set()
        self.rooms: dict[str, Room] = {}
        self.is_stopping = False
        self.last_id = 0  # the newest log message that was broadcast
        self.closed = ClosedRooms(log, lambda: self.last_id, self.rooms)
        self.closed.is_operator = lambda who: self.moderation.is_operator(who.name, who.owner)
        self._max_clients = max_clients
        self._limits = limits or RateLimits(rate)
        self._held = HeldNames(max_clients, places_of_address(max_clients, max_per_address))
        self._backlog = Backlog()
        self._page_budget = PageBudget()

    async def start(self) -> None:
        """Find out where the log ends, and whose names are held; before anybody joins."""
        self.last_id = await self.log.last_id()
        await self.owners.load()
        await self.bundles.load()
        await self.moderation.load()
        for identity, text in (await self.log.records(HOLDER)).items():
            try:
                holder = Holder.from_text(text)
                async with self.neighbours.reserving(holder.name, identity):
                    person = self.directory.add(holder.name, identity, session=identity)
            except (ChatError, ValueError):  # by the rules of this version it is no name to hold
                self.log.keep(HOLDER, identity, None)
            else:
                person.owner = holder.owner if self.owners.is_enforced else ""
                owned = self.owners.find(holder.name)
                if owned is not None and owned.owner == person.owner:
                    person.owns_name, person.inbox = True, owned.inbox
                self._hold(person, holder.rooms, self.last_id)
                self._note(person)
        await self.closed.load(lambda identity: self.directory.of_identity(identity) is not None)

    # Coming.

    async def join(
        self, request: JoinRequest, address: str = "", owner: str = "", certified: str = ""
    ) -> Member:
        """Return a new member, in its room and with its name if it is a full one, or raise.

        `address`: the peer's; empty: not known, or of no account (loopback). `owner`: who has
        proved that the name is its own. `certified`: the only name that it may have. Raises
        `ChatError`: SHUTTING_DOWN, SERVER_FULL, NAME_INVALID, NAME_TAKEN, NAME_OWNED,
        NAME_CERTIFIED, BANNED, ROOM_INVALID, ROOM_CLOSED, LOG_UNREADABLE. The caller must
        `leave()` with the member, whatever happens to the stream.
        """
        room_key = name_key(check_room(request.room))
        person = self._known(request, owner)
        if person is not None:
            check_certified(person.name, certified)  # all of them have the same owner
        self._check_place_for(person)
        member = Member(request, self.log, self._page_budget, address, certified)
        if request.user is None:
            self.moderation.check_in(Who(address=address))
        else:
            await self._come(member, request, person, owner, room_key)
        owner = member.key_owner if member.person is not None else new_identity()
        member.rate_limit = self._limits.join(owner, address)
        self.members.add(member)
        self.enter(member, room_key)
        self._tidy_rooms(member)
        try:
            await self._begin(member, request)
        except BaseException:  # its line was lost again, or the log cannot be read just now
            self.leave(member, is_lost=True)
            raise
        return member

    async def _come(
        self,
        member: Member,
        request: JoinRequest,
        person: Person | None,
        owner: str,
        room_key: str,
    ) -> None:
        """Give a full member its name; it may wait for other servers. Raises as `join`."""
        asker = asking_person(check_name(request.user or ""), request.session, owner)
        asker.address = member.address
        self._check_may_come(asker, person, room_key)
        before = person.identity if person is not None else ""
        async with self.neighbours.reserving(asker.name, asker.identity, before) as has_waited:
            if has_waited:
                person = self._known(request, owner)
                self._check_place_for(person)
                self._check_may_come(asker, person, room_key)
            self._identify(member, person, asker)

    def _check_may_come(self, asker: Person, person: Person | None, room_key: str) -> None:
        """Raise where somebody may not have its name, or enter the room; `person`: it until now."""
        self.moderation.check_in(who_is(asker))
        self.owners.check(asker.name, asker.owner)
        self.directory.check_free(asker.name, person, asker.owner)
        self.closed.check(room_key, asker)

    def _check_place_for(self, person: Person | None) -> None:
        """Raise where nobody more is taken; somebody's own ghost makes place for him."""
        if self.is_stopping:
            raise ChatError("SHUTTING_DOWN")
        has_ghost = person is not None and not person.is_lost
        if len(self.members) - has_ghost >= self._max_clients:
            raise ChatError("SERVER_FULL")

    def _known(self, request: JoinRequest, owner: str) -> Person | None:
        """Return who a client was before: by its session, or as the owner of the name.

        Raises NAME_OWNED where the session is that of somebody who could prove more.
        """
        person = self.directory.of_session(request.session)
        if person is not None and person.owner and person.owner != owner:
            raise ChatError("NAME_OWNED")
        if person is None and request.user is not None:
            found = self.directory.find(request.user)
            if found is not None and found.may_be_continued_by(owner):
                return found
        return person

    def _identify(self, member: Member, person: Person | None, asker: Person) -> None:
        """Say who a full member is; its own ghost goes, unnoticed where nothing changes.

        `asker`: as it has said who it is. `person`: who that was here until now.
        """
        name, identity, session = asker.name, asker.identity, asker.session
        if person is None:
            person = self.directory.add(name, identity, session)
            person.inbox_seen_id = self.last_id
        elif person.member is not None:
            person.member.close(ChatError("SESSION_REPLACED"))
            self._lose(person.member)
        if person.identity != identity:  # its owner has come with another session
            self.log.keep(HOLDER, person.identity, None)
            self.closed.forget(person)
            self.directory.adopt(person, identity, session)
        if person.name != name:
            self._vanish(person)
            self._replace(self.directory.find(name), person)
            self.directory.rename(person, name)
        self._held.discard(person)
        person.address = member.address
        person.member = member
        person.unread.clear()
        member.person = person
        self._own(person, asker.owner)
        self._open_inbox(member, person)

    def _replace(self, other: Person | None, person: Person) -> None:
        """End another session of a person who comes under the name that it has."""
        if other is None or other is person:
            return
        if other.member is not None:
            other.member.close(ChatError("SESSION_REPLACED"))
            for room in self._end(other.member, is_lost=True):
                room.announce(_presence(other, chat_pb2.KIND_LEFT))
        self._remove(other)

    def _own(self, person: Person, owner: str) -> None:
        """Note who the person has proved to be; the name is its own if it may own one more."""
        person.owner = owner if self.owners.is_enforced else ""
        owned = self.owners.claim(person.name, owner, person.address, self.last_id)
        person.owns_name = owned is not None
        person.inbox = owned.inbox if owned is not None else person.identity

    def _open_inbox(self, member: Member, person: Person) -> None:
        """Give a full member its place in the person's inbox, of which it hears nothing yet."""
        inbox = self._room(person.inbox)
        member.inbox = Subscription(inbox, hides_ids=not member.is_multiroom)
        member.inbox.has_gap = member.inbox.is_behind = True
        member.inbox.seen_id = person.inbox_seen_id
        inbox.members[member] = member.inbox

    def _tidy_rooms(self, member: Member) -> None:
        """See to the rooms where others still see somebody who has come back."""
        person = member.person
        if person is None:
            return
        if not member.is_multiroom:
            self._vanish(person)  # it cannot enter them in this stream
        elif person.rooms:
            person.expire_in(HELD_SECONDS, self._expire)
        else:
            person.keep()

    async def _begin(self, member: Member, request: JoinRequest) -> None:
        """Put a full member's places where its stream begins, and tell it what is missing."""
        if not member.is_full or member.person is None or member.inbox is None:
            return
        (place,) = member.rooms.values()
        mail = await self.mail.begin(member, request)
        wishes = [(place.room.key, request.after)]
        if mail is None:
            inbox_id = request.inbox if member.is_multiroom else member.person.inbox_seen_id
            wishes.append((member.inbox.room.key, inbox_id))
        generation = request.generation
        places = await self.closed.find_places(member.person, wishes, generation, member.history)
        if places[-1].missing is Missing.REWOUND and mail is None:
            places[-1] = Place(0, Missing.REWOUND)  # rather twice than not at all
        self.open(member, place, places[0])
        self.open(member, member.inbox, mail or places[-1])

    def enter(self, member: Member, room_key: str) -> Subscription:
        """Put the member, who may enter, into a room; a full one hears nothing before `open()`.

        The others are told, unless it was expected back there.
        """
        room = self._room(room_key)
        self.closed.enter(room, member.person)
        place = Subscription(room)
        place.has_gap = place.is_behind = member.is_full
        room.members[member] = member.rooms[room_key] = place
        person = member.person
        if person is not None and room_key in person.rooms:
            person.rooms.discard(room_key)
            del room.absent[person]
        elif person is not None:
            room.announce(_presence(person, chat_pb2.KIND_JOINED), exclude=member)
        if person is not None:
            self._note(person)
        return place

    def open(self, member: Member, place: Subscription, start: Place) -> None:
        """Let the member hear what comes after `start`, and tell it first what is missing."""
        # Since it has entered, what was broadcast there was left to the log.
        is_behind = start.has_more or place.room.last_id != place.seen_id
        place.seen_id = start.start
        if start.missing is not Missing.NOTHING:
            self.notice(member, start.missing.value, room=place.room)
        if is_behind:
            member.queue.mark_gap(place)
        else:
            place.has_gap = place.is_behind = False

    def name_plain(self, member: Member, name: str, identity: str) -> None:
        """Give a plain member its first name, and tell the others.

        Raises NAME_TAKEN, NAME_OWNED, NAME_CERTIFIED, BANNED.
        """
        check_certified(name, member.certified)
        owner = CERTIFIED if member.certified else ""
        self.moderation.check_in(Who(name, owner, address=member.address))
        self.owners.check(name, owner)
        member.person = self.directory.add(name, identity)
        member.person.address = member.address
        self._own(member.person, owner)
        member.person.member = member
        member.rate_limit = self._limits.join(member.key_owner, member.address)
        for place in member.rooms.values():
            place.room.announce(_presence(member.person, chat_pb2.KIND_JOINED), exclude=member)
        self._note(member.person)

    def rename(self, member: Member, name: str) -> None:
        """Give the member another name, and tell the others.

        Raises NAME_TAKEN, NAME_OWNED, NAME_CERTIFIED, BANNED.
        """
        person = member.person
        assert person is not None
        old = person.name
        check_certified(name, member.certified)
        self.moderation.check_in(who_is(person, name))
        self.owners.check(name, person.owner)
        if self.directory.rename(person, name):
            self._own(person, person.owner)
            self._change_inbox(member, person)
            kind = chat_pb2.KIND_RENAMED
            for key in [*member.rooms, *person.rooms]:
                event = chat_pb2.Message(user=old, message=name, kind=kind)
                self.rooms[key].announce(event, exclude=member)
            self._note(person)

    def _change_inbox(self, member: Member, person: Person) -> None:
        """Let the member have the inbox of its new name; what is in that one comes later."""
        old = member.inbox
        if old is None or old.room.key == person.inbox:
            return
        self.mail.note_soon(member)
        old.is_leaving = True
        old.owed_id = old.room.last_id
        del old.room.members[member]
        self._forget_if_empty(old.room)
        person.inbox_seen_id = self.last_id
        self._open_inbox(member, person)

    async def follow_name(self, member: Member) -> None:
        """Hand out what waits under a new name; raises LOG_UNREADABLE, and the stream is over."""
        inbox = member.inbox
        if inbox is None or not inbox.has_gap or inbox in member.queue.gaps:
            return
        try:
            place = await self.mail.begin(member)
        except ChatError as error:
            member.close(ChatError(error.reason))
            raise
        if not inbox.has_ended:
            inbox.hides_ids = True
            self.open(member, inbox, place or Place(inbox.seen_id))

    # Going.

    def exit(self, member: Member, place: Subscription) -> None:
        """Take the member out of one room, and tell the others.

        What was said there until now is still its due. Does nothing the second time.
        """
        if place.is_leaving or place.has_ended:
            return
        place.is_leaving = True
        place.owed_id = place.room.last_id
        del place.room.members[member]
        del member.rooms[place.room.key]
        member.remember_left(place.room.key)
        if member.person is not None:
            place.room.announce(_presence(member.person, chat_pb2.KIND_LEFT))
            self._note(member.person)
        self._forget_if_empty(place.room)

    def turn_out(self, person: Person, room_key: str) -> None:
        """Take somebody out of a room who may not be there any more, and tell them.

        Whose only room it was has none to be in: the stream ends as if it began there now.
        """
        place = person.member.rooms.get(room_key) if person.member is not None else None
        if place is not None and person.member is not None:
            self.exit(person.member, place)
            if person.member.rooms:
                self.notice(person.member, "ROOM_CLOSED", room=place.room)
            else:
                person.member.close(ChatError("ROOM_CLOSED"))
        elif room_key in person.rooms:
            self._vanish_from(person, room_key)
            self._note(person)

    def leave(self, member: Member, is_lost: bool = False) -> None:
        """End a member. Does nothing the second time.

        `is_lost`: its connection was; then its name is held for its session, and nobody is told
        before that is over.
        """
        if member not in self.members:
            return
        person = member.person
        if is_lost and person is not None and person.session:
            self._lose(member)
            return
        rooms = self._end(member, is_lost)
        if person is None:
            return
        for room in rooms:
            room.announce(_presence(person, chat_pb2.KIND_LEFT))
        if is_lost:  # without a session nobody can come back for it
            person.forget_read(time.monotonic() - UNCERTAIN_SECONDS)
            self._tell_unread(person)
        self._remove(person)

    def expel(self, person: Person, error: ChatError) -> None:
        """End the stream of somebody with `error`, tell the others, and hold nothing for it."""
        if person.member is None:
            self._expire(person)
        else:
            person.member.close(error)
            self.leave(person.member)

    def _lose(self, member: Member) -> None:
        """End a member's stream, and hold its name."""
        person = member.person
        assert person is not None and member.inbox is not None
        rooms = [room.key for room in self._end(member, is_lost=True)]
        self._hold(person, rooms, member.inbox.seen_id)
        self._note(person)

    def _hold(self, person: Person, rooms: Sequence[str], inbox_seen_id: int) -> None:
        """Let the others still see a person in `rooms`, and keep the name for a return."""
        person.member = None
        person.inbox_seen_id = inbox_seen_id
        person.forget_read(time.monotonic() - UNCERTAIN_SECONDS)
        if len(person.rooms.union(rooms)) > MAX_ROOMS:
            self._vanish(person)  # from where it was expected before, and has not come
        for key in rooms:
            person.rooms.add(key)
            self._room(key).absent[person] = None
        person.expire_in(HELD_SECONDS, self._expire)
        self._held.add(person)
        self._free_names(person.address)

    def _free_names(self, address: str) -> None:
        """Where more names are held than there are places for them, give up the oldest."""
        while (person := self._held.surplus(address)) is not None:
            self._expire(person)

    def _expire(self, person: Person) -> None:
        """The time to come back is over: tell the rooms, and who wrote in vain."""
        self._vanish(person)
        if not person.is_lost:
            self._note(person)
            return
        self._tell_unread(person)
        self._remove(person)

    def _tell_unread(self, person: Person) -> None:
        """Tell those who wrote to somebody who has not come back for it."""
        for identity, key, _when in person.unread:
            sender = self.directory.of_identity(identity)
            if sender is not None and sender.member is not None:
                self.notice(sender.member, "NOT_READ", key, is_answer=False)

    def _vanish(self, person: Person) -> None:
        """Tell the rooms where a person is still seen, but no longer expected, that it has left."""
        for key in sorted(person.rooms):
            self._vanish_from(person, key)

    def _vanish_from(self, person: Person, room_key: str) -> None:
        person.rooms.discard(room_key)
        room = self.rooms[room_key]
        del room.absent[person]
        room.announce(_presence(person, chat_pb2.KIND_LEFT))
        self._forget_if_empty(room)

    def _end(self, member: Member, is_lost: bool) -> list[Room]:
        """Take a member out of everything; return the rooms that it was in."""
        self.mail.end(member, is_lost)
        self.members.remove(member)
        self._limits.leave(member.rate_limit)
        member.close()
        member.replay.close()
        rooms = [place.room for place in member.rooms.values()]
        for place in member.places():
            place.has_ended = True
            del place.room.members[member]
            self._forget_if_empty(place.room)
        return rooms

    def hand_over(self, identity: str) -> None:
        """End somebody here who has gone on at another server, with the name."""
        person = self.directory.of_identity(identity)
        if person is None:
            return
        if person.member is not None:
            person.member.close(ChatError("SESSION_REPLACED"))
            for room in self._end(person.member, is_lost=True):
                room.announce(_presence(person, chat_pb2.KIND_LEFT))
        self._remove(person)

    def _remove(self, person: Person) -> None:
        self._vanish(person)
        self._held.discard(person)
        self.closed.forget(person)
        person.member = None  # else the two would keep each other until cycles are collected
        self.directory.remove(person)
        self.neighbours.release(person.identity)
        if person.session:
            self.log.keep(HOLDER, person.identity, None)

    def _note(self, person: Person) -> None:
        """Have other servers, and in case this one ends its file, say who holds the name."""
        here = person.member.rooms if person.member is not None else ()
        rooms = tuple(sorted({*here, *person.rooms}))
        takes_private = person.member is None or person.member.is_full
        self.neighbours.move(person.identity, rooms, person.inbox if takes_private else "")
        if person.session:
            holder = Holder(person.name, rooms, person.owner)
            self.log.keep(HOLDER, person.identity, holder.to_text())

    def _room(self, key: str) -> Room:
        room = self.rooms.get(key)
        if room is None:
            room = self.rooms[key] = Room(key, self.last_id)
        return room

    def _forget_if_empty(self, room: Room) -> None:
        if room.is_empty and self.rooms.get(room.key) is room:
            self.closed.note_use(room.key)
            del self.rooms[room.key]

    # What the log has committed.

    def committed(self, entries: Sequence[Entry]) -> Iterator[tuple[str, Room | None, Delivery]]:
        """Yield what is to be broadcast of a group, room by room, in the order of the log.

        The room is None where nobody is in it. Inboxes are among them.
        """
        by_room: dict[str, list[chat_pb2.Message]] = {}
        for entry in entries:
            if not (entry.is_lost or entry.is_repeated):
                self.last_id = entry.message.id
                by_room.setdefault(entry.room, []).append(entry.message)
        for key, messages in by_room.items():
            room = self.rooms.get(key)
            for delivery in cut(messages, self._backlog):
                if room is not None:
                    room.last_id = delivery.last_id
                yield key, room, delivery
        yield from tell_invitations(entries, self.rooms)

    def answer(self, entry: Entry) -> None:
        """Tell the sender what became of its message, where the broadcast itself does not."""
        member: Member = entry.origin
        if entry.is_lost:
            if member.is_full:
                self.notice(member, "NOT_STORED", entry.message.key)
            else:
                member.close(ChatError("NOT_STORED"))
        elif entry.is_repeated:
            self.echo_again(member, entry.room, entry.message, entry.said)
        elif is_inbox(entry.room):
            self._echo_private(member, entry)
        elif entry.room not in member.rooms:  # whose door it is, and who is elsewhere
            member.queue.put_answer(Delivery([entry.message]).without_ids())
        member.mark_committed()

    def _echo_private(self, member: Member, entry: Entry) -> None:
        """Tell the sender that a private message is in the other one's inbox."""
        assert member.person is not None
        if entry.room != member.person.inbox:
            member.queue.put_answer(Delivery([entry.message]).without_ids())
        inbox, to = self.rooms.get(entry.room), entry.message.to
        for owner in inbox.members if inbox is not None else ():
            self.mail.note_soon(owner)
        if (inbox is None or not inbox.members) and self.owners.has_inbox(to, entry.room):
            self.mail.note_left(member, to, entry.message.id)
            self.notice(member, "AWAY", to=to)
        if reader := self.directory.of_identity(entry.room):
            now = time.monotonic()
            if not reader.is_lost:
                reader.forget_read(now - UNCERTAIN_SECONDS)
            reader.unread.append((member.person.identity, entry.message.key, now))

    def echo_again(
        self, member: Member, room: str, message: chat_pb2.Message, said: chat_pb2.Message
    ) -> None:
        """Answer a key that was appended before with its first result, for the sender alone.

        `room`, `message`: those of the first time; `said`: the words of now, which is what comes
        back to one without a session where it cannot read the first ones. A plain one has no
        acknowledgements: it hears every message once.

        What still lies before the sender in the log comes by itself: an echo ahead of it would make
        a client take everything between for seen.
        """
        if not member.is_full:
            return
        assert member.person is not None
        place = next((place for place in member.places() if place.room.key == room), None)
        may_hear = self.closed.may_hear(room, member.person, message.id)
        if not may_hear or (place is None and not member.person.session):
            # Somebody else may have had the name then, and have written privately.
            said.sent_at.CopyFrom(message.sent_at)
            message = said
        echo = Delivery([message])
        if place is None or place.hides_ids or not may_hear:
            member.queue.put_answer(echo.without_ids())
        elif message.id <= place.seen_id:
            member.queue.put_answer(echo)

    def notice(
        self,
        member: Member,
        reason: str,
        key: str = "",
        room: Room | None = None,
        is_answer: bool = True,
        to: str = "",
        until: float | None = None,
    ) -> None:
        """Tell a full member why something is not as it wished; a plain one is never told.

        `is_answer`: it has asked just now; else, where its queue is full, it is not told. `until`:
        when that ends, seconds since 1970, where that is known.
        """
        if member.is_full:
            notice = chat_pb2.Message(user=reason, kind=chat_pb2.KIND_NOTICE, key=key, to=to)
            notice.message = explain(reason, reason)
            if until is not None:
                notice.sent_at.FromNanoseconds(int(until * 1e9))
            if room is not None and room.is_inbox:
                notice.to = member.name
            elif room is not None:
                notice.room = room.key
            put = member.queue.put_answer if is_answer else member.queue.put_event
            put(Delivery([notice]))

    # The end.

    def greeting(self, member: Member) -> Greeting:
        """Return the server's first word to a member that has just joined."""
        after = None
        if member.is_full and member.rooms:  # it may have been turned out already
            (place,) = member.rooms.values()
            after = place.seen_id
        return Greeting(self.log.epoch, after, self.log.generation)

    async def stop(self, reason: str = "SHUTTING_DOWN") -> None:
        """Accept nothing more, and return when all that was accepted is committed and queued.

        Every member is told the reason, and its stream ends with it when it has been handed all.
        """
        self.is_stopping = True
        for member in self.members:
            self.notice(member, reason)
        await self.log.flush()
        for member in self.members:
            member.close(ChatError(reason))


def _presence(person: Person, kind: chat_pb2.Kind) -> chat_pb2.Message:
    return chat_pb2.Message(user=person.name, kind=kind)
