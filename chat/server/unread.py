"""NOT_READ: whoever wrote to somebody who never came back for it is told so, at whatever server.

Everything runs in the event loop.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from chat.server.directory import Directory, Person
from chat.server.log.base import Log
from chat.server.notices import notice
from chat.server.plain_json import checked
from chat.server.room import is_inbox

# In what servers tell each other: whose messages, by their keys, were not read.
NOT_READ = "not_read"


class Unread:
    """Tells senders which of their private messages have not been read."""

    def __init__(self, log: Log, directory: Directory) -> None:
        self._log = log
        self._directory = directory

    def tell(self, reader: Person) -> None:
        """Tell those who wrote to somebody who has not come back for it."""
        elsewhere = self._tell([(sender, key) for sender, key, _when in reader.unread])
        if elsewhere:
            self._log.tell(json.dumps({NOT_READ: elsewhere}))

    def hear(self, unread: object) -> None:
        """Tell those who are here of what another server tells; raises `ValueError`."""
        pairs = checked(unread, tuple[tuple[str, ...], ...])
        self._tell([(sender, key) for sender, key in pairs])

    def _tell(self, unread: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        """Tell those who are here; return what is for others."""
        elsewhere = []
        for sender, key in unread:
            person = self._find(sender)
            if person is None:
                elsewhere.append((sender, key))
            elif person.member is not None:
                notice(person.member, "NOT_READ", key, is_answer=False)
        return elsewhere

    def _find(self, sender: str) -> Person | None:
        """Return who that is, as the log has its senders: an identity, or a name without one."""
        if is_inbox(sender):
            return self._directory.of_identity(sender)
        person = self._directory.find(sender)
        return person if person is not None and not person.session else None
