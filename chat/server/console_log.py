"""The conversation on the server's standard output. Any thread may print; one thread writes.

No row of a message can begin like another one's: for a terminal it is broken into rows here, of
which the later ones are indented; elsewhere its later lines are.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import chat_pb2
from chat.cli.display import clean, isolated, shown_name
from chat.cli.facts import fact_text, is_fact
from chat.cli.i18n import N_, _, _n
from chat.cli.streams import write_unbuffered
from chat.cli.wrap import columns_of, rows_of
from chat.protocol.names import COMMON_ROOM
from chat.server.encoding import said
from chat.server.line_thread import LineThread

# Lines that may wait for standard output.
MAX_LINES = 4096

EVENTS: dict[int, str] = {
    chat_pb2.KIND_CLOSED: N_("* {user} closed the room"),
    chat_pb2.KIND_OPENED: N_("* {user} opened the room"),
    chat_pb2.KIND_INVITED: N_("* {user} invites {name}"),
}

# One of the program's own, or a room and what was said there.
Line = str | tuple[str, chat_pb2.Message]


class ConsoleLog:
    """Lines on standard output, written by a thread of their own.

    Nothing is shown before `begin`: other servers of a cluster may be heard before this one
    listens, and programs read its port from the first line.

    Bounded: when standard output takes nothing (a stopped pager, say), what does not fit is counted
    and left out. The chat never waits for it. `_thread.changed` guards every attribute.
    """

    def __init__(self) -> None:
        self._has_begun = False
        self._left_out = 0
        self._thread: LineThread[Line] = LineThread(
            "console-log", MAX_LINES, _write, self._with_left_out, lambda: self._has_begun
        )

    def begin(self, *lines: str) -> None:
        """Show these lines first, however many wait; then what has been said until now."""
        with self._thread.changed:
            self._thread.lines[:0] = lines
            self._has_begun = True
            self._thread.changed.notify()

    def show(self, room: str, messages: Sequence[chat_pb2.Message]) -> None:
        """Show `[user]: message`, the room before it if it has a name; what is done as `*does*`."""
        self._put([(room, message) for message in messages])

    def print(self, *lines: str) -> None:
        """Show the lines, or leave out those for which there is no room."""
        self._put(lines)

    def _put(self, lines: Sequence[Line]) -> None:
        with self._thread.changed:
            self._left_out += len(lines) - self._thread.add(lines)

    def close(self) -> None:
        """Show what waits, for a second at the most."""
        self._thread.close()

    def _with_left_out(self, lines: list[Line]) -> list[Line]:
        """Return lines that are about to be shown, with how many are not."""
        if self._left_out:
            count, self._left_out = self._left_out, 0
            lines.append(_n("({} line left out)", "({} lines left out)", count).format(count))
        return lines


def _shown(line: Line, columns: int | None) -> str:
    """Return a line as it is shown: to a terminal in rows that fit, elsewhere as it was said."""
    if isinstance(line, str):
        return rows_of("", line, columns)
    room, message = line
    if is_fact(message):
        return rows_of("", fact_text(message), columns)
    place = f"#{room} " if room != COMMON_ROOM else ""
    if message.kind in EVENTS:
        return rows_of(place if columns is None else isolated(place), _event(message), columns)
    if columns is None:
        return rows_of(f"{place}[{message.user}]: ", said(message), None)
    lead = f"{isolated(place)}[{isolated(shown_name(message.user))}]: "
    return rows_of(lead, clean(said(message)), columns)


def _event(message: chat_pb2.Message) -> str:
    """Return what happened to a room, which nobody has said."""
    user, name = (f"[{isolated(shown_name(who))}]" for who in (message.user, message.to))
    return _(EVENTS[message.kind]).format(user=user, name=name)


def _write(lines: list[Line]) -> None:
    columns = columns_of(sys.stdout)
    shown = "".join(f"{_shown(line, columns)}\n" for line in lines)
    write_unbuffered(sys.stdout, shown.encode(errors="replace"))
