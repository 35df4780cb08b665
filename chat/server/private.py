"""What is said to one person alone: whose inbox it comes into, and whether it may.

Knows no gRPC and no SQL. `posting.py` calls it; everything runs in the event loop.
"""

from __future__ import annotations

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.server.appending import Appender
from chat.server.directory import Person
from chat.server.hub import Hub
from chat.server.member import Member
from chat.server.moderation import who_is
from chat.server.neighbours import Neighbour
from chat.server.ownership import Owned

Message = chat_pb2.Message


class PrivateMessages:
    """Appends private messages to the inboxes of those they are for."""

    def __init__(self, hub: Hub, appender: Appender) -> None:
        self._hub = hub
        self._appender = appender
        self._was_said = appender.was_said

    async def say(self, member: Member, said: Message, to: str) -> None:
        """Append a message to the inbox of whoever is called `to`, or raise `ChatError`."""
        if said.kind != chat_pb2.KIND_UNSPECIFIED:
            raise ChatError("REQUEST_INVALID")
        if not (said.sealed and await self._is_sealed_in_vain(member, said, to)):
            await self._say(member, said, to)

    async def _say(self, member: Member, said: Message, to: str) -> None:
        """Append it: one who is neither here nor expected back has an inbox under an owned name."""
        is_name = len(to) <= MAX_RAW_NAME_CHARACTERS
        reader = self._hub.directory.find(to) if is_name else None
        elsewhere = self._hub.neighbours.find(to) if is_name and reader is None else None
        owned = self._hub.owners.find(to) if is_name else None
        said.to = to[:MAX_RAW_NAME_CHARACTERS]
        is_for_operator = self._is_operator(reader or owned)
        if not is_for_operator and await self._appender.was_said_before_mute(member, said):
            return
        if reader is not None and (reader.member is not None or not reader.owns_name):
            if reader.member is not None and not reader.member.is_full:
                raise ChatError("USER_UNREACHABLE")
            said.to = reader.name
            await self._appender.append(member, reader.inbox, said)
        elif elsewhere is not None and (elsewhere.is_here or not elsewhere.owner):
            said.to = elsewhere.name
            await self._appender.append(member, _inbox_of(elsewhere, owned), said)
        elif owned is not None:
            said.to = owned.name
            await self._leave_for(member, owned, said)
        elif not await self._was_said(member, said):
            raise ChatError("USER_UNKNOWN")

    def _check_may_write(self, member: Member, owned: Owned) -> None:
        """Raise USER_UNKNOWN where the inbox is nobody's by now, MUTED for one who is muted."""
        if not self._hub.owners.has_inbox(owned.name, owned.inbox):
            raise ChatError("USER_UNKNOWN")
        assert member.person is not None
        if not self._is_operator(owned):
            self._hub.moderation.check_may_speak(who_is(member.person))

    def _is_operator(self, reader: Person | Owned | None) -> bool:
        """Say whether a muted person may still write to this one."""
        if reader is None:
            return False
        return self._hub.moderation.is_operator(reader.name, reader.owner)

    async def _leave_for(self, member: Member, owned: Owned, said: Message) -> None:
        """Append a message to the inbox of an owner who is away, where there is room for it.

        While it waits its turn, its sender may be removed or muted, and the name be freed.
        """
        try:
            async with self._hub.mail.room_for(owned, member):
                self._appender.check_open(member)
                self._check_may_write(member, owned)
                await self._appender.append(member, owned.inbox, said)
                await member.wait_committed()
        except ChatError as refusal:
            is_its_own = refusal.reason in ("INBOX_FULL", "MUTED", "USER_UNKNOWN")
            if not is_its_own or not await self._was_said(member, said):
                raise

    async def _is_sealed_in_vain(self, member: Member, said: Message, to: str) -> bool:
        """Raise where nobody could open it; say whether it was said when somebody could."""
        try:
            self._hub.bundles.check_reader(member, to, said.sealed)
        except ChatError:
            said.to = to[:MAX_RAW_NAME_CHARACTERS]
            if not await self._was_said(member, said):
                raise
            return True
        return False


def _inbox_of(reader: Neighbour, owned: Owned | None) -> str:
    """Return where somebody at another server reads: an owner also while it is just coming.

    Raises USER_UNREACHABLE.
    """
    if reader.inbox:
        return reader.inbox
    if owned is not None and owned.owner == reader.owner:
        return owned.inbox
    raise ChatError("USER_UNREACHABLE")
