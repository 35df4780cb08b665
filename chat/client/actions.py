"""What a typed line does: one function for each command of `commands.py`, and saying something."""

from __future__ import annotations

import secrets
from collections.abc import Callable

from chat.cli.i18n import _
from chat.client import alerts, commands, outbox
from chat.client.alerts import Alerts
from chat.client.commands import Command
from chat.client.incoming import Incoming
from chat.client.roster import Roster
from chat.client.sent_lines import SentLines
from chat.client.session import Session
from chat.client.ui import render
from chat.client.ui.base import Terminal
from chat.protocol.errors import ChatError
from chat.protocol.limits import DEFAULT_HISTORY, MAX_HISTORY
from chat.protocol.names import check_room, name_key

MAX_HISTORY_DIGITS = 9


class Actions:
    """Does what the user types. Everything here runs in the main thread."""

    def __init__(
        self,
        session: Session,
        terminal: Terminal,
        roster: Roster,
        bell: Alerts,
        incoming: Incoming,
        sent_lines: SentLines,
    ) -> None:
        self._session = session
        self._terminal = terminal
        self._roster = roster
        self._alerts = bell
        self._incoming = incoming
        self._sent_lines = sent_lines
        self._of_command: dict[Command, Callable[[str], None]] = {
            commands.HELP: self._help,
            commands.WHO: self._who,
            commands.TELL: self._tell,
            commands.REPLY: self._reply,
            commands.RENAME: self._rename,
            commands.MOVE: self._move,
            commands.HISTORY: self._history,
            commands.IGNORE: self._ignore,
            commands.BELL: self._bell,
            commands.CLEAR: self._clear,
        }

    def do(self, line: str) -> None:
        """Do what a person typed; raises `ChatError` where it cannot be done."""
        text = line.strip()
        if not commands.is_command(text):
            self._check_not_too_much_waiting()
            said = line[1:] if line.startswith(commands.PREFIX * 2) else line
            self.send(said, typed=line)
            return
        command, argument = commands.parse(text)
        if command is None:
            self._tell_unknown(text)
            return
        self._check_not_too_much_waiting()
        self._of_command[command](argument)

    def send(self, text: str, to: str = "", key: str = "", typed: str = "") -> None:
        """Send a message, and remember what was typed for it; blocks while the outbox is full."""
        key = key or secrets.token_hex(12)
        if self._session.is_full:
            self._sent_lines.add(key, typed or text)
        try:
            self._session.send(text, to, key)
        except ChatError:
            self._sent_lines.take(key)
            raise

    def _check_not_too_much_waiting(self) -> None:
        """Raise `ChatError` where sending would block, and the line editor with it."""
        if self._session.unacknowledged >= outbox.MAX_PENDING:
            raise ChatError("TOO_MUCH_WAITING")

    def _notify(self, text: str) -> None:
        self._terminal.show_notice(f"* {text}")

    def _show_usage(self, command: Command) -> None:
        self._notify(_("Usage: {usage}").format(usage=command.usage))

    def _tell_unknown(self, line: str) -> None:
        text = _("There is no command {word}. Did you mean {usage}? {help} shows them all.")
        word, usage = render.one_line(line.split()[0]), commands.nearest(line)
        self._notify(text.format(word=word, usage=usage, help=commands.HELP.usage))

    # One for each command.

    def _help(self, _argument: str) -> None:
        self._terminal.show_notice("\n".join([_("* Commands:"), *commands.help_lines()]))

    def _who(self, _argument: str) -> None:
        self._roster.request_who()
        self._session.ask_who()

    def _tell(self, argument: str) -> None:
        to, text = self._roster.addressee(argument)
        if text:
            self._send_privately(to, text, argument)
        else:
            self._show_usage(commands.TELL)

    def _reply(self, argument: str) -> None:
        to = self._roster.correspondent
        if not to:
            self._notify(_("Nobody has written to you in private yet."))
        elif not argument:
            self._show_usage(commands.REPLY)
        else:
            self._send_privately(to, argument, f"{to} {argument}")

    def _send_privately(self, to: str, text: str, argument: str) -> None:
        self._roster.write_to(to)
        self.send(text, to, typed=f"{commands.PREFIX}{commands.TELL.name} {argument}")

    def _rename(self, argument: str) -> None:
        if not argument:
            self._show_usage(commands.RENAME)
            return
        key = secrets.token_hex(12)
        self._sent_lines.add(key, f"{commands.PREFIX}{commands.RENAME.name} {argument}")
        self._session.rename(argument, key)

    def _move(self, argument: str) -> None:
        room = check_room(argument.removeprefix("#").strip())
        if room == self._session.room:
            self._notify(_("You are in {room}.").format(room=render.room_title(room)))
        else:
            self._session.move(room)

    def _history(self, argument: str) -> None:
        is_number = argument.isascii() and argument.isdigit()
        count = int(argument[:MAX_HISTORY_DIGITS]) if is_number else 0
        if not argument:
            count = DEFAULT_HISTORY
        if count:
            self._incoming.begin_repetition(self._session.history(min(count, MAX_HISTORY)))
        else:
            self._show_usage(commands.HISTORY)

    def _ignore(self, argument: str) -> None:
        name = render.shown_name(argument)
        if not argument or name_key(argument) == name_key(self._session.name):
            self._show_usage(commands.IGNORE)
        elif self._roster.toggle_ignored(argument):
            text = _("Messages from {user} are hidden; {usage} shows them again.")
            usage = f"{commands.PREFIX}{commands.IGNORE.name} {name}"
            self._notify(text.format(user=name, usage=usage))
        else:
            self._notify(_("Messages from {user} are shown again.").format(user=name))

    def _bell(self, argument: str) -> None:
        if self._alerts.choose(argument):
            self._notify(_(alerts.MODE_TEXTS[self._alerts.mode]))
        else:
            self._show_usage(commands.BELL)

    def _clear(self, _argument: str) -> None:
        self._terminal.clear()
