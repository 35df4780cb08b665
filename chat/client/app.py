"""One person's side of the chat, from coming in to leaving.

Stands between a `Session` and a terminal, and knows the insides of neither. Two threads meet here:
the main thread, in which the terminal reads, and the receive thread, whose body is
`client.receive_messages`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress

from chat.cli import english, i18n
from chat.cli.dependencies import missing_line
from chat.cli.i18n import _, _n
from chat.client import commands, completion, outbox
from chat.client.actions import Actions
from chat.client.alerts import Alerts
from chat.client.arrival import Arrival
from chat.client.completion import Completions
from chat.client.connection_status import ConnectionStatus
from chat.client.ending import (
    EXIT_NOT_ACKNOWLEDGED,
    Farewell,
    sentence,
    unexpected,
)
from chat.client.ignored import Ignored
from chat.client.incoming import Incoming
from chat.client.memory import Memory
from chat.client.other_rooms import last_rooms_line
from chat.client.piped_lines import PipedLines
from chat.client.program_requests import request
from chat.client.rooms import Rooms
from chat.client.roster import Roster
from chat.client.sent_lines import SentLines
from chat.client.session import Session
from chat.client.state import Change, State
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.kinds import SAID
from chat.protocol.names import name_key
from chat_pb2 import (
    KIND_ACTION,
    KIND_ENTERED,
    KIND_NOTICE,
    KIND_RENAMED,
    Message,
)

# How long to wait for the server's word on the name before typing begins.
GREETING_SECONDS = 1.0
# How long leaving takes: for most of it what is on its way is waited for, then it is aborted, and
# the receive thread may show what it has, if anybody reads it.
LEAVE_SECONDS = 1.5
ON_ITS_WAY_SHARE = 0.8
# How long another one may have the name before the user is asked for a new one.
LOST_NAME_SECONDS = 60.0


class App:
    """One person at one terminal: what is typed goes to the session, what comes in is shown.

    `session`: takes its `on_state`. `bell`: one of `alerts.MODES`. `ignored`: who is, over runs.
    `memory`: what else is kept over runs. `notifies`: by the terminal, where it can.

    `_lock` guards `_cause`, `_has_started`, `_is_leaving`, `_status` and `_asked_name`: exactly one
    of the two threads sees to the cause of the end. What else there is has locks of its own.
    """

    def __init__(
        self,
        session: Session,
        terminal: Terminal,
        bell: str,
        ignored: Ignored | None = None,
        memory: Memory | None = None,
        notifies: bool = False,
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._arrival = Arrival(terminal)
        self._memory = memory or Memory()
        self._rooms = Rooms(session.rooms)
        self._roster = Roster(ignored)
        self._sent_lines = SentLines(terminal)
        self._piped_lines = PipedLines(terminal.show_error)
        self._farewell = Farewell(session, terminal, self._sent_lines, self._as_said)
        ringing = Alerts(bell, render.now(), notifies)
        self._incoming = Incoming(
            session, terminal, self._rooms, self._roster, ringing, self._sent_lines, self._memory
        )
        self._actions = Actions(
            session,
            terminal,
            self._rooms,
            self._roster,
            ringing,
            self._incoming,
            self._sent_lines,
            lambda: self._present_status,
        )
        self._receive_thread: threading.Thread | None = None
        self._greeted = threading.Event()
        self._lock = threading.Lock()
        self._cause: ChatError | ConfigError | None = None  # of the end
        self._has_started = False  # what happens now is for the terminal, not for `start`
        self._is_leaving = False
        self._asked_name = ""  # the taken one for which the user was asked for another
        self._status = ConnectionStatus()
        session.on_state = self.connection_changed
        session.on_pause = self._memory.pause

    @property
    def _present_status(self) -> ConnectionStatus:
        with self._lock:
            return self._status

    # From beginning to end; in the main thread.

    def start(self, receive_thread: threading.Thread) -> None:
        """Let `receive_thread` connect; raises the refusal if there was one already."""
        self._receive_thread = receive_thread
        self._memory.begin(self._terminal)
        try:
            receive_thread.start()
            self._greeted.wait(GREETING_SECONDS)
            if self._terminal.is_interactive:
                # Whose word comes late finds the user typing, and what was typed is kept.
                self._session.wait_for_name()
            with self._lock:
                if self._cause is not None:
                    raise self._cause
                self._has_started = True
        except BaseException:
            self._end_session()
            self._memory.close()
            raise

    def _tell_missing(self) -> None:
        """Say that nothing can be sealed, where it could but for what is not installed."""
        is_wanted = self._session.sealing is not None
        if is_wanted and (line := missing_line({"nacl": _("sealed private messages")})):
            self._terminal.show_notice(line)

    def run(self) -> int:
        """Send what is typed until the person leaves; return the exit code.

        A signal, which raises `KeyboardInterrupt` or `SystemExit`, ends it in order too, within
        `LEAVE_SECONDS`; the next one at once.
        """
        try:
            with self.watching():
                self._tell_missing()
                self._terminal.run(self)
                if not self._terminal.is_interactive:
                    # Even if it said nothing, whether anybody was there is in its exit code.
                    self._farewell.wait_greeted(self._greeted)
                    self._farewell.wait_acknowledged()
        finally:
            was_connected = self._session.is_connected
            try:
                self._end_session()
            finally:
                with self.watching():
                    self._terminal.finish()
                self._memory.close(was_connected)
                is_anything_lost = self._farewell.tell_lost()
        return self._exit_code(is_anything_lost)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Let an error that ends the block end the conversation, in order, and go no further.

        Around what each thread of the client does: nobody else would see how it ended, and what is
        typed from then on would go nowhere.
        """
        try:
            yield
        except (ChatError, ConfigError) as refusal:
            self.end(refusal)
        except Exception as error:
            self._session.abort()
            self.end(unexpected(error))

    def _exit_code(self, is_anything_lost: bool) -> int:
        with self._lock:
            cause = self._cause
        code = self._farewell.exit_code(cause, is_anything_lost)
        # Who was in and lost the name was not refused: what it says could not be said.
        has_lost_name = cause is not None and self._present_status.has_lost_name
        return EXIT_NOT_ACKNOWLEDGED if has_lost_name else code

    def last_words(self) -> int:
        """Say why the conversation ends and what is lost; return the exit code. From any thread."""
        return self._exit_code(self._farewell.tell_lost())

    def _end_session(self) -> None:
        """Half-close, and take what is still owed to us; if even that is interrupted, abort.

        Blocks for `LEAVE_SECONDS` at most.
        """
        deadline = time.monotonic() + LEAVE_SECONDS
        with self._lock:
            self._is_leaving = True
        try:
            with suppress(ChatError, ConfigError):  # nobody was there to tell it
                self._session.close(LEAVE_SECONDS * ON_ITS_WAY_SHARE)
        finally:
            self._session.abort()
            if self._receive_thread is not None and self._receive_thread.is_alive():
                self._receive_thread.join(max(0.0, deadline - time.monotonic()))

    # What comes in; in the receive thread.

    def receive(self, message: Message) -> None:
        """Take a message that came in."""
        if message.kind == KIND_NOTICE and message.user == "LOG_REWOUND":
            self._memory.rewind(self._session.place)
        self._incoming.take(message)
        is_private = bool(message.to and message.id)
        self._memory.take(lambda: self._session.place, self._terminal, is_private=is_private)
        if message.kind == KIND_ENTERED:
            self._roster.forget_room(message.room)
            self._ask_who_is_here()
        elif message.kind == KIND_RENAMED:
            self._memory.rename(self._session.name)

    def end(self, cause: ChatError | ConfigError) -> None:
        """End the conversation: nothing more will come in. The first cause is told."""
        with self._lock:
            self._cause = self._cause or cause
            is_ours = self._has_started and not self._is_leaving
        self._greeted.set()
        if is_ours:
            self._terminal.stop()

    def connection_changed(self, state: State) -> None:
        """Take note of what became of the connection, and tell the person."""
        with self._lock:
            before, is_leaving = self._status, self._is_leaving
            self._status = ConnectionStatus(state, before)
        if not is_leaving:
            self._arrival.tell(state, before, self._rooms.current)
        if state.change in (Change.CONNECTED, Change.RESUMED, Change.PLAIN):
            self._greeted.set()
            self._come_in()
        elif state.change in (Change.SILENT, Change.LOST):
            self._greeted.set()  # somebody is there
        if not is_leaving:
            self._incoming.tell_change(state, before)
            if state.change is Change.NAME_TAKEN:
                self._see_to_lost_name()
            elif state.change is Change.NAME_OWNED:
                text = _(
                    "* The name {name} belongs to somebody else, or looks like one that does."
                    " Choose another one with {usage}; what you typed and what is not confirmed"
                    " is kept, and sent then."
                )
                self._ask_another_name(text)
        self._terminal.refresh()

    def _come_in(self) -> None:
        """Begin anew with what is known of people and of the name."""
        with self._lock:
            self._asked_name = ""
        self._roster.forget()
        self._ask_who_is_here()
        if line := self._memory.meet(self._session.place, self._session.name):
            self._terminal.show_notice(line)
        if rooms := [room for room in self._memory.last_rooms() if room not in self._rooms]:
            self._terminal.show_notice(last_rooms_line(rooms))

    def _ask_who_is_here(self) -> None:
        """Ask for the status line, if that is not known and no asking would block or fail."""
        room, now = self._rooms.current, time.monotonic()
        is_lost = self._present_status.is_lost or not self._session.is_connected
        is_possible = self._session.is_full and not is_lost
        has_space = self._session.unacknowledged < outbox.MAX_PENDING // 2
        if (
            self._terminal.is_live
            and is_possible
            and has_space
            and self._roster.is_stale(room, now)
        ):
            self._roster.begin_who(room, now)
            with suppress(ChatError):  # the connection has changed, or the room, meanwhile
                self._session.ask_who(room)

    def _see_to_lost_name(self) -> None:
        """After a minute ask a person for another name; a program ends.

        Who never had the name is asked at once.
        """
        status = self._present_status
        if status.is_known and time.monotonic() - status.name_lost_at < LOST_NAME_SECONDS:
            return
        if not self._terminal.is_interactive:
            self._session.abort()
            self.end(ChatError("NAME_TAKEN"))
            return
        name = self._session.name
        with self._lock:
            was_asked, self._asked_name = self._asked_name == name, name
        if not was_asked:
            text = _(
                "* The name {name} is taken. Choose another one with {usage}; what you typed"
                " and what is not confirmed is kept, and sent then."
            )
            self._ask_another_name(text)

    def _ask_another_name(self, text: str) -> None:
        name, usage = render.name_sign(self._session.name), commands.RENAME.usage
        self._terminal.show_notice(text.format(name=name, usage=usage))

    # What a terminal asks and hands over (`TerminalController`); `handle_…` in the main thread.

    @property
    def name(self) -> str:
        return self._session.name

    @property
    def room(self) -> str:
        return self._rooms.current

    def handle_line(self, line: str) -> bool:
        """Take a typed line: a message or a command. False when it is the last one.

        The person leaves by it; or a program has to wait for the server, and that is given up: then
        the line is reported.
        """
        if commands.is_leaving(line):
            return False
        if not line.strip():
            return True
        if not self._terminal.is_interactive and not self._farewell.wait_for_space():
            self._report_refused(line, ChatError("TOO_MUCH_WAITING"))
            return False
        self._sent_lines.begin(line)
        try:
            if self._terminal.is_interactive:
                self._actions.do(line)
                if not self._rooms.is_entering:  # else its echo has it asked
                    self._ask_who_is_here()
            else:
                self._piped_lines.note(line)
                self._actions.send(line, self._rooms.current)
        except ChatError as error:
            self._sent_lines.begin(line)  # not as it would have been sent
            self._report_refused(line, error)
        return True

    def _report_refused(self, line: str, error: ChatError) -> None:
        with self._lock:
            is_refused = error.reason == "CLOSED" and self._cause is not None
        # A refusal makes the terminal stop, and is shown at the end.
        if not is_refused:
            self._sent_lines.report_unsent(line, str(error))

    def handle_message(self, message: Message) -> bool:
        """Send a message that a program made. False when it is the last one, as `handle_line`."""
        if not self._farewell.wait_for_space():
            self._report_refused(message.message, ChatError("TOO_MUCH_WAITING"))
            return False
        self._send_made(message)
        return True

    def wait_answered(self) -> None:
        """Wait until what was sent is answered; raises `ChatError` where that is given up."""
        self._farewell.wait_answered()

    def is_hidden(self, message: Message) -> bool:
        """Say whether it is from somebody whom the user ignores."""
        return self._incoming.is_ignored(message)

    def _send_made(self, message: Message) -> None:
        """Send a message of any kind that a client may send."""
        if message.kind in SAID:
            is_action, room = message.kind == KIND_ACTION, message.room or None
            self._actions.send(message.message, room, message.to, message.key, is_action=is_action)
        else:
            request(self._session, message)

    def report_unsent(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and why."""
        self._sent_lines.report_unsent(line, reason)

    def status(self) -> list[str]:
        """Return the parts of the status line, the most important first."""
        waiting, room = len(self.waiting()), self._rooms.current
        people = len(self._roster.names_in(room))
        parts = [
            self._present_status.text,
            _n("{} not confirmed", "{} not confirmed", waiting).format(waiting) if waiting else "",
            render.room_title(room),
            *(f"{render.room_sign(other)} {unread}" for other, unread in self._rooms.unread),
            _n("{} person", "{} people", people).format(people) if people else "",
            self._server_title(),
        ]
        return [part for part in parts if part]

    def _server_title(self) -> str:
        """Return where one is, of several servers; empty where that is no question."""
        status = self._present_status
        is_there = len(self._session.addresses) > 1 and status.is_known and not status.is_lost
        return status.address if is_there else ""

    def waiting(self) -> list[str]:
        """Return what was said and is not acknowledged yet, in order."""
        return [self._as_said(m) for m in self._session.pending if m.kind in SAID]

    def _as_said(self, message: Message) -> str:
        """Return what was said, with whom it is for, or where, if that is not the present room."""
        text = f"*{message.message}*" if message.kind == KIND_ACTION else message.message
        if message.to:
            return f"\N{RIGHTWARDS ARROW} {message.to}: {text}"
        is_here = self._rooms.is_current(message.room)
        return text if is_here else f"{render.room_sign(message.room)} {text}"

    def completions(self, before: str) -> Completions:
        """Return how much of `before` is the word that Tab completes, and by what."""
        present, gone = self._roster.names, self._roster.gone
        choices: dict[str, Iterable[str]] = {
            "names": [name for name in present + gone if name_key(name) != name_key(self.name)],
            "rooms": sorted(self._rooms.known, key=commands.folded),
            "bells": commands.BELL.words,
            "languages": i18n.available(),
        }
        return completion.completions(before, choices)

    def tick(self) -> None:
        """Ask who is here, where that is not told or was not asked; show the present state."""
        self._ask_who_is_here()
        if not self._present_status.is_steady:
            self._terminal.refresh()


def enter(name: str | None, terminal: Terminal, join: Callable[[str], App]) -> App | None:
    """Join under `name`, or, without one, ask for names until one is free; raises the refusal.

    Returns None where the person leaves instead of giving a name.
    """
    while True:
        try:
            chosen = (_asked_name(terminal) if name is None else name).strip()
            if name is None and terminal.is_interactive and commands.is_leaving(chosen):
                return None
            return join(chosen)
        except ChatError as refusal:
            is_about_name = refusal.reason.startswith("NAME_")
            if name is not None or not terminal.is_interactive or not is_about_name:
                raise
            terminal.show_error(sentence(refusal))


def _asked_name(terminal: Terminal) -> str:
    """Return the answer to the question for the name; a person's is no command but to leave."""
    while True:
        answer = terminal.ask(_("Type your name: "))
        if terminal.is_interactive and (line := english.take(english.CHAT_HINT)):
            terminal.show_error(line)
        is_command = terminal.is_interactive and answer.lstrip().startswith(commands.PREFIX)
        if not is_command or commands.is_leaving(answer):
            return answer
        text = _("Commands work once you are in; give a name, or leave with {usage}.")
        terminal.show_error(text.format(usage=commands.LEAVE.usage))
