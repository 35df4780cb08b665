"""What keys do while earlier lines are searched (Ctrl-R, Ctrl-S): what they do in bash's readline.

What is typed is searched for, and a few keys are the search's own. Any other one ends it with the
line that was found, and then does what it always does: an arrow goes on from there, Enter sends.
Everything here runs in the editor's loop.
"""

from __future__ import annotations

import re
from functools import partial

from prompt_toolkit import search
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import is_searching
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.search import SearchDirection

DIRECTIONS = {Keys.ControlR: SearchDirection.BACKWARD, Keys.ControlS: SearchDirection.FORWARD}
# These go back to what was being typed.
ABORTING = (Keys.ControlC, Keys.ControlG, Keys.SIGINT)
# These end the search with the line that was found, and do no more.
ACCEPTING = (Keys.ControlJ,)
# These send it. Readline's Ctrl-O would bring the line after it too, which nobody wants to say.
SENDING = (Keys.ControlM, Keys.ControlO)
# These edit what is searched for, stop the program, or are no keys.
UNTOUCHED = (
    *(Keys.ControlH, Keys.ControlU, Keys.ControlW, Keys.ControlY, Keys.ControlZ),
    *(Keys.Any, Keys.BracketedPaste, Keys.CPRResponse, Keys.Ignore),
    *(Keys.ScrollUp, Keys.ScrollDown, Keys.Vt100MouseEvent, Keys.WindowsMouseEvent),
)
OWN = (*DIRECTIONS, *ABORTING, *ACCEPTING, *SENDING, *UNTOUCHED, Keys.Escape)
ENDING = tuple(key for key in Keys if key not in OWN)


class SearchKeys:
    """The keys by which earlier lines are searched for one to say again.

    `draft`: where they are, and where the one that is found is put.
    """

    def __init__(self, draft: Buffer) -> None:
        self._draft = draft
        self._origin = (0, 0)  # which line was being typed, and where in it

    def bindings(self) -> KeyBindings:
        """Return what each key does."""
        bindings = KeyBindings()
        for key, direction in DIRECTIONS.items():
            bindings.add(key, filter=~is_searching)(partial(self._begin, direction))
        # At once, also where a key may be the first of two.
        add = partial(bindings.add, filter=is_searching, eager=True)
        for key, direction in DIRECTIONS.items():
            add(key)(partial(self._go_on, direction))
        for key in ABORTING:
            add(key)(lambda _event: self._abort())
        for key in ACCEPTING:
            add(key)(accept)
        for key in SENDING:
            add(key)(self._send)
        for key in ENDING:
            add(key)(end)
        add(Keys.Escape)(escape)
        return bindings

    def _begin(self, direction: SearchDirection, _event: KeyPressEvent) -> None:
        self._draft.cancel_completion()
        self._origin = (self._draft.working_index, self._draft.cursor_position)
        search.start_search(direction=direction)

    def _go_on(self, direction: SearchDirection, event: KeyPressEvent) -> None:
        """Go to the next line; with nothing typed, search for what was searched for last."""
        wanted = event.current_buffer
        if wanted.text:
            search.do_incremental_search(direction)
        elif earlier := wanted.history.get_strings():
            wanted.insert_text(earlier[-1])

    def _abort(self) -> None:
        """Go back to where the search began."""
        search.stop_search()
        self._draft.working_index, self._draft.cursor_position = self._origin

    def _send(self, event: KeyPressEvent) -> None:
        """End the search, and send the line that was found; none that was not."""
        wanted = re.escape(event.current_buffer.text)
        accept(event)
        if wanted and re.search(wanted, self._draft.text, re.IGNORECASE):
            press_again(event)


def accept(event: KeyPressEvent) -> None:
    """End the search with the line that is shown; of what was searched for before, nothing."""
    if event.current_buffer.text:
        search.accept_search()
    else:
        search.stop_search()


def end(event: KeyPressEvent) -> None:
    """End the search with the line that was found, and have the key do what it always does."""
    accept(event)
    press_again(event)


def escape(event: KeyPressEvent) -> None:
    """End the search; what came together with Esc is one key with it, and does what it does."""
    if event.key_processor.input_queue:
        end(event)
    else:
        accept(event)


def press_again(event: KeyPressEvent) -> None:
    """Have the key do what it does where nothing is searched."""
    event.key_processor.feed(event.key_sequence[0], first=True)
