"""Which server of those that were found: asked of a person, or told to a program.

Knows no network. In the main thread, before the conversation.
"""

from __future__ import annotations

import json
import os
from argparse import Namespace
from collections.abc import Callable, Sequence
from dataclasses import asdict

from chat.cli.credentials import TOKEN_VARIABLE
from chat.cli.i18n import _
from chat.client import commands
from chat.client.discovery import FoundServer, discover
from chat.client.ui.base import Terminal
from chat.protocol.errors import ConfigError


def choose_server(
    settings: Namespace,
    terminal: Terminal,
    find: Callable[[], Sequence[FoundServer]] = discover,
) -> bool:
    """Look for servers, and let the person choose one: `settings` then say where it is.

    False where none is to be joined: nobody can be asked, to whom the list is told, or the person
    leaves. Raises `ConfigError` where there is none, and where one may not have the token.
    """
    if terminal.is_interactive:
        print(_("Looking for servers on the local network..."), flush=True)
    servers = find()
    if not servers:
        raise ConfigError(
            _("No server was found on the local network. Ask for its address, and type that.")
        )
    if not terminal.is_interactive:
        for server in servers:
            print(json.dumps(asdict(server)) if settings.json else server.line(), flush=True)
        return False
    chosen = _asked_server(terminal, servers)
    if chosen is None:
        return False
    _check_token(settings, chosen)
    settings.address = chosen.address
    settings.tls = settings.tls or chosen.has_tls
    return True


def _asked_server(terminal: Terminal, servers: Sequence[FoundServer]) -> FoundServer | None:
    """Return the one whose number is typed, None for leaving."""
    for number, server in enumerate(servers, 1):
        print(f"{number}  {server.line()}", flush=True)
    while True:
        try:
            answer = terminal.ask(_("Number of the server: ")).strip()
        except EOFError:
            return None
        if not answer or commands.is_leaving(answer):
            return None
        if answer.isascii() and answer.isdigit() and 1 <= int(answer[:3]) <= len(servers):
            return servers[int(answer[:3]) - 1]
        terminal.show_error(_("Type a number from 1 to {last}.").format(last=len(servers)))


def _check_token(settings: Namespace, server: FoundServer) -> None:
    """Raise `ConfigError` where a token would go in clear to whoever said that it is a server."""
    has_token = settings.token_file or os.environ.get(TOKEN_VARIABLE)
    if has_token and not (server.has_tls or settings.tls):
        raise ConfigError(
            _("That server does not encrypt: it gets no token, unless you type its address.")
        )
