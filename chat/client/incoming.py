"""What comes in, messages and changes of the connection, and what the user is shown of it.

Called by the receive thread, but for the repetition of the history, which the main thread begins.
"""

from __future__ import annotations

import threading
from datetime import datetime

from chat.cli.i18n import _, _n
from chat.client.alerts import Alerts
from chat.client.roster import Roster
from chat.client.sent_lines import SentLines
from chat.client.session import Session
from chat.client.state import Change, State
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.client.ui.render import RenderedMessage
from chat.protocol.errors import explain
from chat_pb2 import KIND_NOTICE, KIND_PRESENT, KIND_UNSPECIFIED, KIND_WHO, Message

# A list longer than this would fill the screen.
MAX_LISTED_PEOPLE = 100


class Incoming:
    """Shows what comes in: each message where it belongs, each loss once.

    `_lock` guards `_repeating_until`; it is never held while the terminal is called, which may make
    the receive thread wait for the main thread. `_seen_at` belongs to the receive thread.
    """

    def __init__(
        self,
        session: Session,
        terminal: Terminal,
        roster: Roster,
        alerts: Alerts,
        sent_lines: SentLines,
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._roster = roster
        self._alerts = alerts
        self._sent_lines = sent_lines
        self._lock = threading.Lock()
        self._repeating_until = 0  # the id at which what comes once more ends
        self._seen_at: datetime | None = None

    # Messages.

    def take(self, message: Message) -> None:
        """Take note of a message, and show it where it is to be shown."""
        typed = self._sent_lines.take(message.key) if message.key else None
        if message.kind == KIND_NOTICE and typed is not None:
            self._take_refusal(typed, message)
        elif message.kind in (KIND_PRESENT, KIND_WHO):
            self._take_answer(message)
        else:
            if self._roster.note(message, self._session.name):
                self._terminal.refresh()
            is_on_screen = typed is not None and self._terminal.has_typed_lines
            is_hidden = is_on_screen and message.kind == KIND_UNSPECIFIED
            is_ignored = message.kind != KIND_NOTICE and self._roster.is_ignored(message.user)
            if not is_hidden and not is_ignored:
                self._show(message)

    def _take_refusal(self, typed: str, message: Message) -> None:
        if self._terminal.is_interactive:
            reason = explain(message.user, render.one_line(message.message))
            self._sent_lines.give_back(typed, reason)
        else:
            self._sent_lines.count_failure()
            self._show(message)

    def _take_answer(self, message: Message) -> None:
        is_complete, was_requested = self._roster.take_answer(message)
        if is_complete:
            self._terminal.refresh()
        if was_requested:
            self._list_people()
        if not self._terminal.is_interactive:
            self._terminal.show(message, RenderedMessage())

    def _list_people(self) -> None:
        names = self._roster.names
        shown = ", ".join(map(render.isolated, names[:MAX_LISTED_PEOPLE]))
        text = _n("{} person here: {names}", "{} people here: {names}", len(names))
        more = ", \N{HORIZONTAL ELLIPSIS}" if len(names) > MAX_LISTED_PEOPLE else ""
        self._terminal.show_notice("* " + text.format(len(names), names=shown + more))

    def _show(self, message: Message) -> None:
        until = self._repetition_end
        is_repeated = 0 < message.id <= until
        if until and message.id > until:
            self.end_repetition()
        rendered = render.render_message(message, self._session.name)
        if message.kind == KIND_NOTICE:
            rendered = self._render_notice(message, rendered)
        if rendered is not None or not self._terminal.is_interactive:
            self._terminal.show(message, rendered or RenderedMessage())
        if not is_repeated and self._alerts.rings_at(message, self._session.name):
            self._terminal.ring()
        if message.id and message.id == until:
            self.end_repetition()
        if message.id and not is_repeated:
            self._seen_at = render.time_of(message)

    def _render_notice(
        self, message: Message, rendered: RenderedMessage | None
    ) -> RenderedMessage | None:
        """Say from when to when something is missing, where that is what the notice says."""
        if message.user == "SHUTTING_DOWN":
            return None  # the connection is about to be lost, and that says it
        if message.user not in ("HISTORY_GONE", "LOG_REWOUND"):
            return rendered
        self.end_repetition()
        text = _("* server: {reason}").format(reason=explain(message.user, ""))
        return render.local_notice(f"{text} ({self._gap()})", "class:notice")

    def _gap(self) -> str:
        """Return the time in which something may be missing."""
        until = render.now()
        if self._seen_at is None:
            return _("until {until}").format(until=until.strftime("%H:%M"))
        since = self._seen_at
        is_today = since.date() == until.date()
        since_text = since.strftime("%H:%M" if is_today else _("%Y-%m-%d") + " %H:%M")
        text = _("from {since} to {until}")
        return text.format(since=since_text, until=until.strftime("%H:%M"))

    # History once more.

    @property
    def _repetition_end(self) -> int:
        with self._lock:
            return self._repeating_until

    def begin_repetition(self, until: int) -> None:
        """Mark what comes now as repeated, up to the id `until`; from the main thread."""
        self.end_repetition()
        with self._lock:
            self._repeating_until = until
        if until:
            self._terminal.show_separator(_("earlier messages"))

    def end_repetition(self) -> None:
        """Mark the end of what came once more, if it did; from any thread."""
        with self._lock:
            was_repeating, self._repeating_until = self._repeating_until, 0
        if was_repeating:
            self._terminal.show_separator(_("back to the present"))

    # The connection.

    def tell_change(self, state: State, was_lost: bool) -> None:
        """Tell the user what became of the connection; `was_lost`: before this change."""
        if state.change is Change.PLAIN:
            self._terminal.show_notice(_("* This server keeps no history and confirms nothing."))
        elif state.change is Change.LOST and not was_lost:
            self._terminal.show_notice(_("* Connection lost: {cause}").format(cause=state.cause))
        elif state.change is Change.RESUMED:
            self._tell_resumed(was_lost)
        elif state.change is Change.NEW_LOG:
            text = _("* The server started a new log; messages sent meanwhile may be missing")
            self._terminal.show_notice(f"{text} ({self._gap()})")

    def _tell_resumed(self, was_lost: bool) -> None:
        room = self._session.room
        if self._roster.enter(room):
            self.end_repetition()
            text = _("You are in {room}.").format(room=render.room_title(room))
            self._terminal.show_notice(f"* {text}")
        elif was_lost:
            self._terminal.show_notice(_("* Reconnected; the messages you missed follow."))
