"""When the bell rings: at which of the messages that come in."""

from __future__ import annotations

import math
import threading
import time
from datetime import datetime

from chat.cli.i18n import N_
from chat.client.commands import folded
from chat.client.ui import render
from chat.client.ui.render import is_invitation_of
from chat.protocol.kinds import SAID
from chat.protocol.names import name_key
from chat_pb2 import Message

# No more than one notification in so long.
NOTIFICATION_SECONDS = 2.0
MODES = ("all", "mentions", "off")
# What else people may type for them, without accents.
MODE_WORDS = {
    "tudo": "all",
    "todas": "all",
    "citacoes": "mentions",
    "mencoes": "mentions",
    "never": "off",
    "none": "off",
    "nao": "off",
    "nada": "off",
    "nunca": "off",
}
MODE_TEXTS = {
    "all": N_("The bell rings at every message."),
    "mentions": N_("The bell rings when somebody says your name or writes to you in private."),
    "off": N_("The bell is off."),
}


class Alerts:
    """The bell, and the terminal's notifications where they are wished for: `notifies`.

    `mode`: one of `MODES`. `began_at`: what was said before that is history. `_lock` guards
    `_mode`: the main thread sets it, the receive thread reads it, to which the rest belongs.
    """

    def __init__(self, mode: str, began_at: datetime, notifies: bool = False) -> None:
        self._lock = threading.Lock()
        self._notifies = notifies
        self._notified_at = -math.inf
        self._mode = mode
        self._began_at = began_at

    @property
    def mode(self) -> str:
        with self._lock:
            return self._mode

    def choose(self, word: str) -> bool:
        """Set the mode that a typed word means, none keeps it; False for an unknown word."""
        word = folded(word)
        mode = MODE_WORDS.get(word, word) or self.mode
        if mode not in MODES:
            return False
        with self._lock:
            self._mode = mode
        return True

    def rings_at(self, message: Message, own_name: str) -> bool:
        """Say whether the bell rings at a message, for whom it calls `own_name`."""
        mode = self.mode
        return mode != "off" and self._calls(message, own_name, mode)

    def notifies_of(self, message: Message, own_name: str) -> bool:
        """Say whether a message is to be notified of: as the bell rings, and where that is off.

        Not every one of many that come together, which would cover the screen.
        """
        if not self._notifies or not self._calls(message, own_name, self.mode):
            return False
        now = time.monotonic()
        is_due = now - self._notified_at >= NOTIFICATION_SECONDS
        if is_due:
            self._notified_at = now
        return is_due

    def _calls(self, message: Message, own_name: str, mode: str) -> bool:
        if not self.is_news(message, own_name):
            return False
        is_to_me = bool(message.to) or render.mentions(render.clean(message.message), own_name)
        return is_to_me or mode == "all"

    def is_news(self, message: Message, own_name: str) -> bool:
        """Say whether somebody else says something that is no history: private, or said now.

        Or invites the user.
        """
        is_own = name_key(message.user) == name_key(own_name)
        is_invited = is_invitation_of(message, own_name)
        if is_own or not (message.kind in SAID or is_invited):
            return False
        is_in_room = message.id and not message.to
        return not is_in_room or render.time_of(message) >= self._began_at
