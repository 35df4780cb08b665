"""How far the log was seen: what the next stream asks for, and which of its messages are new.

Knows no gRPC. The session asks it at the beginning of each stream, and for each message.
"""

from __future__ import annotations

import threading


class Cursor:
    """A place in the server's log: each log message is new once, in order.

    `history`: how many of the last messages a newcomer to a room gets.

    `_lock` guards every attribute: any thread may wish for history once more, the thread that
    iterates does the rest.
    """

    def __init__(self, history: int) -> None:
        self._lock = threading.Lock()
        self._history = history
        self._epoch = ""
        self._seen_id: int | None = None  # None: not there yet, so begin with the history
        self._repeated = 0  # how many messages of the history shall come once more
        self._is_reopening = False  # the present stream is ours to throw away

    @property
    def is_reopening(self) -> bool:
        """Whether the present stream is to be replaced by another one."""
        with self._lock:
            return self._is_reopening

    def repeat(self, count: int) -> int:
        """Have the next stream begin with the last `count` messages; return the newest id seen."""
        with self._lock:
            self._repeated = count
            self._is_reopening = True
            return self._seen_id or 0

    def leave_room(self) -> None:
        """Begin with the history in the next stream: it is in another room."""
        with self._lock:
            self._seen_id, self._repeated = None, 0

    def begin_stream(self) -> tuple[int | None, int]:
        """Return after which id the new stream shall begin, None: with so many last messages."""
        with self._lock:
            self._is_reopening = False
            if self._seen_id is not None and not self._repeated:
                return self._seen_id, 0
            return None, self._repeated or self._history

    def meet_log(self, epoch: str) -> bool:
        """Note which log the server has; False if ids seen earlier mean nothing in it."""
        with self._lock:
            is_other = bool(self._epoch) and epoch != self._epoch and self._seen_id is not None
            self._epoch = epoch
            if is_other:
                self._seen_id = None
            return not is_other

    def begin_after(self, start: int | None) -> bool:
        """Note the id after which the stream begins; return False if it begins too late.

        Known before anything is said: who is cut off in a silent room misses nothing. None: the
        server did not say.
        """
        with self._lock:
            if self._is_reopening or start is None:
                return True
            is_repetition, self._repeated = self._repeated > 0, 0
            if is_repetition and self._seen_id is not None and start > self._seen_id:
                return False  # so much is new that the history does not reach back to what was seen
            self._seen_id = start
            return True

    def is_news(self, message_id: int) -> bool:
        """Note the id of a message that came, 0 for one outside the log; was it not seen before?"""
        if not message_id:
            return True
        with self._lock:
            if self._is_reopening or message_id <= (self._seen_id or 0):
                return False
            self._seen_id = message_id
            return True
