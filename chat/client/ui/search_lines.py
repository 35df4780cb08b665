"""The terminal of `--search`: asks for what was said, prints what is found, and ends.

For pipes: one message a line, the newest first; with `--json` each as an object.
"""

from __future__ import annotations

import secrets
import sys
import threading
from collections.abc import Callable

from chat.cli.i18n import _
from chat.client.ending import EXIT_NOT_ACKNOWLEDGED, sentence
from chat.client.finder import UNABLE, with_id
from chat.client.readings import answers, goes_on_before
from chat.client.search_sentences import cannot_search, hidden_line, nothing_line
from chat.client.typed_lines import TypedLines
from chat.client.ui import render
from chat.client.ui.base import TerminalController
from chat.client.ui.jsonl import json_of
from chat.client.ui.plain import PlainTerminal
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.limits import MAX_FOUND, MAX_HISTORY
from chat_pb2 import KIND_NOTICE, KIND_SEARCH, Message

EXIT_NOTHING_FOUND = 4
# So much of it is printed at the most: what is behind may be asked for by other words.
MAX_PRINTED = MAX_HISTORY
# However slowly a server goes back, it is asked no more often.
MAX_QUESTIONS = 1000
NAME_BYTES = 2


def made_up_name() -> str:
    """Return a name for a search that was given none: nobody has to think of one, or be asked."""
    return _("search-{number}").format(number=secrets.token_hex(NAME_BYTES))


def refusal_text(refusal: ChatError | ConfigError) -> str:
    """Return why a search did not begin; where somebody has the name, that it needs none."""
    if isinstance(refusal, ChatError) and refusal.reason == "NAME_TAKEN":
        return _("Somebody in the chat has this name; leave out --name to search.")
    return sentence(refusal)


class SearchTerminal(PlainTerminal):
    """Prints what is found, and nothing else that comes in.

    The main thread asks and waits, the receive thread prints; `_changed` guards `_wish`, `_left`,
    `_before`, `_found_id`, `_hidden`, `_is_answered`, `_is_over`, `_has_more`, `_is_refused` and
    `printed`.
    """

    def __init__(self, text: str, is_json: bool) -> None:
        super().__init__(listen_only=True)
        self.is_interactive = self.has_typed_lines = False
        self._text = text
        self._is_json = is_json
        self._changed = threading.Condition()
        self._wish = Message()  # the present one
        self._left = 0  # of its answer so many may still come
        self._before = 0  # which id it goes on
        self._found_id = 0  # the last one; of all that comes behind it the ids are lower
        self._hidden = 0  # so many are from people whom the user ignores
        self._is_hidden: Callable[[Message], bool] = lambda message: False
        self._is_answered = False
        self._is_over = False
        self._has_more = False  # than is printed
        self._is_refused = False
        self.printed = 0

    def run(self, controller: TerminalController) -> None:
        """Search, and go on until all was looked through, or enough is found."""
        self._is_hidden = controller.is_hidden
        try:
            for _question in range(MAX_QUESTIONS):
                wish = self._next_wish(controller.room)
                if wish is None:
                    self._tell_end()
                    return
                if not controller.handle_message(wish):
                    return
                controller.wait_answered()
                with self._changed:
                    self._changed.wait_for(lambda: self._is_answered or self._is_over)
            self._refuse(_("* Not all was looked through: the server is too slow at it."))
        except ChatError as error:
            if error.reason not in UNABLE:
                raise
            self._refuse(cannot_search())

    def _next_wish(self, room: str) -> Message | None:
        """Return what to ask next, None where nothing is left to be asked."""
        with self._changed:
            if self._is_over:
                return None
            self._is_answered, self._left = False, MAX_FOUND
            key = secrets.token_hex(12)
            wish = Message(kind=KIND_SEARCH, message=self._text, room=room, key=key)
            wish.id = self._before
            self._wish.CopyFrom(wish)
        return wish

    def _tell_end(self) -> None:
        """Say what is not printed of what was found; to a person also that nothing was."""
        with self._changed:
            has_more, hidden, room = self._has_more, self._hidden, self._wish.room
            is_nothing = self._is_answered and not (self.printed or hidden or self._is_refused)
        if hidden:
            self.show_error(hidden_line(hidden))
        if is_nothing and sys.stderr.isatty():  # a script goes by the exit code
            self.show_error(nothing_line(room, self._text))
        if has_more:
            text = _("* These are the newest {count}; there are more. More words find fewer.")
            self.show_error(text.format(count=MAX_PRINTED))

    def show(self, message: Message, rendered: RenderedMessage) -> None:
        """Print what was found; anything else is not what was asked for."""
        with self._changed:
            if not self._wish.key or message.key != self._wish.key:
                return
            if message.kind == KIND_NOTICE:
                self._refuse(cannot_search() if message.user in UNABLE else rendered.line)
            elif message.kind == KIND_SEARCH and message.batch:
                self._print_found(message)
            elif message.kind == KIND_SEARCH:
                self._before = goes_on_before(message, self._wish.id)
                self._is_answered = True
            self._is_over |= self._is_answered and not self._before
            self._is_over |= self._has_more
            self._changed.notify_all()

    def _print_found(self, part: Message) -> None:
        """Print a part of an answer, which may come once more after the loss of a connection."""
        for found in answers(part, self._wish.room, self._wish.id):
            is_next = not self._found_id or found.id < self._found_id
            is_hidden = self._is_hidden(found)
            if is_next and self.printed == MAX_PRINTED and not is_hidden:
                self._has_more = True
            elif is_next and self._left > 0:
                self._left -= 1
                self._found_id = found.id
                self._hidden += is_hidden
                if not is_hidden:
                    self.printed += 1
                    self._print(self._line_of(found))

    def _refuse(self, text: str) -> None:
        """Say why nothing more is found, and look for no more."""
        with self._changed:
            self._is_refused = self._is_over = True
        self.show_error(text)

    def _line_of(self, message: Message) -> str:
        if self._is_json:
            return json_of(message)
        rendered = render.render_message(message)
        return with_id(message, rendered).line if rendered is not None else ""

    def use_lines(self, lines: TypedLines) -> None:
        """Do nothing: it is no conversation."""

    def stop(self) -> None:
        """Make the main thread stop waiting for the answer."""
        super().stop()
        with self._changed:
            self._is_over = True
            self._changed.notify_all()

    def exit_code(self, code: int) -> int:
        """Return the exit code of a conversation that ended with `code`."""
        if self._is_refused and not code:
            return EXIT_NOT_ACKNOWLEDGED
        return code if code or self.printed else EXIT_NOTHING_FOUND
