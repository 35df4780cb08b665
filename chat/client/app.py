"""One person's side of the chat, from coming in to leaving.

Stands between a `Session` and a terminal, and knows the insides of neither. Two threads meet here:
the main thread, in which the terminal reads, and the receive thread, whose body is
`client.receive_messages`.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from chat.cli.i18n import _, _n
from chat.client import alerts, commands, outbox
from chat.client.actions import Actions
from chat.client.alerts import Alerts
from chat.client.connection_status import ConnectionStatus
from chat.client.incoming import Incoming
from chat.client.roster import Roster
from chat.client.sent_lines import SentLines
from chat.client.session import Session
from chat.client.state import Change, State
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.protocol.errors import ChatError, ConfigError
from chat_pb2 import KIND_RENAMED, KIND_UNSPECIFIED, KIND_WHO, Message

# How long to wait for the server's word on the name before typing begins.
GREETING_SECONDS = 1.0
# How long leaving waits for what is on its way, and the end of a pipe for its acknowledgements.
LEAVE_SECONDS = 1.5
PIPE_END_SECONDS = 60.0

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_NOT_ACKNOWLEDGED = 3


class App:
    """One person at one terminal: what is typed goes to the session, what comes in is shown.

    `session`: takes its `on_state`. `bell`: one of `alerts.MODES`.

    `_lock` guards `_refusal`, `_has_started`, `_is_leaving` and `_status`: exactly one of the two
    threads sees to a refusal. What else there is has locks of its own.
    """

    def __init__(self, session: Session, terminal: Terminal, bell: str) -> None:
        self._session = session
        self._terminal = terminal
        self._roster = Roster(session.room)
        self._sent_lines = SentLines(terminal)
        ringing = Alerts(bell, render.now())
        self._incoming = Incoming(session, terminal, self._roster, ringing, self._sent_lines)
        self._actions = Actions(
            session, terminal, self._roster, ringing, self._incoming, self._sent_lines
        )
        self._receive_thread: threading.Thread | None = None
        self._greeted = threading.Event()
        self._lock = threading.Lock()
        self._refusal: ChatError | ConfigError | None = None
        self._has_started = False  # what happens now is for the terminal, not for `start`
        self._is_leaving = False
        self._status = ConnectionStatus()
        session.on_state = self.connection_changed

    # From beginning to end; in the main thread.

    def start(self, receive_thread: threading.Thread) -> None:
        """Let `receive_thread` connect; raises the refusal if there was one already."""
        self._receive_thread = receive_thread
        receive_thread.start()
        self._greeted.wait(GREETING_SECONDS)
        with self._lock:
            if self._refusal is not None:
                raise self._refusal
            self._has_started = True

    def run(self) -> int:
        """Send what is typed until the person leaves; return the exit code."""
        is_done = False
        try:
            self._terminal.run(self)
            code = self._leave()
            is_done = True
            return code
        finally:
            if not is_done:
                self._abandon()

    def _abandon(self) -> None:
        """End at once, whatever is on its way."""
        self._begin_leaving()
        self._session.abort()
        self._terminal.finish()
        self._join()

    def _leave(self) -> int:
        self._begin_leaving()
        is_person = self._terminal.is_interactive
        lost = self._session.close(LEAVE_SECONDS if is_person else PIPE_END_SECONDS)
        self._join()
        self._terminal.finish()
        with self._lock:
            refusal = self._refusal
        if refusal is not None:
            self._terminal.show_error(sentence(refusal))
            return EXIT_REFUSED
        if lost:
            text = _n(
                "{} message was not acknowledged.", "{} messages were not acknowledged.", lost
            )
            self._terminal.show_error(text.format(lost))
        has_failed = self._sent_lines.failures > 0 and not is_person
        return EXIT_NOT_ACKNOWLEDGED if lost or has_failed else EXIT_OK

    def _begin_leaving(self) -> None:
        with self._lock:
            self._is_leaving = True

    def _join(self) -> None:
        if self._receive_thread is not None:
            self._receive_thread.join(LEAVE_SECONDS)

    # What comes in; in the receive thread.

    def receive(self, message: Message) -> None:
        """Take a message that came in."""
        self._incoming.take(message)

    def end(self, refusal: ChatError | ConfigError) -> None:
        """End the conversation: nothing more will come in."""
        with self._lock:
            self._refusal = refusal
            is_ours = self._has_started and not self._is_leaving
        self._greeted.set()
        if is_ours:
            self._terminal.stop()

    def connection_changed(self, state: State) -> None:
        """Take note of what became of the connection, and tell the person."""
        with self._lock:
            was_lost, is_leaving = self._status.is_lost, self._is_leaving
            self._status = ConnectionStatus(state, was_lost)
        if state.change in (Change.CONNECTED, Change.PLAIN):
            self._greeted.set()
        if state.change in (Change.CONNECTED, Change.RESUMED):
            self._ask_who_is_here()
        if state.change is Change.PLAIN:
            self._sent_lines.clear()  # no echo will say whose it is
        if not is_leaving:
            self._incoming.tell_change(state, was_lost)
        self._terminal.refresh()

    def _ask_who_is_here(self) -> None:
        """Ask for the status line, unless so much waits that asking would block."""
        self._roster.begin_who(time.monotonic())
        if self._terminal.is_live and self._session.unacknowledged < outbox.MAX_PENDING // 2:
            self._session.ask_who()

    # What a terminal asks and hands over (`TerminalController`); `handle_…` in the main thread.

    @property
    def name(self) -> str:
        return self._session.name

    def handle_line(self, line: str) -> bool:
        """Take a typed line: a message or a command. False when the person leaves by it."""
        if commands.is_leaving(line):
            return False
        if not line.strip():
            return True
        try:
            if self._terminal.is_interactive:
                self._actions.do(line)
            else:
                self._actions.send(line)
        except ChatError as error:
            self._give_back(line, error)
        return True

    def _give_back(self, line: str, error: ChatError) -> None:
        with self._lock:
            is_refused = error.reason == "CLOSED" and self._refusal is not None
        # A refusal makes the terminal stop, and is shown at the end.
        if not is_refused:
            self._sent_lines.give_back(line, str(error))

    def handle_message(self, message: Message) -> None:
        """Send a message that a program made: said, private, a rename or a WHO."""
        if message.kind == KIND_RENAMED:
            self._session.rename(message.message, message.key)
        elif message.kind == KIND_WHO:
            self._session.ask_who(message.key)
        elif message.kind == KIND_UNSPECIFIED:
            self._actions.send(message.message, message.to, key=message.key)
        else:
            raise ChatError("REQUEST_INVALID")

    def report_unsent(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and why."""
        self._sent_lines.report_unsent(line, reason)

    def status(self) -> list[str]:
        """Return the parts of the status line, the most important first."""
        with self._lock:
            status = self._status
        waiting, people = len(self.waiting()), len(self._roster.names)
        parts = [
            status.text,
            _n("{} not confirmed", "{} not confirmed", waiting).format(waiting) if waiting else "",
            render.room_title(self._session.room),
            _n("{} person", "{} people", people).format(people) if people else "",
        ]
        return [part for part in parts if part]

    def waiting(self) -> list[str]:
        """Return what was said and is not acknowledged yet, in order."""
        said = [m for m in self._session.pending if m.kind == KIND_UNSPECIFIED]
        return [f"\N{RIGHTWARDS ARROW} {m.to}: {m.message}" if m.to else m.message for m in said]

    def completions(self, before: str) -> tuple[int, list[str]]:
        """Return how much of `before` is the word that Tab completes, and by what."""
        choices: dict[str, Iterable[str]] = {
            "names": [name for name in self._roster.names if name != self.name],
            "rooms": self._roster.rooms,
            "bells": alerts.MODES,
        }
        return commands.completions(before, choices)

    def tick(self) -> None:
        """Ask again who is here, where that is not told; show the present state."""
        if self._roster.is_stale(time.monotonic()):
            self._ask_who_is_here()
        with self._lock:
            status = self._status
        if not status.is_steady:
            self._terminal.refresh()


def enter(name: str | None, terminal: Terminal, join: Callable[[str], App]) -> App:
    """Join under `name`, or, without one, ask for names until one is free; raises the refusal."""
    while True:
        try:
            return join((terminal.ask(_("Type your name: ")) if name is None else name).strip())
        except ChatError as refusal:
            is_about_name = refusal.reason.startswith("NAME_")
            if name is not None or not terminal.is_interactive or not is_about_name:
                raise
            terminal.show_error(sentence(refusal))


def unexpected(error: Exception) -> ConfigError:
    """Return what to say of an error that nobody expected."""
    text = _("Something unexpected ended the conversation ({error}).")
    return ConfigError(text.format(error=render.one_line(repr(error))))


def sentence(error: ChatError | ConfigError) -> str:
    """Return a refusal as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
