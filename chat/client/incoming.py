"""What comes in, messages and changes of the connection, and what the user is shown of it.

Called by the receive thread, but for the pages of history, which the main thread asks for.
"""

from __future__ import annotations

from chat.cli.facts import is_fact
from chat.cli.i18n import _
from chat.client.alerts import Alerts
from chat.client.connection_sentences import change_line
from chat.client.connection_status import ConnectionStatus
from chat.client.finder import Finder
from chat.client.gaps import Gaps
from chat.client.key_sentences import key_lines, sent_line
from chat.client.listings import Listings
from chat.client.memory import Memory
from chat.client.notice_sentences import GAP_REASONS, render_notice
from chat.client.pages import Page, Pages
from chat.client.presenter import Presenter
from chat.client.rooms import Rooms
from chat.client.roster import Roster
from chat.client.search_sentences import cannot_search
from chat.client.sent_lines import SentLines
from chat.client.session import Session
from chat.client.state import Change, State
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.client.ui.colours import colours
from chat.client.ui.render import RenderedMessage
from chat.protocol.kinds import READINGS, SAID
from chat.protocol.names import name_key
from chat_pb2 import (
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_INVITED,
    KIND_JOINED,
    KIND_KEY,
    KIND_LEFT,
    KIND_NOTICE,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_SEARCH,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Message,
)

CONNECTED = (Change.CONNECTED, Change.RESUMED, Change.PLAIN)
# Notices, about a room, after which the session is not in it.
REFUSED_ENTRIES = ("TOO_MANY_ROOMS", "ROOM_INVALID", "ROOM_CLOSED")


class Incoming:
    """Shows what comes in: each message where it belongs, each loss once.

    `pages`, `finder`: of history, and of searches, for whoever asks for them. `_listings`,
    `_gaps`, `_is_rewind_told` and `_is_lost` belong to the receive thread, what else there is has
    locks of its own; none is held while the terminal is called, which may make the receive thread
    wait for the main thread.
    """

    def __init__(
        self,
        session: Session,
        terminal: Terminal,
        rooms: Rooms,
        roster: Roster,
        alerts: Alerts,
        sent_lines: SentLines,
        memory: Memory | None = None,
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._rooms = rooms
        self._roster = roster
        self._alerts = alerts
        self._sent_lines = sent_lines
        self._memory = memory or Memory()
        self.pages = Pages()
        self.finder = Finder(session, terminal, self.is_ignored)
        self._presenter = Presenter(session, terminal, rooms, self._memory, self.pages)
        self._listings = Listings(terminal, rooms, roster)
        self._gaps = Gaps()
        self._is_rewind_told = False  # in the present stream
        self._is_lost = False  # the connection

    # Messages.

    def take(self, message: Message) -> None:
        """Take note of a message, and show it where it is to be shown."""
        typed = self._sent_lines.take(message.key) if self._ends_wait(message) else None
        if message.kind in (KIND_PRESENT, KIND_WHO):
            self._take_who(message)
        elif message.kind == KIND_HISTORY:
            self._take_page(message)
        elif message.kind == KIND_SEARCH:
            self._pass_on(message)
            self.finder.take(message)
        elif message.kind == KIND_ROOMS:
            self._pass_on(message)
            self._listings.take_room(message)
        elif message.kind in (KIND_ENTERED, KIND_EXITED):
            self._take_move(message)
        elif message.kind == KIND_KEY:
            self._take_key(message)
        elif is_fact(message):  # whoever is ignored: it is about everybody
            self._presenter.show(message)
        elif message.kind == KIND_NOTICE:
            self._take_notice(message, typed)
        else:
            self._memory.since.note(message)
            self._take_said(message, typed)
            self._presenter.tell_rest(message)

    def _ends_wait(self, message: Message) -> bool:
        """Say whether it answers what has its key; somebody else may have used the same one."""
        is_part = message.kind in READINGS and message.batch
        return bool(message.key) and not is_part and not self._session.is_pending(message.key)

    def _pass_on(self, message: Message) -> None:
        """Hand an answer to a program, which asked for it itself."""
        if not self._terminal.is_interactive:
            self._terminal.show(message, RenderedMessage())

    def _take_said(self, message: Message, typed: str | None) -> None:
        """Take what is said, and who comes and goes."""
        if typed is not None and message.to:
            self._sent_lines.note_delivered(message.key, typed)
        if message.kind == KIND_INVITED:
            self._rooms.tell_of([message.room])
        if self._roster.note(message, self._session.name):
            self._note_people()
        is_on_screen = typed is not None and self._terminal.has_typed_lines
        is_hidden = is_on_screen and message.kind == KIND_UNSPECIFIED
        if is_hidden and message.to and self._session.sealing is not None:
            self._terminal.show_notice(sent_line(message))
        # It answers, and says nothing.
        is_hidden |= message.kind in SAID and not (message.message or message.sealed)
        if not is_hidden and not self.is_ignored(message) and not self._is_elsewhere(message):
            if self._presenter.show_or_record(message):
                self._note_news(message)
        elif is_on_screen and not self.is_ignored(message):
            self._presenter.record(message)

    def is_ignored(self, message: Message) -> bool:
        """Say whether the user does not want to hear who said it; never so of oneself.

        Somebody who is ignored here may have been called as the user is now.
        """
        is_own = name_key(message.user) == name_key(self._session.name)
        return not is_own and self._roster.is_ignored(message.user)

    def _is_elsewhere(self, message: Message) -> bool:
        """Say whether it tells a person who comes to a room, or goes, that is not looked at."""
        if not self._terminal.is_interactive or not self._presenter.is_in_other_room(message):
            return False
        if message.kind == KIND_RENAMED:  # told in each room that is shared
            people = map(name_key, self._roster.names_in(self._rooms.current))
            return name_key(message.message) in people
        return message.kind in (KIND_JOINED, KIND_LEFT)

    def _note_news(self, message: Message) -> None:
        """Ring and count, where somebody says something now."""
        if self._alerts.rings_at(message, self._session.name):
            self._terminal.ring()
        if self._alerts.notifies_of(message, self._session.name):
            self._terminal.notify(render.shown_name(message.user), message.message)
        if not message.to and self._alerts.is_news(message, self._session.name):
            self._rooms.count_unread(message.room)
            self._terminal.refresh()
        if message.id:
            self._gaps.note_seen(message)

    # Notices.

    def _take_notice(self, message: Message, typed: str | None) -> None:
        self.pages.end(message.key)
        if self.finder.refuse(message):
            self._terminal.show_notice(cannot_search())
            return
        is_moved = self._rooms.refuse_entry(message.key)
        if message.user in REFUSED_ENTRIES and message.room:
            is_moved |= self._leave_refused(message.room)
        if typed is not None:
            self._take_refusal(typed, message)
        elif not self._is_count(message):
            self._show_notice(message)
        if is_moved:
            self.tell_room()

    def _leave_refused(self, room: str) -> bool:
        """Leave a room that the session could not come back to; say whether another is spoken in.

        Where it was the only one, the session has gone to the common one.
        """
        for other in self._session.rooms:
            self._rooms.add(other)
        return self._rooms.leave(room)

    def _take_refusal(self, typed: str, message: Message) -> None:
        if self._terminal.is_interactive:
            self._sent_lines.report_unsent(typed, render.notice_reason(message))
        else:
            self._sent_lines.count_failure()
            self._presenter.show(message)

    def _is_count(self, message: Message) -> bool:
        """Take the number of messages that did not come by themselves; a person is told later."""
        is_count = message.user == "MORE_MISSED" and self._terminal.is_interactive
        if is_count:
            self._memory.since.note_left_out(message.room, message.message)
        return is_count

    def _show_notice(self, message: Message) -> None:
        """Show what the server tells; not that it stops, which the loss of the connection tells.

        That the log was put back is told by it of each place, and by us once.
        """
        line = self._sent_lines.take_delivered(message.key)
        if line and not self._terminal.is_interactive:
            self._sent_lines.count_failure()
        if message.user in GAP_REASONS:
            self.pages.forget_shown()
        is_told = message.user == "SHUTTING_DOWN" or (
            message.user == "LOG_REWOUND" and self._is_rewind_told
        )
        self._is_rewind_told |= message.user == "LOG_REWOUND"
        if not is_told:
            rendered = render_notice(message, line, self._rooms, self._gaps, self._is_lost)
            if message.user in GAP_REASONS:
                self._memory.record(message, rendered)
            self._terminal.show(message, rendered)
        elif not self._terminal.is_interactive:
            self._terminal.show(message, RenderedMessage())

    # Who is there.

    def _take_who(self, message: Message) -> None:
        is_complete, was_requested = self._roster.take_answer(message)
        if is_complete:
            self._note_people()
        if was_requested:
            self._listings.show_people(message.room)
        self._pass_on(message)

    def _note_people(self) -> None:
        """Give everybody who is here a colour, and tell how many they are."""
        colours.set_present(self._roster.names)
        self._terminal.refresh()

    # Keys.

    def _take_key(self, message: Message) -> None:
        """Show the key that was asked for beside one's own."""
        self._pass_on(message)
        sealing = self._session.sealing
        if self._terminal.is_interactive and sealing is not None and message.to:
            offer = sealing.show_offer(message.to)
            self._terminal.show_notice("\n".join(key_lines(message.to, offer, sealing)))

    def accept_key(self, name: str) -> bool:
        """Trust the key of `name` that was shown; show what came sealed with it.

        False where none was shown. In the main thread.
        """
        assert self._session.sealing is not None
        opened = self._session.sealing.accept(name)
        if opened is None:
            return False
        text = _("* The key of {name} is accepted.")
        self._terminal.show_notice(text.format(name=render.name_sign(name)))
        for message in opened:
            self._presenter.show(message)
        return True

    # From room to room.

    def _take_move(self, message: Message) -> None:
        """Take the echo of a wish to enter a room, to leave one, or to have somebody leave it."""
        self._pass_on(message)
        if not self._terminal.is_interactive:
            return
        if message.kind == KIND_EXITED and message.to:
            text = _("* {user} is no longer invited to {room}.")
            place, user = render.room_sign(message.room), render.name_sign(message.to)
            self._terminal.show_notice(text.format(user=user, room=place))
        elif message.kind == KIND_EXITED:
            text = _("* You left {room}.").format(room=render.room_sign(message.room))
            self._terminal.show_notice(text)
        elif (room := self._rooms.take_entry(message.key)) is not None:
            text = _("* You entered {room}.").format(room=render.room_sign(room))
            self._terminal.show_notice(text)
        self._terminal.refresh()

    def tell_room(self) -> None:
        """Tell in which room the user talks now."""
        room = self._rooms.current
        if room:
            text = _("You are in {room}.").format(room=render.room_sign(room))
        else:
            text = _("You are in the common room.")
        self._terminal.show_notice("* " + text)
        self._terminal.refresh()

    # Pages of history.

    def _take_page(self, message: Message) -> None:
        """Gather a page, and show it when it is complete."""
        self._pass_on(message)
        if not self.finder.take(message) and (page := self.pages.take(message)) is not None:
            self._show_page(page)

    def _show_page(self, page: Page) -> None:
        title = render.room_sign(page.room)
        if not page.messages:
            text = _("* There are no earlier messages in {room}.").format(room=title)
            self._terminal.show_notice(text)
            return
        self._terminal.show_separator(_("earlier messages of {room}").format(room=title))
        for _id, message in sorted(page.messages.items()):
            if not self.is_ignored(message):
                self._presenter.show(message)
            self.pages.note_shown(message.room, message.id)
        self._terminal.show_separator(_("back to the present"))

    # The connection.

    def tell_change(self, state: State, before: ConnectionStatus) -> None:
        """Tell the user what became of the connection; `before`: how it stood until now."""
        change = state.change
        self._is_lost = change is Change.LOST or (self._is_lost and change not in CONNECTED)
        if change in (Change.CONNECTED, Change.RESUMED):
            self._is_rewind_told = False
        if change is Change.NEW_LOG:
            self._tell_new_log()
        elif line := self._change_line(state, before):
            self._terminal.show_notice(line)

    def _change_line(self, state: State, before: ConnectionStatus) -> str:
        has_choice = len(self._session.addresses) > 1
        return change_line(state, before, self._session.name, has_choice=has_choice)

    def _tell_new_log(self) -> None:
        self.pages.forget_shown()
        text = _("* The server started a new log; messages sent meanwhile may be missing")
        self._terminal.show_notice(f"{text} ({self._gaps.in_room(self._rooms.current)})")
