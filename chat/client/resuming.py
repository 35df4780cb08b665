"""Where a session begins, given where the user and the transcript left off, and what is said of it.

Everything runs in the receive thread, but for `place`, which is asked in the main thread before.
"""

from __future__ import annotations

from datetime import datetime

from chat.cli.i18n import _
from chat.client.bookmarks import INBOX, LogMarks, Mark
from chat.client.catching_up import CatchingUp
from chat.client.commands import HISTORY
from chat.client.cursor import Place
from chat.client.left_off import LeftOff
from chat.client.since import Since, time_text
from chat.client.transcript import Transcript
from chat.client.ui import render
from chat.protocol.names import name_key


class Resuming:
    """Where the conversation of `name` at `address` goes on.

    `left_off`, `transcript`: whose marks count; None: there is none. `has_history`: the user has
    said how much is to come first, and that is not what was missed. `since`: the lines about it;
    `catching_up`: what was seen of it.
    """

    def __init__(
        self,
        address: str,
        name: str,
        left_off: LeftOff | None,
        transcript: Transcript | None,
        *,
        has_history: bool,
    ) -> None:
        self._address = address
        self._name = name
        self._left_off = left_off
        self._transcript = transcript
        self._has_history = has_history
        self.since = Since(render.now())
        self.catching_up = CatchingUp()
        self._given = Place()  # where the session was told to begin
        self._met = ""  # the epoch of the log, once it is known

    def place(self, own: Place | None) -> Place:
        """Return where the session begins; `own`: what is known of it otherwise."""
        self._given = own or Place()
        if self._has_history:
            return self._given
        written = seen = self._given
        if self._left_off is not None:
            seen = self._left_off.place(self._given)
        if self._transcript is not None:
            bookmarks = self._transcript.bookmarks
            written = bookmarks.place_at(self._address, self._given, self._name)
        self._given = self.catching_up.begin(written, seen, self._seen_marks(seen.epoch))
        return self._given

    def meet(self, place: Place) -> str:
        """Note which log this is; `place`: where the session is in it.

        Returns what is to be said where that was not known at this address, so that more than the
        last messages may have been missed; else an empty text.
        """
        if not place.epoch or place.epoch == self._met:
            return ""
        self._met = place.epoch
        self.catching_up.meet(place.epoch)
        marks = self._marks(place.epoch)
        is_resumed = not self._has_history and self._given.epoch == place.epoch
        is_resumed = is_resumed and bool(self._given.left)
        self.since.begin(marks, is_resumed=is_resumed)
        if self._transcript is not None and self._left_off is not None and not marks:
            # What is written from now on, and not shown before the client is killed, comes again.
            self._left_off.note(place)
            self._left_off.save()
        return "" if is_resumed or self._has_history else _passed_line(place, marks)

    def forget(self) -> None:
        """Note that ids from before mean nothing any more."""
        self.since.forget()
        self.catching_up.forget()

    def _marks(self, epoch: str) -> dict[str, Mark]:
        """Return where the user left off in a log; where nobody did, how far was written."""
        written: dict[str, Mark] = {}
        if self._transcript is not None:
            written = self._transcript.bookmarks.logs.get(epoch, LogMarks()).rooms
        rooms = {key: mark for key, mark in written.items() if not key.startswith(INBOX)}
        return rooms | self._seen_marks(epoch)

    def _seen_marks(self, epoch: str) -> dict[str, Mark]:
        return self._left_off.marks(epoch) if self._left_off is not None else {}


def _passed_line(place: Place, marks: dict[str, Mark]) -> str:
    """Return what is said where the session begins behind a mark; empty where it does not."""
    rooms = {name_key(room): seen for room, seen in place.rooms.items()}
    known = {key: seen for key, seen in rooms.items() if key in marks}
    passed = [marks[key] for key, seen in known.items() if seen > marks[key].id]
    if not passed:
        return ""
    when = time_text(datetime.fromtimestamp(passed[0].at).astimezone(), render.now())
    text = _("* More may have been said since {when}; {usage} shows it.")
    return text.format(when=when, usage=HISTORY.typed)
