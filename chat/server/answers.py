"""What a sender is told of its message, once the log has it, or has it not.

The broadcast itself is the answer to whoever is in the room. Everything runs in the event loop.
"""

from __future__ import annotations

import time

import chat_pb2
from chat.protocol.errors import ChatError
from chat.server.closed_rooms import ClosedRooms
from chat.server.encoding import Delivery
from chat.server.log.base import Entry
from chat.server.mail import UNCERTAIN_SECONDS, Mail
from chat.server.member import Member
from chat.server.notices import notice
from chat.server.people import People
from chat.server.room import is_inbox
from chat.server.rooms import Rooms


class Answers:
    """Answers those who spoke."""

    def __init__(self, rooms: Rooms, people: People, closed: ClosedRooms, mail: Mail) -> None:
        self._rooms = rooms
        self._people = people
        self._closed = closed
        self._mail = mail

    def take(self, entry: Entry) -> None:
        """Note what the log has, whoever said it, and answer its sender if that one is here."""
        if is_inbox(entry.room) and not (entry.is_lost or entry.is_repeated):
            self._note_private(entry)
        if entry.origin is not None:
            self._answer(entry)

    def _note_private(self, entry: Entry) -> None:
        """Note that somebody who is here, or expected back, has got a private message."""
        inbox = self._rooms.get(entry.room)
        for owner in inbox.members if inbox is not None else ():
            self._mail.note_soon(owner)
        if reader := self._people.directory.of_identity(entry.room):
            now = time.monotonic()
            if not reader.is_lost:
                reader.forget_read(now - UNCERTAIN_SECONDS)
            reader.note_unread(_sender_of(entry), entry.message.key, now)

    def _answer(self, entry: Entry) -> None:
        """Tell the sender what became of its message, where the broadcast itself does not."""
        member: Member = entry.origin
        if entry.is_lost:
            if member.is_full:
                notice(member, "NOT_STORED", entry.message.key)
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
        to = entry.message.to
        if self._people.owners.has_inbox(to, entry.room) and not self._is_read(entry):
            self._mail.note_left(member, to, entry.message.id)
            notice(member, "AWAY", to=to)

    def _is_read(self, entry: Entry) -> bool:
        """Say whether somebody has a stream, here or elsewhere, by which a private message goes."""
        inbox = self._rooms.get(entry.room)
        if inbox is not None and inbox.members:
            return True
        reader = self._people.neighbours.find(entry.message.to)
        return reader is not None and reader.is_here and reader.inbox == entry.room

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
        may_hear = self._closed.may_hear(room, member.person, message.id)
        if not may_hear or (place is None and not member.person.session):
            # Somebody else may have had the name then, and have written privately.
            said.sent_at.CopyFrom(message.sent_at)
            message = said
        echo = Delivery([message])
        if place is None or place.hides_ids or not may_hear:
            member.queue.put_answer(echo.without_ids())
        elif message.id <= place.seen_id:
            member.queue.put_answer(echo)


def _sender_of(entry: Entry) -> str:
    """Return who has said something: the identity; of one without a session elsewhere the name."""
    member: Member | None = entry.origin
    if member is not None and member.person is not None:
        return member.person.identity
    return entry.sender
