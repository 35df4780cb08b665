"""How far what came in is on the screen: what waits for it was not seen yet.

A client that is killed has lost what it had taken and not shown; it is to come again then. Knows no
file, and no terminal but by `when_shown`.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from chat.client.cursor import Place
from chat.client.ui.base import Terminal


class Shown:
    """Hands places in the log to `note`, each once everything before it has been shown.

    One mark at a time follows what is shown, for all that came meanwhile. The receive thread takes,
    whichever thread shows says so; `_lock` guards every attribute.
    """

    def __init__(self, note: Callable[[Place], None]) -> None:
        self._note = note
        self._lock = threading.Lock()
        self._taken: Place | None = None  # for the next mark
        self._is_marked = False  # something on its way to the screen will say that it was shown
        self._marked: Place | None = None  # with it; None: it means nothing any more

    def take(self, place: Place, terminal: Terminal) -> None:
        """Note that everything before `place` is on its way to the screen."""
        with self._lock:
            if self._is_marked:
                self._taken = place
                return
            self._is_marked, self._marked = True, place
        self._mark(terminal)

    def forget(self) -> None:
        """Note that the places that were taken mean nothing any more."""
        with self._lock:
            self._taken = self._marked = None

    def _mark(self, terminal: Terminal) -> None:
        terminal.when_shown(lambda: self._go_on(terminal))

    def _go_on(self, terminal: Terminal) -> None:
        """Note the place that is on the screen now; in whatever thread shows it."""
        with self._lock:
            shown = self._marked
        if shown is not None:
            self._note(shown)
        with self._lock:
            self._marked, self._taken = self._taken, None
            self._is_marked = self._marked is not None
            is_marked = self._is_marked
        if is_marked:
            self._mark(terminal)
