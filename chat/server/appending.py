"""How what a member says comes into the log, once.

Knows no gRPC and no SQL; everything runs in the event loop.
"""

from __future__ import annotations

import chat_pb2
from chat.protocol.errors import ChatError
from chat.server.hub import Hub
from chat.server.log.base import Entry
from chat.server.member import Member
from chat.server.moderation import who_is
from chat.server.replay import readable

# Messages of one member that may wait to be committed before it is read from again.
MAX_UNCOMMITTED = 128

Message = chat_pb2.Message


class Appender:
    """Appends what members say, and knows what they have said before."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def check_open(self, member: Member) -> None:
        """Raise SHUTTING_DOWN where nothing more is taken, from anybody or from this member."""
        if self._hub.is_stopping or member.is_closing:
            raise ChatError("SHUTTING_DOWN")

    async def append(self, member: Member, room: str, accepted: Message) -> Entry:
        """Append a message to a room; return what becomes of it, later.

        Waits while the log is full, or much of this member's is on its way.
        """
        member.uncommitted += 1
        entry = Entry(room, member.key_owner, accepted, member)
        self._hub.log.append(entry)
        # Else one who sends all it can fills the log's queue, and everybody waits behind it.
        await member.wait_committed(MAX_UNCOMMITTED)
        await self._hub.log.wait_for_space()
        return entry

    async def was_said(self, member: Member, said: Message) -> bool:
        """Answer a key that was appended before, although the one it was for has gone since."""
        if not said.key:
            return False
        found = await readable(self._hub.log.find_key(member.key_owner, said.key))
        if found is not None:
            self._hub.answers.echo_again(member, *found, said)
        return found is not None

    async def was_said_before_mute(self, member: Member, said: Message) -> bool:
        """Raise MUTED for somebody who may say nothing new; say whether this was nothing new."""
        if self._hub.moderation.mutes.is_empty:
            return False
        assert member.person is not None
        try:
            self._hub.moderation.check_may_speak(who_is(member.person))
        except ChatError:
            if await self.was_said(member, said):
                return True
            raise
        return False
