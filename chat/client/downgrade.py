"""What is done before a server is talked to in the clear whose certificate is known: a way down.

Somebody in between could be why nothing is encrypted any more. So a person is asked and a program
refused, before anything is sent. With a server on this very machine there is nobody in between: a
sentence says it, and no more.
"""

from __future__ import annotations

from collections.abc import Callable

from chat.cli.credentials import is_loopback
from chat.cli.i18n import _
from chat.client.known_servers import KnownServers
from chat.client.tls_only import speaks_tls, tls_only
from chat.client.trust import forget_command
from chat.protocol.errors import ConfigError


def check_clear(
    address: str,
    confirm: Callable[[str], bool] | None,
    tell: Callable[[str], None],
    known: KnownServers | None = None,
    has_tls: Callable[[str], bool] = speaks_tls,
) -> None:
    """Let the server at `HOST:PORT` be talked to in the clear, or raise `ConfigError`.

    `confirm`: shows a text, asks yes or no, and returns the answer; None where nobody can be asked.
    `tell`: shows a sentence. `has_tls`: looks whether it still speaks TLS. Blocks.
    """
    if not (known or KnownServers()).knows(address):
        return
    is_here = is_loopback(address.rpartition(":")[0].strip("[]"))
    if has_tls(address):
        if is_here:
            return  # that it cannot be talked to in the clear is said when it is tried
        raise tls_only(address)
    text = _("Last time the connection to {address} was encrypted; now it would not be. Add --tls.")
    sentence = text.format(address=address)
    if is_here:
        tell(sentence)
        return
    text = _("If this server has no TLS any more, forget its certificate:\n  {command}")
    sentence += "\n" + text.format(command=forget_command(address))
    if confirm is None:
        raise ConfigError(sentence)
    if not confirm(sentence + "\n" + _("Connect without encryption (yes/no)? ")):
        raise ConfigError(_("Nothing was sent."))
