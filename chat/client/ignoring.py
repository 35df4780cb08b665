"""`/ignorar`: whom the user means, and what is said of it. Everything runs in the main thread."""

from __future__ import annotations

from collections.abc import Callable

from chat.cli.i18n import _
from chat.client import commands
from chat.client.commands import as_typed
from chat.client.roster import Roster
from chat.client.ui import render
from chat.protocol.names import name_key

# A longer list would fill the screen.
MAX_LISTED = 100


class Ignoring:
    """Hides what somebody says, and shows it again.

    `own_name`: returns what the user is called. `notify` shows a line.
    """

    def __init__(
        self, roster: Roster, own_name: Callable[[], str], notify: Callable[[str], None]
    ) -> None:
        self._roster = roster
        self._own_name = own_name
        self._notify = notify

    def do(self, argument: str) -> None:
        """Do what was typed behind the command; without anything list who is hidden."""
        name = typed_name(argument)
        meant = self._roster.called(name) if name else []
        if not name:
            self._list()
        elif name_key(name) == name_key(self._own_name()):
            self._notify(_("Usage: {usage}").format(usage=commands.IGNORE.usage))
        elif len(meant) > 1:
            text = _("More than one person is called that. Write {usages}.")
            usages = [as_typed(commands.IGNORE, render.shown_name(one)) for one in meant]
            self._notify(text.format(usages=_(" or ").join(usages)))
        else:
            self._toggle(meant[0] if meant else name)

    def _toggle(self, name: str) -> None:
        user, shown = render.name_sign(name), render.shown_name(name)
        usage = as_typed(commands.IGNORE, shown)
        if not self._roster.toggle_ignored(name):
            self._notify(_("Messages from {user} are shown again.").format(user=user))
        elif self._roster.is_known(name):
            text = _("Messages from {users} are hidden; {usage} shows them again.")
            self._notify(text.format(users=user, usage=usage))
        else:
            # It may be mistyped; or whoever is meant is away.
            text = _(
                "Nobody called {user} has been seen here. Messages from that name are hidden;"
                " {usage} takes it back."
            )
            self._notify(text.format(user=user, usage=usage))

    def _list(self) -> None:
        """Say whose messages are hidden, and how that ends."""
        names = self._roster.ignored
        if not names:
            text = _("You hide nobody; {usage} hides what somebody says.")
            self._notify(text.format(usage=as_typed(commands.IGNORE, _("NAME"))))
            return
        signs = ", ".join(map(render.name_sign, names[:MAX_LISTED]))
        more = ", \N{HORIZONTAL ELLIPSIS}" if len(names) > MAX_LISTED else ""
        usage = as_typed(commands.IGNORE, names[0])
        text = _("Messages from {users} are hidden; {usage} shows them again.")
        if len(names) > 1:
            text = _("Messages from {users} are hidden; {usage} shows those of the first again.")
        self._notify(text.format(users=signs + more, usage=usage))


def typed_name(text: str) -> str:
    """Return the name in a typed argument, which may be as Tab or the screen shows it."""
    text = text.strip().removesuffix(":").strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return text.removeprefix("@").strip()
