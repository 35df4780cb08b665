"""The line being typed: its text, what each key does to it, and what comes back into it.

Knows no screen but the sentence that the status line says instead. Everything here runs in the
editor's loop.
"""

from __future__ import annotations

import asyncio
import math
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.keys import Keys

from chat.cli.i18n import _
from chat.client.commands import CLEAR, PREFIX
from chat.client.other_rooms import waiting_line
from chat.client.typed_lines import TypedLines
from chat.client.ui.base import TerminalController
from chat.client.ui.line_buffer import LineBuffer
from chat.client.ui.menu import DraftCompleter, complete
from chat.protocol.names import name_key

# A refused line is put back so much later: what was typed ahead of the refusal goes first.
PUT_BACK_SECONDS = 0.2
# Enter so soon after Esc begins a new line.
ESCAPE_ENTER_SECONDS = 1.0
# Moving by sentences, which prompt_toolkit binds and has not got.
NO_COMMANDS = "ae"
# A paste of more lines is asked about.
MAX_UNASKED_LINES = 20


@dataclass(frozen=True, eq=False)
class _Entered:
    """A line that was entered, and where: the same words again are another one."""

    line: str
    room: str


class Draft:
    """The line being typed, and what its keys do. Everything here runs in the loop.

    It belongs to the room that is talked in: in another one it would be for other people. `leave`:
    called when the user leaves. `lines`: those of earlier runs, and the drafts. `tell`: shows a
    line.
    """

    def __init__(
        self,
        controller: TerminalController,
        leave: Callable[[], None],
        lines: TypedLines,
        tell: Callable[[str], None],
    ) -> None:
        self._controller = controller
        self._leave = leave
        self._lines = lines
        self._drafts = lines.drafts
        self._tell = tell
        self.hint = ""  # what the status line says instead, until the next key
        self._is_asked_about = False  # since it is long
        self._untouched: _Entered | None = None  # the last line, until the next is begun
        self._came_back = ""  # the refused line, until it is changed
        self._was_interrupted = False
        self._escaped_at = -math.inf  # monotonic seconds
        self.buffer = LineBuffer(
            multiline=True,
            document=Document(self._drafts.go_to(controller.room)),
            history=InMemoryHistory(lines.earlier),
            completer=DraftCompleter(controller),
            complete_while_typing=False,
            on_text_changed=lambda _buffer: self._note_change(),
        )

    def tell_waiting(self, rooms: Sequence[str]) -> None:
        """Say in which rooms something is left to be typed on, if it is in any."""
        if rooms:
            self._tell(waiting_line(rooms))

    def follow_room(self) -> bool:
        """Go on with what was being typed where one talks now; say whether that is another room.

        What was being typed is kept for the room that it was typed in.
        """
        before, room = self._drafts.room, self._controller.room
        if name_key(room) == name_key(before):
            return False
        typed, text = self.buffer.text, self._drafts.go_to(room)
        untouched = self._untouched
        if typed or text:
            self.buffer.document = Document(text)
        self._untouched = untouched  # nobody has typed that
        self.tell_waiting([before] if typed.strip() else [])
        return True

    def _note_change(self) -> None:
        self._drafts.edit(self.buffer.text)
        self._untouched, self._came_back = None, ""
        self._forget_hint()

    def _forget_hint(self) -> None:
        self.hint = ""
        self._was_interrupted = self._is_asked_about = False

    def bindings(self) -> KeyBindings:
        """Return what each key does; while earlier lines are searched, see `SearchKeys`."""
        bindings = KeyBindings()
        is_empty = Condition(lambda: not self.buffer.text)
        came_back = Condition(
            lambda: bool(self._came_back) and self.buffer.document.is_cursor_at_the_end
        )
        add = bindings.add
        add("enter")(self._press_enter)
        # By prompt_toolkit's own of these two the line would be gone, and handed to nobody.
        add("c-o")(lambda _event: self._enter())
        add("escape", "#")(lambda _event: None)
        for letter in NO_COMMANDS:
            add("escape", letter)(type_letter)
        add("escape")(lambda _event: self._escape())
        add("escape", "enter")(lambda _event: self.buffer.insert_text("\n"))
        add("c-c", eager=True)(lambda _event: self._interrupt())
        add("<sigint>")(lambda _event: self._interrupt())
        add(Keys.BracketedPaste)(self._paste)
        add("c-l")(lambda _event: self._controller.handle_line(CLEAR.typed))
        add("c-d", filter=is_empty)(lambda _event: self._leave())
        add(PREFIX, filter=came_back & ~is_searching)(lambda _event: self._begin_command())
        add("tab")(complete)
        add("s-tab")(lambda _event: self.buffer.complete_previous())
        if hasattr(signal, "SIGTSTP"):
            add("c-z")(lambda event: event.app.suspend_to_background())
        return bindings

    def _escape(self) -> None:
        """Close Tab's menu; without one, note that Enter may follow."""
        has_menu = self.buffer.complete_state is not None
        self._escaped_at = -math.inf if has_menu else time.monotonic()
        self.buffer.cancel_completion()

    def _press_enter(self, event: KeyPressEvent) -> None:
        """Hand over what is typed; right behind Esc, begin a new line in it."""
        is_behind_escape = [press.key for press in event.previous_key_sequence] == [Keys.Escape]
        if is_behind_escape and time.monotonic() - self._escaped_at < ESCAPE_ENTER_SECONDS:
            self.buffer.insert_text("\n")
        else:
            self._enter()

    def _paste(self, event: KeyPressEvent) -> None:
        """Insert what is pasted; what is searched for is in one line."""
        text, buffer = pasted(event.data), event.current_buffer
        buffer.insert_text(text if buffer is self.buffer else text.replace("\n", " "))

    def _enter(self) -> None:
        """Hand over what is typed, having asked about a long paste; not where it was not typed."""
        if self.follow_room():
            return
        text = self.buffer.text
        lines = text.count("\n") + 1
        if lines > MAX_UNASKED_LINES and not self._is_asked_about:
            self._is_asked_about = True
            question = _("Send these {} lines as one message? Enter sends, Ctrl-C discards.")
            self.hint = question.format(lines)
            return
        self._clear()
        self._forget_hint()
        self._untouched = _Entered(text, self._drafts.room)
        if not self._controller.handle_line(text):
            self._leave()
        self.follow_room()

    def put_back(self, line: str) -> None:
        """Have a refused line edited again, unless something is typed before that can be seen."""
        loop, untouched = asyncio.get_running_loop(), self._untouched
        if untouched is not None and untouched.line == line:
            loop.call_later(PUT_BACK_SECONDS, self._put_back, untouched)

    def _put_back(self, untouched: _Entered) -> None:
        self.follow_room()
        if untouched is not self._untouched:
            return
        if name_key(untouched.room) == name_key(self._drafts.room):
            self.buffer.document = Document(untouched.line)
            self._came_back = untouched.line
        else:
            self._drafts.put(untouched.room, untouched.line)
            self.tell_waiting([untouched.room])

    def _begin_command(self) -> None:
        """Begin another command, instead of what came back and is left as it is."""
        self.buffer.document = Document(PREFIX)

    def _clear(self) -> None:
        """Empty the line; what it was comes back with the arrow up."""
        self._lines.add(self.buffer.text)
        self.buffer.reset(append_to_history=True)
        self._drafts.edit("")

    def _interrupt(self) -> None:
        """Clear the line; on an empty one say how to leave, and the second time leave."""
        self._untouched = None
        if self.buffer.text:
            self._clear()
            self._note_change()
        elif self._was_interrupted:
            self._leave()
        else:
            self._was_interrupted = True
            self.hint = _("Press Ctrl-C again to leave; Ctrl-D and /quit leave too.")


def type_letter(event: KeyPressEvent) -> None:
    """Insert the letter of Alt and a letter that are nothing together."""
    event.current_buffer.insert_text(event.key_sequence[-1].key)


def pasted(text: str) -> str:
    """Return pasted text without its last line feeds: a copied line has one, and is one line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
