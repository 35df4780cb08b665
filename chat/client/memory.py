"""What a client keeps of a conversation from one run to the next, and when it is written.

Where the user left off, and who that is for the server, the lines that were typed and the draft,
and the transcript: each has a module of its own, which knows its file; this one knows the
conversation.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from chat.client.cursor import Place
from chat.client.identity import Identity
from chat.client.left_off import LeftOff
from chat.client.resuming import Resuming
from chat.client.shown import Shown
from chat.client.since import Since
from chat.client.transcript import Transcript
from chat.client.typed_lines import TypedLines
from chat.client.ui.base import Terminal
from chat.client.ui.render import RenderedMessage
from chat.protocol.limits import MAX_HISTORY
from chat_pb2 import Message

# As much as a client that is killed may show once more, or have forgotten of the draft.
SAVE_SECONDS = 3.0


class Memory:
    """What is remembered of the conversation of `name` at `address`; without a folder, nothing.

    `transcript`: where what is said is written, None for nowhere. `has_history`: the user has said
    how much is to come first, and that is not what was missed. `is_person`: only a person leaves
    off somewhere; what a program reads is its own business. `identity`: kept up to date, and closed
    at the end.

    What changes belongs to the receive thread, or has locks of its own.
    """

    def __init__(
        self,
        address: str = "",
        name: str = "",
        folder: Path | None = None,
        *,
        transcript: Transcript | None = None,
        has_history: bool = False,
        is_person: bool = False,
        identity: Identity | None = None,
    ) -> None:
        self._address = address
        self._left_off = LeftOff(address, name, folder) if folder and is_person else None
        self._identity = identity
        self._transcript = transcript
        self.lines = TypedLines(address, name, folder if is_person else None)
        self._resuming = Resuming(
            address, name, self._left_off, transcript, has_history=has_history
        )
        self._is_met = False  # the log
        self._last_rooms: list[str] = []  # of the run before; not told yet
        self._shown = Shown(self._note_shown)
        self._has_ended = threading.Event()
        self._saver = threading.Thread(target=self._save_regularly, name="memory", daemon=True)

    # Before the conversation; in the main thread.

    def place(self, own: Place | None) -> Place:
        """Return where the session begins; `own`: what is known of it otherwise."""
        return self._resuming.place(own)

    @property
    def at_most(self) -> int | None:
        """How much of what was missed is shown by itself; a transcript gets all of it."""
        return MAX_HISTORY if self._transcript is None else None

    @property
    def since(self) -> Since:
        """The lines between what the user has seen and what is new."""
        return self._resuming.since

    def begin(self, terminal: Terminal) -> None:
        """Keep from now on what is typed and seen at this terminal."""
        terminal.use_lines(self.lines)
        if self._transcript is not None:
            self._transcript.on_trouble = terminal.show_error
            self._transcript.on_mended = terminal.show_notice
        self._saver.start()

    def close(self, was_connected: bool = False) -> None:
        """Write all there is; in the main thread, when everything was shown.

        `was_connected`: until now, so that nothing is missing by now.
        """
        self._has_ended.set()
        if self._saver.is_alive():
            self._saver.join()
        if was_connected and self._left_off is not None:
            self._left_off.stay()
        self.save()
        if self._transcript is not None:
            self._transcript.close()
        if self._identity is not None:
            self._identity.close()

    # In a thread of its own.

    def _save_regularly(self) -> None:
        while not self._has_ended.wait(SAVE_SECONDS):
            self.save()

    def save(self) -> None:
        """Write what is new. From any thread; blocks for a moment."""
        if self._left_off is not None:
            self._left_off.save()
        self.lines.drafts.save()

    # What comes in; in the receive thread.

    def meet(self, place: Place, name: str) -> str:
        """Note which log this is, and that what comes now is for `name`.

        Returns what is to be said where that was not known at this address, so that more than the
        last messages may have been missed; else an empty text.
        """
        if self._transcript is not None:
            self._transcript.meet(self._address, place, name)
        if self._left_off is not None and not self._is_met:
            self._last_rooms, self._is_met = self._left_off.last_rooms(place.epoch), True
        line = self._resuming.meet(place)
        if self._identity is not None:
            self._identity.follow(name)
            self._identity.meet(self._resuming.catching_up.seen(place))
        return line

    def last_rooms(self) -> list[str]:
        """Return in which rooms of the log that was met the last run was; once, then none."""
        rooms, self._last_rooms = self._last_rooms, []
        return rooms

    def rewind(self, place: Place) -> None:
        """Note that ids from before mean nothing: the log is another, or was put back.

        `place`: where the session is now.
        """
        self._shown.forget()
        self._resuming.forget()
        if self._identity is not None:
            self._identity.meet(place)
        if self._left_off is not None:
            self._left_off.rewind()
        if self._transcript is not None:
            self._transcript.rewind()

    def rename(self, name: str) -> None:
        """Note that the user is called otherwise now."""
        if self._left_off is not None:
            self._left_off.rename(name)
        if self._identity is not None:
            self._identity.follow(name)

    def has_shown(self, message: Message) -> bool:
        """Say whether an earlier run has shown a message that comes now, for the transcript."""
        return self._resuming.catching_up.has(message)

    def record(self, message: Message, rendered: RenderedMessage) -> None:
        """Have an entry written to the transcript, if there is one."""
        if self._transcript is not None:
            self._transcript.add(message, rendered)

    def pause(self) -> None:
        """Note that all that came together has been taken: it is written together."""
        if self._transcript is not None:
            self._transcript.write()

    def take(
        self, place_now: Callable[[], Place], terminal: Terminal, *, is_private: bool = False
    ) -> None:
        """Note that everything that came so far is on its way to the screen.

        `place_now`: returns where the session is. `is_private`: what came last; of a program
        nothing else counts.
        """
        if self._left_off is not None or is_private:
            self._shown.take(self._resuming.catching_up.seen(place_now()), terminal)

    def _note_shown(self, place: Place) -> None:
        """Note that everything before `place` is on the screen; in whatever thread shows it."""
        if self._left_off is not None:
            self._left_off.note(place)
        if self._identity is not None:
            self._identity.save(place)
