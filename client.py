"""The chat client for the console. Run it: `python client.py [HOST[:PORT]]`.

Reads the settings, connects and lets two people's programs talk: `conversation.py` is what is said
and heard, `session.py` keeps the stream alive, with the input generator that feeds it, and
`screen.py` is the line editor.
"""

from __future__ import annotations

import os
import signal
import sys
from argparse import Namespace
from collections.abc import Sequence

# What gRPC itself has to say is said by us, in a sentence. It reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

from chat.cli import credentials as security
from chat.cli import flags
from chat.cli.i18n import N_, _, speak_utf8
from chat.client.app import BELLS, EXIT_REFUSED, Conversation, sentence
from chat.client.session import DEFAULT_HISTORY, DEFAULT_PORT, Session
from chat.client.ui.plain import ENDING_SIGNALS, JsonTerminal, PlainTerminal, Terminal
from chat.protocol.errors import ChatError, ConfigError
from chat.protocol.names import COMMON_ROOM, check_name

# Where the server is. To talk to one on another machine, put its IP here: "192.168.1.10:50051".
SERVER_ADDRESS = "localhost:50051"

EXIT_USAGE = 2
EXIT_INTERRUPTED = 128 + signal.SIGINT
# Terminals that can do nothing but append.
DUMB_TERMINALS = ("", "dumb", "unknown")


def parse_address(text: str) -> str:
    """Return `HOST[:PORT]` with its port; raises `ConfigError` that says what is wrong with it."""
    text = text.strip()
    host, colon, port = text.rpartition(":")
    if not colon or text.endswith("]") or text.count(":") > 1 and not text.startswith("["):
        host, port = text, str(DEFAULT_PORT)
    host = host.strip("[]")
    is_port = port.isascii() and port.isdigit() and 1 <= int(port) <= 65535
    if not host or not is_port or any(character in "/@ \t" for character in host):
        example = "192.168.1.10:50051"
        wrong = _("{text!r} is no address. Write HOST or HOST:PORT, such as {example}.")
        raise ConfigError(wrong.format(text=text, example=example))
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_flags(arguments: Sequence[str]) -> Namespace:
    """Return the client's settings, from the command line, the environment and the defaults."""
    parser = flags.Parser(arguments, N_("A chat client: type, and all read it. /sair leaves."))
    address = os.environ.get("CHAT_SERVER") or SERVER_ADDRESS
    text = _("HOST[:PORT] of the server [CHAT_SERVER; {address}]").format(address=address)
    parser.add_argument("address", nargs="?", default=address, metavar="ADDRESS", help=text)
    add = parser.flag
    add("--name", help=_("your name; asked for if missing"))
    add("--room", default=COMMON_ROOM, help=_("room to talk in; the common one if missing"))
    add(
        "--history",
        type=flags.at_least(0),
        default=DEFAULT_HISTORY,
        help=_("how many of the last messages to show first, 1000 at most"),
    )
    add(
        "--bell",
        choices=BELLS,
        default="mentions",
        help=_("ring at all messages, at mentions of your name and private ones, or never"),
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
        help=_("only show what comes; standard input is not read"),
    )
    add("--tls", action="store_true", default=False, help=_("encrypt the connection"))
    add("--tls-ca", help=_("authorities (PEM) that the server's certificate may be signed by"))
    add("--token-file", help=_("file with the token that the server asks for (or CHAT_TOKEN)"))
    return parser.read()


def connect(settings: Namespace, name: str, terminal: Terminal) -> Conversation:
    """Return a conversation for `name`; raises `ChatError` where the settings cannot work."""
    uses_tls = settings.tls or settings.tls_ca is not None
    session = Session(
        parse_address(settings.address),
        name,
        room=settings.room and check_name(settings.room, "ROOM_INVALID"),
        history=settings.history,
        token=security.read_token(settings.token_file),
        credentials=security.channel_credentials(settings.tls_ca) if uses_tls else None,
        on_state=lambda state: conversation.changed(state),
    )
    conversation = Conversation(session, terminal, settings.bell)
    return conversation


def introduce(settings: Namespace, terminal: Terminal) -> Conversation | int:
    """Come in under the name given, or asked for until one is free; an exit code if refused."""
    name = settings.name
    while True:
        wanted = name if name is not None else terminal.ask(_("Type your name: "))
        try:
            conversation = connect(settings, wanted.strip(), terminal)
            refusal = conversation.start()
        except (ChatError, ConfigError) as error:
            refusal = error
        if refusal is None:
            return conversation
        terminal.complain(sentence(refusal))
        may_ask_again = name is None and terminal.is_interactive
        is_about_name = isinstance(refusal, ChatError) and refusal.reason.startswith("NAME_")
        if not may_ask_again or not is_about_name:
            return EXIT_REFUSED


def choose_terminal(settings: Namespace) -> Terminal:
    """Return the line editor where a person sits before a terminal that can do it."""
    if settings.json:
        return JsonTerminal(is_deaf=settings.listen)
    is_person = sys.stdin.isatty() and sys.stdout.isatty() and not settings.listen
    is_dumb = sys.platform != "win32" and os.environ.get("TERM", "") in DUMB_TERMINALS
    if is_person and not is_dumb:
        try:
            from chat.client.ui.editor import (
                Screen,  # needs prompt_toolkit, which the chat can do without
            )

            return Screen()
        except (ImportError, OSError):
            return PlainTerminal()
    return PlainTerminal(is_deaf=settings.listen)


def chat(settings: Namespace) -> int:
    """Run one conversation; return the exit code."""
    terminal = choose_terminal(settings)
    try:
        conversation = introduce(settings, terminal)
    except EOFError:
        terminal.complain(_("No name was given. Pass it by --name."))
        return EXIT_USAGE
    return conversation if isinstance(conversation, int) else conversation.converse()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; return the exit code (see the README)."""
    speak_utf8()
    settings = read_flags(sys.argv[1:] if arguments is None else arguments)
    for number in ENDING_SIGNALS:
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))
    try:
        return chat(settings)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED


if __name__ == "__main__":
    sys.exit(main())
