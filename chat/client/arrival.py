"""What a person is told on coming in: where that is, how many are there, and where help is."""

from __future__ import annotations

from chat.cli import english
from chat.cli.i18n import _, _n
from chat.client.commands import HELP
from chat.client.connection_status import ConnectionStatus
from chat.client.state import Change, State
from chat.client.ui.base import Terminal
from chat.client.ui.render import room_sign


class Arrival:
    """Tells it once, before anything else that comes in is shown. In the receive thread."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal

    def tell(self, state: State, before: ConnectionStatus, room: str) -> None:
        """Tell a person who has just come in, for the first time, to `room`.

        `before`: how the connection stood until now.
        """
        is_in = state.change in (Change.CONNECTED, Change.PLAIN)
        if not is_in or before.is_known or not self._terminal.is_interactive:
            return
        self._notify(place_text(state.address, room, state.people))
        if line := english.take(english.CHAT_HINT):
            self._notify(line)
        text = _("{help} shows the commands.")
        if self._terminal.is_live:  # the line editor, which alone knows Tab
            text = _("{help} shows the commands, and Tab completes them.")
        self._notify(text.format(help=HELP.typed))

    def _notify(self, text: str) -> None:
        self._terminal.show_notice(f"* {text}")


def place_text(address: str, room: str, people: int | None) -> str:
    """Say where one is; `people`: how many are there, oneself included, None where nobody knows."""
    where = _("You are in the common room of {address}.")
    if room:
        where = _("You are in {room} at {address}.")
    text = where.format(room=room_sign(room), address=address)
    return text if people is None else f"{text} {people_text(people)}"


def people_text(people: int) -> str:
    """Say how many are there, oneself included."""
    others = people - 1
    if others < 1:
        return _("Nobody else is here yet.")
    return _n("{} other person is here.", "{} other people are here.", others).format(others)
