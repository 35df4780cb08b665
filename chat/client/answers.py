"""Which of what a server sends answers something that this session asked, or said.

Called by the thread that iterates.
"""

from __future__ import annotations

from chat.client.outbox import Outbox
from chat.client.own_name import OwnName
from chat.protocol.kinds import READINGS, SAID
from chat.protocol.names import name_key
from chat_pb2 import (
    KIND_ENTERED,
    KIND_EXITED,
    KIND_KEY,
    KIND_NOTICE,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_WHO,
    Message,
)

# What a server says to whoever asked, and to nobody else.
ECHOES = (KIND_ENTERED, KIND_EXITED, *READINGS, KIND_WHO, KIND_ROOMS, KIND_KEY)


class Answers:
    """Knows what waits in `outbox`, and under which names it was said. Has no state of its own."""

    def __init__(self, outbox: Outbox, own_name: OwnName) -> None:
        self._outbox = outbox
        self._own_name = own_name

    def answered_by(self, message: Message) -> Message | None:
        """Return what waits under the key of a message that answers it.

        The key alone does not say so: everybody sees it, and may have used the same one.
        """
        sent = self._outbox.find(message.key) if message.key else None
        if sent is None or message.kind == KIND_NOTICE:
            return sent
        if message.kind in SAID and sent.kind in SAID:
            return sent if self._is_echo(message, sent) else None
        is_about = sent.kind != KIND_KEY or name_key(message.to) == name_key(sent.to)
        return sent if message.kind == sent.kind and is_about else None

    def _is_echo(self, message: Message, sent: Message) -> bool:
        """Say whether it is what was sent: from us, to the same person or room.

        A server of the first contract names no room.
        """
        is_addressed = name_key(message.to) == name_key(sent.to)
        is_there = not message.room or name_key(message.room) == name_key(sent.room)
        return is_addressed and is_there and self._is_own_name(message.user)

    def _is_own_name(self, name: str) -> bool:
        """Say whether we are, were, or have asked to be called so."""
        if name in self._own_name:
            return True
        wished = [m.message for m in self._outbox.pending if m.kind == KIND_RENAMED]
        return name_key(name) in map(name_key, wished)

    def is_answer(self, message: Message, sent: Message | None) -> bool | None:
        """Say whether it answers something that was asked; None for what is no answer at all.

        `sent`: what is `answered_by` it.
        """
        if message.kind == KIND_PRESENT and self._outbox.awaits(KIND_WHO, message.room):
            return True  # though the session is not in that room
        if message.kind == KIND_PRESENT:
            return None if self._outbox.awaits(KIND_WHO) else False
        if message.kind == KIND_ROOMS and message.message:
            return self._outbox.awaits(KIND_ROOMS)
        if message.kind in ECHOES:
            return sent is not None and sent.kind == message.kind
        return None
