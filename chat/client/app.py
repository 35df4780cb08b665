"""One person's side of the chat: what she types becomes messages, what comes in is shown.

Stands between a `Session` and a terminal, and knows the insides of neither. Two threads meet here:
the main thread types, the receive thread, which this module owns, hears.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterable
from datetime import datetime

import chat_pb2
from chat.cli.i18n import N_, _, _n
from chat.client import commands
from chat.client.commands import Command
from chat.client.session import MAX_PENDING, Change, Session, State
from chat.client.ui import render as style
from chat.client.ui.plain import Terminal
from chat.protocol.errors import ChatError, ConfigError, explain
from chat.protocol.names import COMMON_ROOM, check_name, name_key

# How long to wait for the server's word on the name before typing begins.
GREETING_SECONDS = 1.0
# How long leaving waits for what is on its way, and the end of a pipe for its acknowledgements.
LEAVE_SECONDS = 1.5
PIPE_END_SECONDS = 60.0
# For so long the status says "resumed" before it says "connected" again.
RESUMED_SECONDS = 5.0
# A larger room tells nobody who comes and goes: we ask again, so often.
MAX_PRESENCE_PEOPLE = 200
WHO_SECONDS = 60.0
# A list longer than this would fill the screen.
MAX_LISTED_PEOPLE = 100
DEFAULT_AGAIN = 20
MAX_AGAIN = 1000
MAX_AGAIN_DIGITS = 9
# How much of a refused line is quoted.
QUOTED_CHARACTERS = 60

EXIT_OK = 0
EXIT_REFUSED = 1
EXIT_NOT_ACKNOWLEDGED = 3

BELLS = ("all", "mentions", "off")
# What people may type for them, without accents.
BELL_WORDS = {
    "tudo": "all",
    "todas": "all",
    "mencoes": "mentions",
    "menções": "mentions",
    "nao": "off",
    "não": "off",
    "nada": "off",
}
Kind = chat_pb2.Kind


class Conversation:
    """One person at one terminal: what she types goes to the session, what comes is shown.

    `session`: iterated here; its `on_state` must be `changed`. `bell`: one of `BELLS`.
    """

    def __init__(self, session: Session, terminal: Terminal, bell: str) -> None:
        self._session = session
        self._terminal = terminal
        self._bell = bell
        self._receiver = threading.Thread(target=self._receive, name="receive", daemon=True)
        self._greeted = threading.Event()
        # Guards `_has_started` and `_refusal`: exactly one of two threads sees to a refusal.
        self._starting = threading.Lock()
        self._is_leaving = False
        self._has_started = False  # what happens now is for the terminal, not for `start`
        self._failures = 0
        # What was typed for each key that is not answered yet.
        self._typed: dict[str, str] = {}
        self._refusal: ChatError | ConfigError | None = None
        # Who is here, by the key of the name; replaced as a whole, since both threads look at it.
        self._people: dict[str, str] = {}
        self._present: list[str] = []  # of an answer to WHO that is not complete
        self._is_asked_aloud = False
        self._asked_at = 0.0
        self._ignored: frozenset[str] = frozenset()
        self._rooms = {COMMON_ROOM, session.room}
        self._room = session.room
        self._correspondent = ""  # who `/r` answers
        self._connection = Connection()
        self._seen_at: datetime | None = None
        self._repeating_until = 0  # the id at which what comes once more ends
        self._began_at = style.now()
        self._actions: dict[Command, Callable[[str], None]] = {
            commands.HELP: self._help,
            commands.WHO: self._who,
            commands.TELL: self._tell,
            commands.REPLY: self._reply,
            commands.RENAME: self._rename,
            commands.MOVE: self._move,
            commands.HISTORY: self._again,
            commands.IGNORE: self._ignore,
            commands.BELL: self._set_bell,
            commands.CLEAR: self._clear,
        }

    # From beginning to end; in the main thread.

    def start(self) -> ChatError | ConfigError | None:
        """Connect, and return the refusal if there was one already."""
        self._receiver.start()
        self._greeted.wait(GREETING_SECONDS)
        with self._starting:
            self._has_started = self._refusal is None
        return self._refusal

    def converse(self) -> int:
        """Send what is typed until the person leaves; return the exit code."""
        is_done = False
        try:
            self._terminal.run(self)
            code = self._leave()
            is_done = True
            return code
        finally:
            if not is_done:
                self.abandon()

    def abandon(self) -> None:
        """End at once, whatever is on its way."""
        self._is_leaving = True
        self._session.abort()
        self._terminal.finish()
        self._receiver.join(LEAVE_SECONDS)

    def _leave(self) -> int:
        self._is_leaving = True
        is_person = self._terminal.is_interactive
        lost = self._session.close(LEAVE_SECONDS if is_person else PIPE_END_SECONDS)
        self._receiver.join(LEAVE_SECONDS)
        self._terminal.finish()
        if self._refusal is not None:
            self._terminal.complain(sentence(self._refusal))
            return EXIT_REFUSED
        if lost:
            text = _n(
                "{} message was not acknowledged.", "{} messages were not acknowledged.", lost
            )
            self._terminal.complain(text.format(lost))
        return EXIT_NOT_ACKNOWLEDGED if lost or (self._failures and not is_person) else EXIT_OK

    # What is typed; in the main thread.

    def typed(self, line: str) -> bool:
        """Take a typed line: a message or a command. False when the person leaves by it."""
        text = line.strip()
        if commands.is_command(text) and commands.parse(text)[0] is commands.LEAVE:
            return False
        if not text:
            return True
        try:
            if not self._terminal.is_interactive:
                self._send(line)
            elif commands.is_command(text):
                self._command(text)
            else:
                self._say(line)
        except ChatError as error:
            self._not_done(line, error)
        return True

    def post(self, message: chat_pb2.Message) -> None:
        """Send a message that a program made: said, private, a rename or a WHO."""
        if message.kind == Kind.KIND_RENAMED:
            self._session.rename(message.message, message.key)
        elif message.kind == Kind.KIND_WHO:
            self._session.ask_who(message.key)
        elif message.kind == Kind.KIND_UNSPECIFIED:
            self._send(message.message, message.to, key=message.key)
        else:
            raise ChatError("REQUEST_INVALID")

    def failed(self, line: str, reason: str) -> None:
        """Say that `line` was not sent, and why."""
        self._failures += 1
        quoted = style.one_line(line)
        if len(quoted) > QUOTED_CHARACTERS:
            quoted = quoted[:QUOTED_CHARACTERS] + "\N{HORIZONTAL ELLIPSIS}"
        text = _("Not sent: {reason}: {line}") if quoted else _("Not sent: {reason}")
        self._terminal.complain(text.format(reason=reason, line=quoted))

    def _not_done(self, line: str, error: ChatError) -> None:
        if error.reason == "CLOSED" and self._refusal is not None:
            return  # the terminal is stopping, and the refusal is told at the end
        self.failed(line, str(error))
        self._terminal.give_back(line)

    def _say(self, line: str) -> None:
        """Send what a person typed; while too much is on its way, give it back."""
        if self._session.unacknowledged >= MAX_PENDING:
            raise ChatError("TOO_MUCH_WAITING")
        self._send(line[1:] if line.startswith(commands.PREFIX * 2) else line, typed=line)

    def _send(self, text: str, to: str = "", key: str = "", typed: str = "") -> None:
        key = key or secrets.token_hex(12)
        if self._session.is_full:
            # Before it is sent: the answer comes in the other thread.
            self._typed[key] = typed or text
        try:
            self._session.send(text, to, key)
        except ChatError:
            self._typed.pop(key, None)
            raise

    # Commands; in the main thread.

    def _command(self, line: str) -> None:
        command, argument = commands.parse(line)
        if command is None:
            text = _("There is no command {word}. Did you mean {usage}? {help} shows them all.")
            word, usage = style.one_line(line.split()[0]), commands.nearest(line)
            self._tell_person(text.format(word=word, usage=usage, help=commands.HELP.usage))
            return
        if self._session.unacknowledged >= MAX_PENDING:
            raise ChatError("TOO_MUCH_WAITING")
        self._actions[command](argument)

    def _tell_person(self, text: str) -> None:
        self._terminal.tell(f"* {text}")

    def _show_usage(self, command: Command) -> None:
        text = _("Type it so: {usage}").format(usage=command.usage)
        self._tell_person(text)

    def _help(self, _argument: str) -> None:
        self._terminal.tell("\n".join([_("* Commands:"), *commands.help_lines()]))

    def _who(self, _argument: str) -> None:
        self._is_asked_aloud = True
        self._session.ask_who()

    def _tell(self, argument: str) -> None:
        to, text = self._addressee(argument)
        if not text:
            self._show_usage(commands.TELL)
            return
        self._tell_privately(to, text, f"{commands.TELL.usage.split()[0]} {argument}")

    def _addressee(self, argument: str) -> tuple[str, str]:
        """Return who is meant and what is said; a name may have spaces, if its owner is here."""
        for name in sorted(self._people.values(), key=len, reverse=True):
            start, text = argument[: len(name)], argument[len(name) :]
            if name_key(start) == name_key(name) and text[:1].isspace():
                return name, text.strip()
        name, _space, text = argument.partition(" ")
        return name, text.strip()

    def _reply(self, argument: str) -> None:
        if not self._correspondent:
            self._tell_person(_("Nobody has written to you in private yet."))
        elif not argument:
            self._show_usage(commands.REPLY)
        else:
            typed = f"{commands.TELL.usage.split()[0]} {self._correspondent} {argument}"
            self._tell_privately(self._correspondent, argument, typed)

    def _tell_privately(self, to: str, text: str, typed: str) -> None:
        self._correspondent = self._correspondent or to
        self._send(text, to, typed=typed)

    def _rename(self, argument: str) -> None:
        if not argument:
            self._show_usage(commands.RENAME)
            return
        key = secrets.token_hex(12)
        self._typed[key] = f"{commands.PREFIX}{commands.RENAME.name} {argument}"
        self._session.rename(argument, key)

    def _move(self, argument: str) -> None:
        room = argument.removeprefix("#").strip()
        if room == self._session.room:
            self._tell_person(_("You are in {room}.").format(room=room_title(room)))
            return
        self._session.move(room and check_name(room, "ROOM_INVALID"))

    def _again(self, argument: str) -> None:
        is_number = argument.isascii() and argument.isdigit()
        count = int(argument[:MAX_AGAIN_DIGITS]) if is_number else 0 if argument else DEFAULT_AGAIN
        if not count:
            self._show_usage(commands.HISTORY)
            return
        self._end_repetition()
        self._repeating_until = self._session.history(min(count, MAX_AGAIN))
        if self._repeating_until:
            self._terminal.rule(_("once more"))

    def _ignore(self, argument: str) -> None:
        key = name_key(argument)
        name = style.shown_name(argument)
        if not argument or key == name_key(self.name):
            self._show_usage(commands.IGNORE)
        elif key in self._ignored:
            self._ignored -= {key}
            self._tell_person(_("You see again what {user} says.").format(user=name))
        else:
            self._ignored |= {key}
            text = _("You do not see any more what {user} says; {usage} shows it again.")
            usage = f"{commands.PREFIX}{commands.IGNORE.name} {name}"
            self._tell_person(text.format(user=name, usage=usage))

    def _set_bell(self, argument: str) -> None:
        word = argument.casefold()
        bell = BELL_WORDS.get(word, word) or self._bell
        if bell not in BELLS:
            self._show_usage(commands.BELL)
            return
        self._bell = bell
        self._tell_person(_(BELL_TEXTS[bell]))

    def _clear(self, _argument: str) -> None:
        self._terminal.clear()

    # What a terminal asks; from any thread.

    @property
    def name(self) -> str:
        return self._session.name

    def status(self) -> list[str]:
        """Return the parts of the status line, the most important first."""
        waiting = len(self.waiting())
        count = _n("{} not confirmed", "{} not confirmed", waiting).format(waiting)
        people = len(self._people)
        here = _n("{} person", "{} people", people).format(people)
        room = room_title(self._session.room)
        connection = self._connection.text
        parts = [
            connection,
            count if waiting else "",
            room,
            here if people else "",
        ]
        return [part for part in parts if part]

    def waiting(self) -> list[str]:
        """Return what was said and is not acknowledged yet, in order."""
        return [
            f"\N{RIGHTWARDS ARROW} {message.to}: {message.message}"
            if message.to
            else message.message
            for message in self._session.pending
            if message.kind == Kind.KIND_UNSPECIFIED
        ]

    def candidates(self, before: str) -> tuple[int, list[str]]:
        """Return how much of `before` is the word that Tab completes, and by what."""
        names = [name for name in self._people.values() if name != self.name]
        choices: dict[str, Iterable[str]] = {
            "names": names,
            "rooms": self._rooms - {COMMON_ROOM},
            "bells": BELLS,
        }
        return commands.candidates(before, choices)

    def tick(self) -> None:
        """Ask again who is here, where that is not told; show the present state."""
        is_due = time.monotonic() - self._asked_at > WHO_SECONDS
        if is_due and len(self._people) > MAX_PRESENCE_PEOPLE:
            self._ask_who_is_here()
        if not self._connection.is_settled:
            self._terminal.refresh()

    # What comes in; in the receive thread.

    def _receive(self) -> None:
        try:
            for message in self._session:
                self._hear(message)
        except (ChatError, ConfigError) as error:
            self._refused_for_good(error)
        except Exception as error:
            # Nobody else would see it, and what is typed from now on would go nowhere.
            self._session.abort()
            text = _("Something unexpected ended the conversation ({error}).")
            self._refused_for_good(ConfigError(text.format(error=style.one_line(repr(error)))))
        finally:
            self._greeted.set()

    def _refused_for_good(self, error: ChatError | ConfigError) -> None:
        with self._starting:
            self._refusal = error
            is_ours = self._has_started
        if is_ours and not self._is_leaving:
            self._terminal.stop()

    def _hear(self, message: chat_pb2.Message) -> None:
        typed = self._typed.pop(message.key, None) if message.key else None
        if message.kind == Kind.KIND_NOTICE and typed is not None:
            self._refused(typed, message)
        elif message.kind in (Kind.KIND_PRESENT, Kind.KIND_WHO):
            self._take_presence(message)
        else:
            self._note(message)
            is_on_screen = typed is not None and self._terminal.has_typed_lines
            is_hidden = is_on_screen and message.kind == Kind.KIND_UNSPECIFIED
            if not is_hidden and not self._is_ignored(message):
                self._show(message)

    def _refused(self, typed: str, message: chat_pb2.Message) -> None:
        if self._terminal.is_interactive:
            reason = explain(message.user, style.one_line(message.message))
            self.failed(typed, reason)
            self._terminal.give_back(typed)
        else:
            self._failures += 1
            self._show(message)

    def _show(self, message: chat_pb2.Message) -> None:
        is_again = 0 < message.id <= self._repeating_until
        if self._repeating_until and message.id > self._repeating_until:
            self._end_repetition()
        look = style.look_of(message, self.name)
        if message.kind == Kind.KIND_NOTICE:
            look = self._noticed(message, look)
        if look is not None or not self._terminal.is_interactive:
            self._terminal.show(message, look or style.Look())
        if self._rings(message) and not is_again:
            self._terminal.ring()
        if message.id and message.id == self._repeating_until:
            self._end_repetition()
        if message.id and not is_again:
            self._seen_at = style.time_of(message)

    def _end_repetition(self) -> None:
        if self._repeating_until:
            self._repeating_until = 0
            self._terminal.rule(_("back to now"))

    def _noticed(self, message: chat_pb2.Message, look: style.Look | None) -> style.Look | None:
        """Say from when to when something is missing, where that is what the notice says."""
        if message.user == "SHUTTING_DOWN":
            return None  # the connection is about to be lost, and that says it
        if message.user not in ("HISTORY_GONE", "LOG_REWOUND"):
            return look
        self._end_repetition()
        text = _("* server: {reason}").format(reason=explain(message.user, ""))
        return style.told(f"{text} ({self._gap()})", "class:notice")

    def _gap(self) -> str:
        """Return the time in which something may be missing."""
        until = style.now()
        if self._seen_at is None:
            return _("until {until}").format(until=until.strftime("%H:%M"))
        since = self._seen_at
        if since.date() != until.date():
            since_text = since.strftime(_("%Y-%m-%d") + " %H:%M")
        else:
            since_text = since.strftime("%H:%M")
        text = _("from {since} to {until}")
        return text.format(since=since_text, until=until.strftime("%H:%M"))

    def _is_ignored(self, message: chat_pb2.Message) -> bool:
        return name_key(message.user) in self._ignored and message.kind != Kind.KIND_NOTICE

    def _rings(self, message: chat_pb2.Message) -> bool:
        is_said = message.kind == Kind.KIND_UNSPECIFIED
        is_own = name_key(message.user) == name_key(self.name)
        if self._bell == "off" or not is_said or is_own:
            return False
        if message.id and style.time_of(message) < self._began_at:
            return False  # history
        is_to_me = bool(message.to) or style.mentions(style.clean(message.message), self.name)
        return is_to_me or self._bell == "all"

    # Who is here; in the receive thread.

    def _note(self, message: chat_pb2.Message) -> None:
        """Remember what a message says of people."""
        if message.kind == Kind.KIND_JOINED:
            self._replace_person("", message.user)
        elif message.kind == Kind.KIND_LEFT:
            self._replace_person(message.user, "")
        elif message.kind == Kind.KIND_RENAMED:
            self._replace_person(message.user, message.message)
            self._follow(name_key(message.user), message.message)
        elif message.to and name_key(message.user) != name_key(self.name):
            self._correspondent = message.user

    def _replace_person(self, old: str, new: str) -> None:
        people = {key: name for key, name in self._people.items() if key != name_key(old)}
        if new:
            people[name_key(new)] = style.shown_name(new)
        self._people = people
        self._terminal.refresh()

    def _follow(self, old_key: str, name: str) -> None:
        """Let what is remembered of a person belong to the new name."""
        if name_key(self._correspondent) == old_key:
            self._correspondent = name
        if old_key in self._ignored:
            self._ignored = self._ignored - {old_key} | {name_key(name)}

    def _ask_who_is_here(self) -> None:
        """Ask for the status line, unless so much waits that asking would block."""
        self._asked_at = time.monotonic()
        if self._terminal.is_live and self._session.unacknowledged < MAX_PENDING // 2:
            self._session.ask_who()

    def _take_presence(self, message: chat_pb2.Message) -> None:
        """Gather an answer to WHO; its echo is the end of the list."""
        if message.kind == Kind.KIND_PRESENT:
            self._present.append(message.user)
        else:
            names = map(style.shown_name, self._present)
            self._people = dict(zip(map(name_key, self._present), names, strict=True))
            self._present = []
            self._terminal.refresh()
            if self._is_asked_aloud:
                self._is_asked_aloud = False
                self._list_people()
        if not self._terminal.is_interactive:
            self._terminal.show(message, style.Look())

    def _list_people(self) -> None:
        names = sorted(self._people.values(), key=str.casefold)
        shown = ", ".join(map(style.isolated, names[:MAX_LISTED_PEOPLE]))
        text = _n("{} person here: {names}", "{} people here: {names}", len(names))
        more = ", \N{HORIZONTAL ELLIPSIS}" if len(names) > MAX_LISTED_PEOPLE else ""
        self._tell_person(text.format(len(names), names=shown + more))

    # The connection; in the receive thread.

    def changed(self, state: State) -> None:
        """Take note of what became of the connection, and tell the person."""
        was_lost = self._connection.is_lost
        self._connection = Connection(state, was_lost)
        if state.change in (Change.CONNECTED, Change.PLAIN):
            self._greeted.set()
        if state.change in (Change.CONNECTED, Change.RESUMED):
            self._present = []
            self._ask_who_is_here()
        if not self._is_leaving:
            self._tell_change(state, was_lost)
        self._terminal.refresh()

    def _tell_change(self, state: State, was_lost: bool) -> None:
        if state.change is Change.PLAIN:
            self._terminal.tell(
                _("* This server is a simple one: it keeps nothing, and confirms nothing.")
            )
            self._typed.clear()  # no echo of it will say whose it is
        elif state.change is Change.LOST and not was_lost:
            self._terminal.tell(_("* Connection lost: {cause}").format(cause=state.cause))
        elif state.change is Change.RESUMED:
            self._tell_resumed(was_lost)
        elif state.change is Change.NEW_LOG:
            text = _("* The server began a new log: what was said meanwhile may be missing")
            self._terminal.tell(f"{text} ({self._gap()})")

    def _tell_resumed(self, was_lost: bool) -> None:
        if self._session.room != self._room:
            self._room = self._session.room
            self._people = {}
            self._rooms = {*self._rooms, self._room}
            self._end_repetition()
            self._tell_person(_("You are in {room}.").format(room=room_title(self._room)))
        elif was_lost:
            self._terminal.tell(_("* Connected again; what was missed follows."))


class Connection:
    """The state of the connection as the status line says it. Immutable."""

    def __init__(self, state: State | None = None, was_lost: bool = False) -> None:
        self._change = state.change if state else None
        now = time.monotonic()
        self._retry_at = now + (state.seconds if state else 0.0)
        self._until = now + RESUMED_SECONDS
        self.is_lost = self._change in (Change.LOST, Change.RETRYING) or (
            was_lost and self._change is Change.NEW_LOG
        )
        self._is_return = was_lost and self._change is Change.RESUMED

    @property
    def is_settled(self) -> bool:
        """Whether the text stays what it is."""
        is_new = self._is_return and time.monotonic() < self._until + 1
        return self._change is not None and not self.is_lost and not is_new

    @property
    def text(self) -> str:
        """What the status line says."""
        if self._change is None:
            return _("connecting")
        if self.is_lost:
            seconds = self._retry_at - time.monotonic()
            if self._change is Change.LOST or seconds <= 0:
                return _("reconnecting")
            return _("reconnecting in {seconds} s").format(seconds=max(1, round(seconds)))
        if self._change is Change.PLAIN:
            return _("simple server")
        is_resumed = self._is_return and time.monotonic() < self._until
        return _("resumed") if is_resumed else _("connected")


BELL_TEXTS = {
    "all": N_("The bell rings at every message."),
    "mentions": N_("The bell rings when somebody says your name or writes to you in private."),
    "off": N_("The bell is off."),
}


def room_title(room: str) -> str:
    """Return a room as it is shown."""
    return "#" + style.shown_name(room) if room else _("common room")


def sentence(error: ChatError | ConfigError) -> str:
    """Return a refusal as a sentence."""
    text = str(error)
    return text[:1].upper() + text[1:] + ("" if text.endswith(".") else ".")
