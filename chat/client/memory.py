"""What a client keeps of a conversation from one run to the next, and when it is written.

Where the user left off, and who that is for the server, the lines that were typed and the draft,
and the transcript: each has a module of its own, which knows its file; this one knows the
conversation.
"""

from __future__ import annotations

import threading
from argparse import Namespace
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from chat.cli.folders import state_folder
from chat.cli.i18n import _
from chat.cli.system_errors import words_of
from chat.client import left_off, typed_lines
from chat.client.bookmarks import LogMarks, Mark
from chat.client.catching_up import CatchingUp
from chat.client.commands import HISTORY
from chat.client.cursor import Place
from chat.client.identity import Identity
from chat.client.left_off import LeftOff
from chat.client.settings import use_of
from chat.client.shown import Shown
from chat.client.since import Since, time_text
from chat.client.transcript import Transcript
from chat.client.typed_lines import TypedLines
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import UsageError
from chat.protocol.limits import MAX_HISTORY
from chat.protocol.names import name_key
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
        self._has_history = has_history
        self._left_off = LeftOff(address, name, folder) if folder and is_person else None
        self._identity = identity
        self._transcript = transcript
        self.lines = TypedLines(address, name, folder if is_person else None)
        self.since = Since(render.now())
        self._catching_up = CatchingUp()
        self._given = Place()  # where the session was told to begin
        self._met = ""  # the epoch of the log, once it is known
        self._shown = Shown(self._note_shown)
        self._has_ended = threading.Event()
        self._saver = threading.Thread(target=self._save_regularly, name="memory", daemon=True)

    # Before the conversation; in the main thread.

    def place(self, own: Place | None) -> Place:
        """Return where the session begins; `own`: what is known of it otherwise."""
        self._given = own or Place()
        if self._has_history:
            return self._given
        written = seen = self._given
        if self._left_off is not None:
            seen = self._left_off.place(self._given)
        if self._transcript is not None:
            written = self._transcript.bookmarks.place_at(self._address, self._given)
        self._given = self._catching_up.begin(written, seen, self._seen_marks(seen.epoch))
        return self._given

    @property
    def at_most(self) -> int | None:
        """How much of what was missed is shown by itself; a transcript gets all of it."""
        return MAX_HISTORY if self._transcript is None else None

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
        self.lines.save_draft()

    # What comes in; in the receive thread.

    def meet(self, place: Place, name: str) -> str:
        """Note which log this is, and that what comes now is for `name`.

        Returns what is to be said where that was not known at this address, so that more than the
        last messages may have been missed; else an empty text.
        """
        if self._identity is not None:
            self._identity.follow(name)
            self._identity.meet(place)
        if self._transcript is not None:
            self._transcript.meet(self._address, place, name)
        if not place.epoch or place.epoch == self._met:
            return ""
        self._met = place.epoch
        self._catching_up.meet(place.epoch)
        marks = self._marks(place.epoch)
        is_resumed = not self._has_history and self._given.epoch == place.epoch
        is_resumed = is_resumed and bool(self._given.left)
        self.since.begin(marks, is_resumed=is_resumed)
        if self._transcript is not None and self._left_off is not None and not marks:
            # What is written from now on, and not shown before the client is killed, comes again.
            self._left_off.note(place)
            self._left_off.save()
        rooms = {name_key(room): seen for room, seen in place.rooms.items()}
        known = {key: seen for key, seen in rooms.items() if key in marks}
        passed = [marks[key] for key, seen in known.items() if seen > marks[key].id]
        if is_resumed or self._has_history or not passed:
            return ""
        when = time_text(datetime.fromtimestamp(passed[0].at).astimezone(), render.now())
        text = _("* More may have been said since {when}; {usage} shows it.")
        return text.format(when=when, usage=HISTORY.typed)

    def _marks(self, epoch: str) -> dict[str, Mark]:
        """Return where the user left off in a log; where nobody did, how far was written."""
        written: dict[str, Mark] = {}
        if self._transcript is not None:
            written = self._transcript.bookmarks.logs.get(epoch, LogMarks()).rooms
        return written | self._seen_marks(epoch)

    def _seen_marks(self, epoch: str) -> dict[str, Mark]:
        return self._left_off.marks(epoch) if self._left_off is not None else {}

    def rewind(self, place: Place) -> None:
        """Note that ids from before mean nothing: the log is another, or was put back.

        `place`: where the session is now.
        """
        self._shown.forget()
        if self._identity is not None:
            self._identity.meet(place)
        self.since.forget()
        self._catching_up.forget()
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
        return self._catching_up.has(message)

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
            self._shown.take(self._catching_up.seen(place_now()), terminal)

    def _note_shown(self, place: Place) -> None:
        """Note that everything before `place` is on the screen; in whatever thread shows it."""
        if self._left_off is not None:
            self._left_off.note(place)
        if self._identity is not None:
            self._identity.save(place)


def remember(
    settings: Namespace, address: str, name: str, terminal: Terminal, identity: Identity
) -> Memory:
    """Return what is remembered of a conversation, as the settings say.

    Raises `UsageError`, where the transcript cannot be written.
    """
    folder = state_folder()
    return Memory(
        address,
        name,
        None if settings.private else folder,
        transcript=Transcript(Path(settings.transcript), folder) if settings.transcript else None,
        has_history=settings.history is not None,
        is_person=terminal.is_interactive and use_of(settings).has_reader,
        identity=identity,
    )


def forget_all(address: str, name: str | None) -> str:
    """Forget all that is remembered of a server; return what to say of it. Raises `UsageError`.

    `name`: of that one alone; None: of everybody who uses this folder.
    """
    folder = state_folder()
    try:
        is_known = folder is not None and left_off.forget(folder, address, name)
        is_known |= folder is not None and typed_lines.forget(folder, address, name)
    except OSError as error:
        text = _("What is remembered of {address} cannot be removed ({error}).")
        raise UsageError(text.format(address=address, error=words_of(error))) from error
    if not is_known:
        return _("Nothing was remembered of {address}.").format(address=address)
    text = _("Where you left off on {address}, what you typed there and the draft are forgotten.")
    return text.format(address=address)
