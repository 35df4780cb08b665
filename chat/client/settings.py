"""The client's command line, and what a session needs of it."""

from __future__ import annotations

from argparse import ArgumentTypeError, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from chat.cli import credentials, flags, i18n
from chat.cli.dependencies import TLS_MODULES, check_installed
from chat.cli.i18n import N_, _
from chat.client.address import parse_addresses
from chat.client.alerts import MODES
from chat.client.rooms import typed_room
from chat.client.trust import Trust
from chat.client.ui.choose import Use
from chat.client.ui.search_lines import made_up_name
from chat.protocol.errors import ChatError, UsageError
from chat.protocol.limits import DEFAULT_HISTORY, MAX_HISTORY, MAX_ROOMS, MAX_SEARCH_CHARACTERS
from chat.protocol.names import COMMON_ROOM, check_name, name_key
from chat.protocol.words import Query

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def read_flags(arguments: Sequence[str], server_address: str) -> Namespace:
    """Return the settings, from the command line, the environment and the defaults.

    `server_address`: where the server is unless one of the former says so.
    """
    parser = flags.Parser(
        arguments, N_("A chat client: what you type, everybody reads. /quit leaves."), "client"
    )
    add = parser.flag
    add(
        "address",
        "CHAT_SERVER",
        nargs="?",
        type=address_text,
        default=server_address,
        metavar="ADDRESS",
        help=_("HOST[:PORT] of the server; with commas, of several that are one chat"),
    )
    add(
        "--discover",
        action="store_true",
        default=False,
        help=_("list the servers on the local network, and join the one that is chosen"),
    )
    add("--name", type=name_text, help=_("your name; asked for if missing"))
    add(
        "--room",
        type=flags.text,
        action=flags.EachTime,
        default=COMMON_ROOM,
        help=_("room to talk in, several times for several (commas in the variable)"),
    )
    add(
        "--history",
        type=flags.between(0, MAX_HISTORY),
        help=_(
            "messages to show first, 1000 at most; without it all you missed (20 at first), in"
            " pipes none"
        ),
    )
    add(
        "--transcript",
        metavar="FILE",
        help=_("append everything that is said to this file, once, with date and time"),
    )
    add(
        "--private",
        action="store_true",
        default=False,
        help=_(
            "keep nothing of this run on the disk, and use nothing of earlier ones but whom you"
            " ignore"
        ),
    )
    add(
        "--forget",
        action="store_true",
        default=False,
        help=_("forget where you left off on the server and what you typed there, and end"),
    )
    add(
        "--bell",
        choices=MODES,
        default="mentions",
        help=_("ring at all messages, at mentions of your name and private ones, or never"),
    )
    add(
        "--notify",
        action="store_true",
        default=False,
        help=_("notify by the terminal as well, where it is known to be able to"),
    )
    add(
        "--json",
        action="store_true",
        default=False,
        help=_("for programs: one JSON object a line, both ways"),
    )
    add(
        "--listen",
        action="store_true",
        default=False,
        help=_("only show what comes in; standard input is not read"),
    )
    add(
        "--send-only",
        action="store_true",
        default=False,
        help=_("only send what standard input says; nothing is printed but what went wrong"),
    )
    add(
        "--time",
        action="store_true",
        default=False,
        help=_("show in pipes, too, when each message was said"),
    )
    add(
        "--plain",
        action="store_true",
        default=False,
        help=_("lines in and lines out, without a line editor: for screen readers"),
    )
    add(
        "--search",
        type=search_text,
        metavar="TEXT",
        help=_("print what was said that has all of these words, the newest first, and end"),
    )
    add("--tls", action="store_true", default=False, help=_("encrypt the connection"))
    add(
        "--fingerprint",
        action=flags.EachTime,
        help=_(
            "SHA-256 of the server's certificate: trust that one alone; several times for several"
        ),
    )
    add("--tls-ca", help=_("authorities (PEM) that the server's certificate may be signed by"))
    add("--tls-cert", help=_("certificate of your own (PEM), for a server that asks for one"))
    add("--tls-key", help=_("private key of your certificate (PEM)"))
    add(
        "--forget-certificate",
        action="store_true",
        default=False,
        help=_("forget the server's certificate and end; next time you are asked about it"),
    )
    add("--key-file", help=_("file with the key that makes names yours; your own key if missing"))
    add("--token-file", help=_("file with the token that the server asks for (or CHAT_TOKEN)"))
    return parser.read()


def use_of(settings: Namespace) -> Use:
    """Return what the client is to be for its standard input and output."""
    return Use(
        is_json=settings.json,
        listen_only=settings.listen,
        send_only=settings.send_only,
        is_plain=settings.plain,
        with_time=settings.time,
        search=settings.search,
    )


def history_of(settings: Namespace) -> int:
    """Return how many of the last messages to show first."""
    if settings.send_only or settings.search is not None:
        return 0
    default = DEFAULT_HISTORY if use_of(settings).has_reader else 0
    return default if settings.history is None else settings.history


def address_text(value: str) -> str:
    """Return the address or addresses of a server, an argument type."""
    try:
        parse_addresses(value)
    except UsageError as error:
        raise ArgumentTypeError(str(error)) from error
    return value


def name_text(value: str) -> str:
    """Return a name that servers take, an argument type."""
    try:
        return check_name(flags.text(value).strip())
    except ChatError as error:
        raise ArgumentTypeError(str(error)) from error


def search_text(value: str) -> str:
    """Return what is searched for, an argument type."""
    text = flags.text(value)
    if not Query.of(text).terms or len(text) > MAX_SEARCH_CHARACTERS:
        raise ArgumentTypeError(str(ChatError("SEARCH_INVALID")))
    return text


def session_options(settings: Namespace, arguments: Sequence[str] = ()) -> dict[str, Any]:
    """Return what `Session` needs of the settings; raises `ChatError` or `ConfigError`.

    `arguments`: as `name_of` has them. A name that is made up for one search is to be nobody's own:
    a key has room for few.
    """
    if settings.private and settings.transcript:
        raise UsageError(_("--private writes nothing, and --transcript does: give one of them."))
    trust = trust_of(settings)
    is_made_up = _is_nameless_search(settings, arguments) and (trust is None or trust.own is None)
    return {
        "rooms": rooms_in(settings.room),
        "history": history_of(settings),
        "key": None if trust is None or is_made_up else _key_of(settings),
        "token": credentials.read_token(settings.token_file),
        "credentials": trust,
    }


def _key_of(settings: Namespace) -> Ed25519PrivateKey | None:
    from chat.client.keys import user_key  # cryptography: only where there is TLS

    return user_key(settings.key_file)


def name_of(settings: Namespace, trust: Trust | None, arguments: Sequence[str] = ()) -> str | None:
    """Return the name to come in with, which may be that of a certificate; None: ask for one.

    A search has one of its own, unless `arguments` say another: who is in the chat under the usual
    name may search meanwhile.
    """
    is_search = _is_nameless_search(settings, arguments)
    if (settings.name is None or is_search) and trust is not None and trust.own is not None:
        from chat.protocol.certified import name_in

        return name_in(trust.own.chain) or None
    if is_search:
        return made_up_name()
    return settings.name  # type: ignore[no-any-return]


def _is_nameless_search(settings: Namespace, arguments: Sequence[str]) -> bool:
    """Say whether it is a search under no name that somebody has said."""
    return settings.search is not None and not i18n.given(arguments, "--name", "")


def trust_of(settings: Namespace) -> Trust | None:
    """Return whom the client is to trust, None where it talks in clear; raises `UsageError`."""
    cert, key, ca = settings.tls_cert, settings.tls_key, settings.tls_ca
    if bool(cert) != bool(key):
        raise UsageError(_("--tls-cert and --tls-key belong together: give both."))
    given = {
        "--tls": settings.tls,
        "--fingerprint": settings.fingerprint,
        "--tls-ca": ca,
        "--tls-cert": cert,
        "--tls-key": key,
    }
    if not any(given.values()):
        return None
    check_installed(TLS_MODULES, "TLS")
    return Trust(
        authorities=credentials.read_authorities(ca) if ca else None,
        fingerprint=settings.fingerprint or "",
        own=(cert, key) if cert else None,
        flags=" ".join(flag for flag, value in given.items() if value),
    )


def rooms_in(text: str) -> list[str]:
    """Return the rooms in a text, with commas between them, each once; raises `ChatError`."""
    rooms = {name_key(room): room for room in map(typed_room, text.split(","))}
    if len(rooms) > MAX_ROOMS:
        raise ChatError("TOO_MANY_ROOMS")
    return list(rooms.values())
