"""`/ignorar`: whom the user means, and what is said of it. Everything runs in the main thread.

Also what is said where somebody who is ignored is written to: the answer would not be seen.
"""

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

    `own_name`: returns what the user is called. `notify` shows a line; `complain` one that says why
    nothing is done.
    """

    def __init__(
        self,
        roster: Roster,
        own_name: Callable[[], str],
        notify: Callable[[str], None],
        complain: Callable[[str], None],
    ) -> None:
        self._roster = roster
        self._own_name = own_name
        self._notify = notify
        self._complain = complain
        self._hinted: set[str] = set()  # keys of those of whom it was said that nothing is shown

    def do(self, argument: str) -> None:
        """Do what was typed behind the command; without anything list who is hidden."""
        name = typed_name(argument)
        meant = self._roster.called(name) if name else []
        if not name:
            self._list()
        elif name_key(name) == name_key(self._own_name()):
            self._complain(_("You cannot hide yourself."))
        elif len(meant) > 1:
            text = _("More than one person is called that. Write {usages}.")
            usages = [as_typed(commands.IGNORE, render.shown_name(one)) for one in meant]
            self._complain(text.format(usages=_(" or ").join(usages)))
        elif not meant and "[" not in argument and (near := self._roster.nearest(name)):
            self._ask(name, near)
        else:
            self._toggle(meant[0] if meant else name)

    def hint(self, name: str) -> None:
        """Say once, where somebody who is ignored is written to, that no answer will be shown."""
        key = name_key(name)
        if not self._roster.is_ignored(name) or key in self._hinted:
            return
        self._hinted.add(key)
        text = _(
            "You ignore {user}, so you will not see an answer; {usage} shows what comes from then"
            " on."
        )
        usage = as_typed(commands.IGNORE, render.shown_name(name))
        self._notify(text.format(user=render.name_sign(name), usage=usage))

    def _ask(self, name: str, near: str) -> None:
        """Ask whether somebody else is meant than nobody; in brackets it is meant as it is."""
        text = _(
            "Nobody called {user} has been seen here. Did you mean {near}? {usage} hides that name"
            " all the same."
        )
        user = render.name_sign(name)
        usage = as_typed(commands.IGNORE, user)
        self._complain(text.format(user=user, near=render.name_sign(near), usage=usage))

    def _toggle(self, name: str) -> None:
        self._hinted.discard(name_key(name))
        user, shown = render.name_sign(name), render.shown_name(name)
        usage = as_typed(commands.IGNORE, shown)
        if not self._roster.toggle_ignored(name):
            self._notify(_("Messages from {user} are shown again.").format(user=user))
        elif self._roster.is_known(name):
            text = _("Messages from {user} are hidden; {usage} shows them again.")
            self._notify(text.format(user=user, usage=usage))
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
        usage = as_typed(commands.IGNORE, _("NAME"))
        text = _("Hidden: {users}. {usage} shows what they say again.")
        self._notify(text.format(users=_listed(names), usage=usage))


def _listed(names: list[str]) -> str:
    """Return names as a list in a sentence, which is cut where it would fill the screen."""
    *signs, last = map(render.name_sign, names[:MAX_LISTED])
    if len(names) > MAX_LISTED:
        return ", ".join([*signs, last, "\N{HORIZONTAL ELLIPSIS}"])
    return _(" and ").join([", ".join(signs), last]) if signs else last


def typed_name(text: str) -> str:
    """Return the name in a typed argument, which may be as Tab or the screen shows it."""
    text = text.strip().removesuffix(":").strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    return text.removeprefix("@").strip()
