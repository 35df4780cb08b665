"""What a member says: judged, and appended to the log or answered at once.

Knows no gRPC and no SQL. The stream's receive task calls `post`; everything runs in the event loop.
"""

from __future__ import annotations

from collections import OrderedDict

import chat_pb2
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_KEY_CHARACTERS, MAX_RAW_NAME_CHARACTERS
from chat.protocol.names import check_name
from chat.protocol.text import check_message
from chat.server.encoding import Delivery
from chat.server.hub import Hub
from chat.server.log.base import Entry
from chat.server.member import Member

# Messages of one member that may wait to be committed before it is read from again.
MAX_UNCOMMITTED = 1024
# Private messages are in no log: their keys are remembered for as long as a sender may come back.
MAX_PRIVATE_KEYS = 10_000


class Posting:
    """The messages of all members, on their way from a stream into the hub's log and rooms."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._private_keys: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def post(self, member: Member, message: chat_pb2.Message) -> None:
        """Do what a message of `member` asks, or raise `ChatError`. Waits while the log is full."""
        if self._hub.is_stopping or member.is_closing:
            raise ChatError("SHUTTING_DOWN")
        if len(message.key) > MAX_KEY_CHARACTERS:
            raise ChatError("REQUEST_INVALID")
        if not member.is_full:
            await self._post_plain(member, message)
        elif message.kind == chat_pb2.KIND_RENAMED:
            await self._rename(member, check_name(message.message), message.key)
        elif message.kind == chat_pb2.KIND_WHO:
            _tell_who(member, message.key)
        elif message.kind != chat_pb2.KIND_UNSPECIFIED:
            raise ChatError("REQUEST_INVALID")
        elif message.to:
            self._tell_privately(member, message)
        else:
            await self._append(member, check_message(message.message), message.key)

    async def _post_plain(self, member: Member, message: chat_pb2.Message) -> None:
        if message.to or message.kind != chat_pb2.KIND_UNSPECIFIED:
            # Taken for a common message, a private one would be told to everybody.
            raise ChatError("REQUEST_INVALID")
        if not message.message or message.message.isspace():
            return
        text = check_message(message.message)
        name = check_name(message.user)
        if not member.name:
            self._hub.directory.set_name(member, name)
            member.room.announce_presence(chat_pb2.KIND_JOINED, member)
        elif name != member.name:
            await self._rename(member, name, "")
        await self._append(member, text, message.key)

    async def _append(self, member: Member, text: str, key: str) -> None:
        accepted = chat_pb2.Message(user=member.name, message=text, key=key)
        member.uncommitted += 1
        self._hub.log.append(Entry(member.room.key, member.name_key, accepted, member))
        # Else one who sends all it can fills the log's queue, and everybody waits behind it.
        await member.wait_committed(MAX_UNCOMMITTED)
        await self._hub.log.wait_for_space()

    async def _rename(self, member: Member, name: str, key: str) -> None:
        await member.wait_committed()  # what was said under the old name is heard before it changes
        old = member.name
        is_changed = self._hub.directory.set_name(member, name)
        if is_changed:
            event = chat_pb2.Message(user=old, message=name, kind=chat_pb2.KIND_RENAMED)
            member.room.announce(event, exclude=member)
        if member.is_full:
            # A message of its own: what is queued for the others is encoded later.
            echo = chat_pb2.Message(user=old, message=name, kind=chat_pb2.KIND_RENAMED, key=key)
            member.queue.put(Delivery([echo]))

    def _tell_privately(self, member: Member, message: chat_pb2.Message) -> None:
        """Deliver a private message, now or never, and echo it to its sender."""
        text = check_message(message.message)
        if len(message.to) > MAX_RAW_NAME_CHARACTERS:
            raise ChatError("USER_UNKNOWN")
        private = chat_pb2.Message(user=member.name, message=text, key=message.key, to=message.to)
        private.sent_at.GetCurrentTime()
        key = (member.name_key, message.key)
        if not message.key or key not in self._private_keys:
            other = self._hub.directory.holder(message.to)
            if other is None:
                raise ChatError("USER_UNKNOWN")
            private.to = other.name
            is_told = other is member or (other.is_full and other.queue.put(Delivery([private])))
            if not is_told:
                raise ChatError("USER_UNREACHABLE")
            self._remember_key(key)
        member.queue.put(Delivery([private]))

    def _remember_key(self, key: tuple[str, str]) -> None:
        if key[1]:
            self._private_keys[key] = None
            if len(self._private_keys) > MAX_PRIVATE_KEYS:
                self._private_keys.popitem(last=False)


def _tell_who(member: Member, key: str) -> None:
    answer = member.room.present()
    if key:  # the echo is the acknowledgement, and the end of the list
        answer.append(chat_pb2.Message(user=member.name, kind=chat_pb2.KIND_WHO, key=key))
    if not member.queue.put(Delivery(answer)):
        raise ChatError("ANSWER_DROPPED")
