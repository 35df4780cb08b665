"""The places that a member has in the log: in rooms, and in its inbox; and where each begins.

Everything runs in the event loop.
"""

from __future__ import annotations

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server.absence import Absence
from chat.server.closed_rooms import ClosedRooms
from chat.server.directory import Person
from chat.server.log.base import Log, Missing, Place
from chat.server.mail import Mail
from chat.server.member import Member
from chat.server.missed import limited
from chat.server.notices import notice
from chat.server.people import People
from chat.server.rooms import Rooms
from chat.server.subscription import Subscription


class Places:
    """Gives members their places, and takes them away."""

    def __init__(
        self,
        log: Log,
        rooms: Rooms,
        people: People,
        absence: Absence,
        closed: ClosedRooms,
        mail: Mail,
    ) -> None:
        self._log = log
        self._rooms = rooms
        self._people = people
        self._absence = absence
        self._closed = closed
        self._mail = mail

    # Rooms.

    def enter(self, member: Member, room_key: str) -> Subscription:
        """Put the member, who may enter, into a room; a full one hears nothing before `open()`.

        Nor do the others see it before that, unless it was expected back there.
        """
        room = self._rooms.of(room_key)
        self._closed.enter(room, member.person)
        place = Subscription(room)
        place.entered_id = self._rooms.last_id
        place.has_gap = place.is_behind = member.is_full
        member.rooms[room_key] = place
        person = member.person
        if person is None:
            room.add(member, place)
        elif room_key in person.rooms:
            person.rooms -= {room_key}
            del room.absent[person]
            room.add(member, place)
            self._people.note(person)
        else:
            room.add_coming(member)
        return place

    def _show(self, member: Member, place: Subscription) -> None:
        """Tell the others of a member who has come, unless they see it or it is out again."""
        room, person = place.room, member.person
        is_out = place.is_leaving or place.has_ended
        if is_out or person is None or member in room.members:
            return
        room.add(member, place)
        room.announce_joined(person, exclude=member)
        self._people.note(person)

    def open(self, member: Member, place: Subscription, start: Place) -> None:
        """Let the member hear what comes after `start`, and tell it first what is missing.

        The others are told that it has come, unless it was expected back.
        """
        self._show(member, place)
        # Since it has entered, what was broadcast there was left to the log.
        is_behind = start.has_more or place.room.last_id != place.seen_id
        place.seen_id = start.start
        if start.missing is not Missing.NOTHING:
            notice(member, start.missing.value, room=place.room)
        if start.left_out:
            notice(member, "MORE_MISSED", room=place.room, words=str(start.left_out))
        if is_behind:
            member.queue.mark_gap(place)
        else:
            place.has_gap = place.is_behind = False

    def exit(self, member: Member, place: Subscription) -> None:
        """Take the member out of one room, and tell the others if they saw it there.

        What was said there until now is still its due. Does nothing the second time.
        """
        if place.is_leaving or place.has_ended:
            return
        place.is_leaving = True
        place.owed_id = place.room.last_id
        was_seen = place.room.remove(member)
        del member.rooms[place.room.key]
        member.remember_left(place.room.key)
        if was_seen and member.person is not None:
            place.room.announce_left(member.person)
            self._people.note(member.person)
        self._rooms.forget_if_empty(place.room)

    def turn_out(self, person: Person, room_key: str) -> None:
        """Take somebody out of a room who may not be there any more, and tell them.

        Whose only room it was has none to be in: the stream ends as if it began there now.
        """
        place = person.member.rooms.get(room_key) if person.member is not None else None
        if place is not None and person.member is not None:
            self.exit(person.member, place)
            if person.member.rooms:
                notice(person.member, "ROOM_CLOSED", room=place.room)
            else:
                person.member.close(ChatError("ROOM_CLOSED"))
        elif room_key in person.rooms:
            self._absence.vanish_from(person, room_key)
            self._people.note(person)

    # A stream's first places.

    def tidy(self, member: Member) -> None:
        """See to the rooms where others still see somebody who has come back."""
        person = member.person
        if person is None:
            return
        if not member.is_multiroom:
            self._absence.vanish(person)  # it cannot enter them in this stream
        elif person.rooms:
            self._absence.expect(person)
        else:
            person.keep()

    async def begin(self, member: Member, request: JoinRequest) -> None:
        """Put a full member's places where its stream begins, and tell it what is missing.

        Raises LOG_UNREADABLE.
        """
        if not member.is_full or member.person is None or member.inbox is None:
            return
        (place,) = member.rooms.values()
        mail = await self._mail.begin(member, request)
        wishes = [(place.room.key, request.after)]
        if mail is None:
            inbox_id = request.inbox if member.is_multiroom else member.person.inbox_seen_id
            wishes.append((member.inbox.room.key, inbox_id))
        places = await self._closed.find_places(
            member.person, wishes, request.generation, member.history, place.entered_id
        )
        if places[-1].missing is Missing.REWOUND and mail is None:
            places[-1] = Place(0, Missing.REWOUND)  # rather twice than not at all
        start = await limited(self._log, place, places[0], request.at_most)
        self.open(member, place, start)
        self.open(member, member.inbox, mail or places[-1])

    # The inbox.

    def open_inbox(self, member: Member, person: Person) -> None:
        """Give a full member its place in the person's inbox, of which it hears nothing yet."""
        inbox = self._rooms.of(person.inbox)
        member.inbox = Subscription(inbox, hides_ids=not member.is_multiroom)
        member.inbox.has_gap = member.inbox.is_behind = True
        member.inbox.seen_id = person.inbox_seen_id
        inbox.members[member] = member.inbox

    def change_inbox(self, member: Member, person: Person) -> None:
        """Let the member have the inbox of its new name; what is in that one comes later."""
        old = member.inbox
        if old is None or old.room.key == person.inbox:
            return
        self._mail.note_soon(member)
        old.is_leaving = True
        old.owed_id = old.room.last_id
        del old.room.members[member]
        self._rooms.forget_if_empty(old.room)
        person.inbox_seen_id = self._rooms.last_id
        self.open_inbox(member, person)

    async def follow_name(self, member: Member) -> None:
        """Hand out what waits under a new name; raises LOG_UNREADABLE, and the stream is over."""
        inbox = member.inbox
        if inbox is None or not inbox.has_gap or inbox in member.queue.gaps:
            return
        try:
            place = await self._mail.begin(member)
        except ChatError as error:
            member.close(ChatError(error.reason))
            raise
        if not inbox.has_ended:
            inbox.hides_ids = True
            self.open(member, inbox, place or Place(inbox.seen_id))
