"""What a typed line does: one function for each command of `commands.py`, and saying something."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from chat.cli import i18n
from chat.cli.i18n import _
from chat.cli.settings_file import FILE_NAME
from chat.client import alerts, commands, outbox
from chat.client.addressing import Reading
from chat.client.alerts import Alerts
from chat.client.commands import Command, as_typed
from chat.client.connection_status import ConnectionStatus
from chat.client.finder import id_in
from chat.client.ignoring import Ignoring
from chat.client.incoming import Incoming
from chat.client.key_sentences import own_key_line
from chat.client.moderating import Moderating
from chat.client.rooms import Rooms, typed_room
from chat.client.roster import Roster
from chat.client.sent_lines import QUOTED_CHARACTERS, SentLines, quotation
from chat.client.session import Session
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.protocol.errors import ChatError
from chat.protocol.limits import DEFAULT_HISTORY, MAX_HISTORY
from chat.protocol.names import name_key

MAX_HISTORY_DIGITS = 9


class Actions:
    """Does what the user types. Everything here runs in the main thread.

    `status`: returns how the connection stands.
    """

    def __init__(
        self,
        session: Session,
        terminal: Terminal,
        rooms: Rooms,
        roster: Roster,
        bell: Alerts,
        incoming: Incoming,
        sent_lines: SentLines,
        status: Callable[[], ConnectionStatus],
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._rooms = rooms
        self._roster = roster
        self._alerts = bell
        self._incoming = incoming
        self._sent_lines = sent_lines
        self._status = status
        self._ignoring = Ignoring(roster, lambda: session.name, self._notify, self._complain)
        self._of_command: dict[Command, Callable[[str], None]] = {
            commands.LEAVE: self._stay,
            commands.HELP: self._help,
            commands.MOVE: self._move,
            commands.ROOMS: self._list_rooms,
            commands.PART: self._part,
            commands.CLOSE: self._close,
            commands.INVITE: self._invite,
            commands.UNINVITE: self._uninvite,
            commands.OPEN: self._open,
            commands.WHO: self._who,
            commands.HISTORY: self._history,
            commands.SEARCH: self._search,
            commands.TELL: self._tell,
            commands.REPLY: self._reply,
            commands.ME: self._me,
            commands.KEY: self._key,
            commands.RENAME: self._rename,
            commands.IGNORE: self._ignoring.do,
            commands.BELL: self._bell,
            commands.CLEAR: self._clear,
            commands.LANGUAGE: self._speak,
        }
        moderating = Moderating(
            session,
            roster,
            self._remembered,
            self._show_usage,
            self._ask_who_is_meant,
            self._complain,
            self._notify,
        )
        self._of_command |= {
            command: self._of_operator(do) for command, do in moderating.of_command.items()
        }

    def do(self, line: str) -> None:
        """Do what a person typed; raises `ChatError` where it cannot be done."""
        text = line.strip()
        if not commands.is_command(text):
            self._check_not_too_much_waiting()
            said = line[1:] if line.startswith(commands.PREFIX * 2) else line
            self.say(said, typed=line)
            return
        command, argument = commands.parse(text)
        if command is None:
            self._tell_unknown(text)
            return
        if argument and not command.arguments and command is not commands.LEAVE:
            self._show_usage(command)
            return
        self._check_not_too_much_waiting()
        self._of_command[command](argument)

    def say(self, text: str, typed: str = "", is_action: bool = False) -> None:
        """Say `text` in the room that the screen says."""
        self.send(text, self._rooms.current, typed=typed, is_action=is_action)

    def send(
        self,
        text: str,
        room: str | None = None,
        to: str = "",
        key: str = "",
        *,
        typed: str = "",
        is_action: bool = False,
    ) -> None:
        """Send a message, and remember what was typed for it; blocks while the outbox is full.

        `room`, `to`, `key`, `is_action`: as `Session.send` has them.
        """
        with self._remembered(typed or text, key) as key:
            self._session.send(text, room, to, key, is_action)

    @contextmanager
    def _remembered(self, typed: str, key: str = "") -> Iterator[str]:
        """Remember what was typed for the key that is handed out, unless it cannot be sent."""
        key = key or secrets.token_hex(12)
        other = self._sent_lines.take(key)  # of a program that uses a key twice
        if self._session.is_full:
            self._sent_lines.add(key, typed)
        try:
            yield key
        except ChatError:
            self._sent_lines.take(key)
            if other is not None:
                self._sent_lines.add(key, other)
            raise

    def _check_not_too_much_waiting(self) -> None:
        """Raise `ChatError` where sending would block, and the line editor with it."""
        if self._session.unacknowledged >= outbox.MAX_PENDING:
            raise ChatError("TOO_MUCH_WAITING")

    def _check_full_server(self) -> None:
        """Raise `ChatError` where the server does not do more than hand on what is said.

        A full one does it when it is back; it must have said what it is.
        """
        status = self._status()
        if status.is_plain or not self._session.is_full:
            raise ChatError("PLAIN_SERVER")
        if not status.is_known:
            raise ChatError("SERVER_SILENT")

    def _check_answers(self) -> None:
        """Raise `ChatError` where no server answers now, and a person would wait in vain."""
        self._check_full_server()
        if self._status().is_lost or not self._session.is_connected:
            raise ChatError("NOT_CONNECTED")

    def _notify(self, text: str) -> None:
        self._terminal.show_notice(f"* {text}")

    def _complain(self, text: str) -> None:
        """Say why what was typed is not done, and give it back."""
        self._notify(text)
        self._sent_lines.give_back()

    def _show_usage(self, command: Command) -> None:
        text, example = _("Usage: {usage}"), ""
        if command.example:
            text = _("Usage: {usage}; a name with spaces in brackets: {example}")
            example = command.example_usage
        self._complain(text.format(usage=command.usage, example=example))

    def _tell_unknown(self, line: str) -> None:
        text = _("There is no command {word}. {help} shows them all.")
        if usage := commands.nearest(line):
            text = _("There is no command {word}. Did you mean {usage}? {help} shows them all.")
        word = quotation(line.split()[0])
        self._complain(text.format(word=word, usage=usage, help=commands.HELP.typed))

    def _of_operator(self, do: Callable[[str], None]) -> Callable[[str], None]:
        """Return a command of operators, which only a full server knows."""

        def checked(argument: str) -> None:
            self._check_full_server()
            do(argument)

        return checked

    # One for each command.

    def _help(self, argument: str) -> None:
        if not argument:
            self._terminal.show_notice("\n".join([_("* Commands:"), *commands.help_lines()]))
        elif command := commands.named(argument):
            self._terminal.show_notice(f"* {commands.help_line(command)}")
        else:
            self._tell_unknown(commands.PREFIX + argument.lstrip(commands.PREFIX))

    def _stay(self, _argument: str) -> None:
        """Ask what `/q` with something behind it means: in other chats it talks to somebody."""
        text = _("Did you mean {tell}? {leave} alone leaves the chat.")
        self._complain(text.format(tell=commands.TELL.typed, leave=commands.LEAVE.typed))

    def _who(self, argument: str) -> None:
        room, key = self._rooms.current, secrets.token_hex(12)
        if argument and (room := typed_room(argument)) not in self._rooms:
            raise ChatError("NOT_IN_ROOM")
        self._check_answers()
        self._roster.request_who(key)
        self._roster.begin_who(room, time.monotonic())
        self._session.ask_who(room, key)

    def _list_rooms(self, _argument: str) -> None:
        self._check_answers()
        self._session.ask_rooms()

    def _tell(self, argument: str) -> None:
        meant = self._roster.readings(argument, needs_text=True)
        to, text = meant[0]
        if len(meant) > 1 and not any(self._roster.is_known(name) for name, _text in meant):
            self._tell_unseen(meant)
        elif len(meant) > 1:
            self._ask_who_is_meant(commands.TELL, meant)
        elif to and text:
            self._send_privately(to, text, argument)
        else:
            self._show_usage(commands.TELL)

    def _tell_unseen(self, meant: list[Reading]) -> None:
        """Say that nobody is called so, and who may be meant, or how to write to who is away."""
        near = [(known, text) for name, text in meant if (known := self._roster.nearest(name))]
        name, text = [*near, *meant][0]
        said = _(
            "Not sent: nobody called {user} has been seen here. To write to that name: {usage}"
        )
        if near:
            said = _(
                "Not sent: nobody called {user} has been seen here. Did you mean this: {usage}"
            )
        rest = _shown_rest(commands.TELL, text)
        usage = as_typed(commands.TELL, f"{render.name_sign(name)} {rest}")
        self._complain(said.format(user=render.name_sign(meant[0][0]), usage=usage))

    def _ask_who_is_meant(self, command: Command, meant: list[Reading]) -> None:
        """Ask for brackets: nobody else must read, or get, what is for one person."""
        text = _("Not sent: it is not clear where the name ends. Write this: {usages}")
        usages = [
            as_typed(command, f"{render.name_sign(name)} {_shown_rest(command, rest)}")
            for name, rest in meant
        ]
        self._complain(text.format(usages=_(" or ").join(usages)))

    def _reply(self, argument: str) -> None:
        to = self._roster.correspondent
        if not to:
            self._complain(_("Nobody has written to you in private yet."))
        elif not argument:
            self._show_usage(commands.REPLY)
        else:
            self._send_privately(to, argument, f"[{to}] {argument}")

    def _send_privately(self, to: str, text: str, argument: str) -> None:
        self._check_full_server()
        self.send(text, to=to, typed=as_typed(commands.TELL, argument))
        self._ignoring.hint(to)

    def _me(self, argument: str) -> None:
        if not argument:
            self._show_usage(commands.ME)
            return
        self._check_full_server()
        self.say(argument, as_typed(commands.ME, argument), is_action=True)

    def _key(self, argument: str) -> None:
        if self._session.sealing is None:
            raise ChatError("NO_OWN_KEY")
        name, is_accepted = _accepted(argument)
        if not name or name_key(name) == name_key(self._session.name):
            self._terminal.show_notice(own_key_line(self._session.sealing))
        elif not is_accepted:
            self._check_answers()
            self._session.ask_key(name)
        elif not self._incoming.accept_key(name):
            text = _("Look at the key first, with {usage}, and compare it.")
            self._notify(text.format(usage=as_typed(commands.KEY, f"[{render.shown_name(name)}]")))

    def _rename(self, argument: str) -> None:
        if not argument:
            self._show_usage(commands.RENAME)
            return
        if argument == self._session.name and not self._status().has_lost_name:
            self._complain(_("You are called that already."))
            return
        if self._status().has_lost_name:
            # Not a wish to be sent: without a name there is no stream to send it by.
            self._session.take_name(argument)
            text = _("Trying to come in as {name}.")
            self._notify(text.format(name=render.name_sign(argument)))
            return
        self._check_full_server()
        with self._remembered(as_typed(commands.RENAME, argument)) as key:
            self._session.rename(argument, key)

    def _move(self, argument: str) -> None:
        room = typed_room(argument)
        if room in self._rooms:
            self._rooms.go_to(room)
            self._incoming.tell_room()
            return
        self._check_full_server()
        with self._remembered(as_typed(commands.MOVE, argument)) as key:
            self._rooms.enter(room, key)  # before it is sent, since the answer comes in a thread
            try:
                self._session.enter(room, key=key)
            except ChatError:
                self._rooms.refuse_entry(key)
                raise
        self._terminal.refresh()

    def _part(self, argument: str) -> None:
        room = typed_room(argument) if argument else self._rooms.current
        self._check_full_server()
        with self._remembered(as_typed(commands.PART, argument)) as key:
            self._session.leave(room, key)
        if self._rooms.leave(room):
            self._incoming.tell_room()

    def _close(self, _argument: str) -> None:
        self._check_full_server()
        with self._remembered(commands.CLOSE.typed) as key:
            self._session.close_room(self._rooms.current, key)

    def _open(self, _argument: str) -> None:
        self._check_full_server()
        with self._remembered(commands.OPEN.typed) as key:
            self._session.open_room(self._rooms.current, key)

    def _invite(self, argument: str) -> None:
        self._wish_of_guest(commands.INVITE, argument, self._session.invite)

    def _uninvite(self, argument: str) -> None:
        self._wish_of_guest(commands.UNINVITE, argument, self._session.uninvite)

    def _wish_of_guest(
        self, command: Command, argument: str, wish: Callable[[str, str, str], str]
    ) -> None:
        """Do with `wish` what a command says of somebody and the room that the screen says."""
        name = argument.removeprefix("[").removesuffix("]")  # as names are shown
        if not name or name_key(name) == name_key(self._session.name):
            self._show_usage(command)
            return
        self._check_full_server()
        with self._remembered(as_typed(command, argument)) as key:
            wish(name, self._rooms.current, key)

    def _search(self, argument: str) -> None:
        if not argument:
            self._show_usage(commands.SEARCH)
            return
        self._check_answers()
        self._incoming.finder.search(self._rooms.current, argument)

    def _history(self, argument: str) -> None:
        if message_id := id_in(argument):
            self._check_answers()
            self._incoming.finder.look_around(self._rooms.current, message_id)
            return
        is_number = argument.isascii() and argument.isdigit()
        count = int(argument[:MAX_HISTORY_DIGITS]) if is_number else 0
        if not argument:
            count = DEFAULT_HISTORY
        if count:
            self._check_answers()
            self._ask_page(self._rooms.current, min(count, MAX_HISTORY))
        else:
            self._show_usage(commands.HISTORY)

    def _ask_page(self, room: str, count: int) -> None:
        """Ask for the messages before the oldest one that was shown."""
        key = secrets.token_hex(12)
        before = self._incoming.pages.begin(room, key, count)
        if before is None:
            self._notify(_("Earlier messages are on their way already."))
            return
        try:
            self._session.history(count, room, before, key)
        except ChatError:
            self._incoming.pages.end(key)
            raise

    def _bell(self, argument: str) -> None:
        if self._alerts.choose(argument):
            self._notify(_(alerts.MODE_TEXTS[self._alerts.mode]))
        else:
            self._show_usage(commands.BELL)

    def _clear(self, _argument: str) -> None:
        self._terminal.clear()
        self._incoming.pages.forget_shown()

    def _speak(self, argument: str) -> None:
        language = i18n.find(argument)
        if language is None:
            text = _("Languages: {languages}. Type {usage}.")
            if argument:
                text = _("The language {word} is not known here. There are: {languages}.")
            usage = as_typed(commands.LANGUAGE, i18n.SOURCE_LANGUAGE)
            self._complain(
                text.format(
                    word=quotation(argument), languages=", ".join(i18n.available()), usage=usage
                )
            )
            return
        i18n.use(language)
        text = _("In English from now on. For the next time too: {flag}, or lang in {file}.")
        self._notify(text.format(flag=f"--lang {language}", file=FILE_NAME))
        self._terminal.refresh()


def _shown_rest(command: Command, rest: str) -> str:
    """Return what follows a name in a line to be typed: what it stands for, where it is long."""
    shown = render.one_line(rest)
    is_absent = not rest and command is commands.TELL
    is_long = len(shown) > QUOTED_CHARACTERS
    return _(command.arguments).partition(" ")[2] if is_absent or is_long else shown


def _accepted(argument: str) -> tuple[str, bool]:
    """Return whose key is meant, and whether it is to be accepted; a name may be in brackets."""
    name, bracket, rest = argument.removeprefix("[").partition("]")
    if argument.startswith("[") and bracket:
        return name.strip(), rest.strip().casefold() in commands.ACCEPT_WORDS
    name, _space, word = argument.rpartition(" ")
    is_accepted = bool(name) and word.casefold() in commands.ACCEPT_WORDS
    return (name if is_accepted else argument).strip(), is_accepted
