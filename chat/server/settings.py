"""The server's flags, each with its environment variable."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Sequence

from chat.cli import flags
from chat.cli.i18n import N_, _
from chat.protocol.limits import DEFAULT_PORT

DEFAULT_DB = "chat.db"
MAX_RETAIN_DAYS = 36_500  # a hundred years
ANY_HOST = ("[::]", "::", "0.0.0.0")


def read_flags(arguments: Sequence[str]) -> Namespace:
    """Return the server's settings, from the command line, the environment and the defaults."""
    parser = flags.Parser(arguments, N_("A chat server: everybody hears what anybody says."))
    add = parser.flag
    add("--host", default="[::]", help=_("address to listen on"))
    add("--port", type=flags.port, default=DEFAULT_PORT, help=_("port to listen on; 0: a free one"))
    add("--db", default=DEFAULT_DB, help=_("file of the log; :memory: keeps it only while running"))
    retain = flags.between(0, MAX_RETAIN_DAYS)
    add("--retain", type=retain, default=0, help=_("days to keep; 0: for ever"))
    add("--max-clients", type=flags.at_least(1), default=10_000, help=_("most clients at a time"))
    add(
        "--rate",
        type=flags.at_least(0, float),
        default=100,
        help=_("messages a second from each client, bursts of ten times that; 0: no limit"),
    )
    add("--backup", help=_("copy the log into this new file and end; a server may be running"))
    add("--check", action="store_true", default=False, help=_("look for damage in the log and end"))
    add("--quiet", action="store_true", default=False, help=_("do not show the conversation"))
    add("--tls-cert", help=_("certificate chain (PEM): listen with TLS"))
    add("--tls-key", help=_("private key of the certificate (PEM)"))
    add("--token-file", help=_("file with the token that clients must show (or CHAT_TOKEN)"))
    return parser.read()
