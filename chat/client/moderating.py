"""What an operator types: `/remover`, `/banir`, `/silenciar`, what ends them, and `/aviso`.

Knows how it is typed and what is to be asked of the server, which decides who may. Runs in the main
thread.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager

from chat.cli.i18n import _
from chat.client import commands
from chat.client.addressing import Reading, is_address
from chat.client.commands import Command
from chat.client.durations import begins_like_one, split_duration
from chat.client.roster import Roster
from chat.client.sent_lines import quotation
from chat.client.session import Session
from chat.client.ui import render
from chat_pb2 import KIND_BANNED, KIND_MUTED, KIND_REMOVED

# A wish whose end is in the past ends what holds: the one moment that no clock takes for later.
ENDED = 0.0
# What takes back a slip.
UNDONE_BY = {commands.BAN: commands.UNBAN, commands.MUTE: commands.UNMUTE}
# Remembers what was typed, and hands out the key under which it is asked.
Remembered = Callable[[str], AbstractContextManager[str]]


class Moderating:
    """The commands of operators.

    `show_usage`: says how a command is typed. `choose`: asks who is meant, where that is not clear;
    gets the command and how the line may be read. `complain`: says why it is not done, and gives it
    back. `notify`: tells something.
    """

    def __init__(
        self,
        session: Session,
        roster: Roster,
        remembered: Remembered,
        show_usage: Callable[[Command], None],
        choose: Callable[[Command, list[Reading]], None],
        complain: Callable[[str], None],
        notify: Callable[[str], None],
    ) -> None:
        self._session = session
        self._roster = roster
        self._remembered = remembered
        self._show_usage = show_usage
        self._choose = choose
        self._complain = complain
        self._notify = notify
        self.of_command: dict[Command, Callable[[str], None]] = {
            commands.REMOVE: lambda said: self._ask(commands.REMOVE, KIND_REMOVED, said),
            commands.BAN: lambda said: self._ask(commands.BAN, KIND_BANNED, said, has_time=True),
            commands.MUTE: lambda said: self._ask(commands.MUTE, KIND_MUTED, said, has_time=True),
            commands.UNBAN: lambda said: self._end(commands.UNBAN, KIND_BANNED, said),
            commands.UNMUTE: lambda said: self._end(commands.UNMUTE, KIND_MUTED, said),
            commands.ANNOUNCE: self._announce,
        }

    def _ask(self, command: Command, kind: int, argument: str, has_time: bool = False) -> None:
        """Ask for what is to happen to somebody, for a time where that was typed."""
        meant = self._meant(command, argument, has_time)
        if meant is None:
            return
        to, words = meant
        seconds, rest = split_duration(words) if has_time else (None, words)
        if has_time and seconds is None and begins_like_one(words):
            self._tell_no_time(words)
            return
        until = time.time() + seconds if seconds is not None else None
        if command in UNDONE_BY:
            self._tell_unknown(to, UNDONE_BY[command])
        with self._remembered(commands.as_typed(command, argument)) as key:
            self._session.moderate(kind, to, rest, until, key)

    def _end(self, command: Command, kind: int, argument: str) -> None:
        """Ask for the end of a ban or a mute; all that was typed is the name."""
        name, bracket, rest = argument.removeprefix("[").partition("]")
        name = name.strip()
        if not name or rest.strip() or bool(bracket) != argument.startswith("["):
            self._show_usage(command)
            return
        with self._remembered(commands.as_typed(command, argument)) as key:
            self._session.moderate(kind, name, until=ENDED, key=key)

    def _announce(self, argument: str) -> None:
        if not argument:
            self._show_usage(commands.ANNOUNCE)
            return
        with self._remembered(commands.as_typed(commands.ANNOUNCE, argument)) as key:
            self._session.announce(argument, key)

    def _meant(self, command: Command, argument: str, has_time: bool) -> Reading | None:
        """Return who is meant, and what follows; None where that is asked, or nobody is."""
        meant = self._roster.readings(argument, has_time=has_time)
        if len(meant) > 1:
            self._choose(command, meant)
            return None
        if not meant[0][0]:
            self._show_usage(command)
            return None
        return meant[0]

    def _tell_no_time(self, words: str) -> None:
        """Say what a time looks like: without one it would be for good."""
        text = _(
            'Not sent: "{words}" does not begin with a time, which is 10min, 2h or 3d, say. No'
            " reason begins with a digit."
        )
        self._complain(text.format(words=quotation(words)))

    def _tell_unknown(self, name: str, undoing: Command) -> None:
        """Say that a name is nobody's, as far as is known here: it may be mistyped."""
        if self._roster.is_known(name) or is_address(name):
            return
        text = _("Nobody called {user} has been seen here; {usage} takes it back.")
        user = render.name_sign(name)
        self._notify(text.format(user=user, usage=commands.as_typed(undoing, user)))
