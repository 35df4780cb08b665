"""The chat client for the console. Run it: `python client.py [HOST[:PORT][,HOST[:PORT]]…]`.

One stream to the server, `stub.Chat`: what is typed goes up by the input generator
`request_messages`, what is said comes down in a thread of its own, `receive_messages`. What is
around it is in the package `chat/client`: `session.py` opens the stream anew when it is lost,
`app.py` is one person's conversation.
"""

from __future__ import annotations

import os
import sys

# Python looks beside the script, unless it is told not to (-I, PYTHONSAFEPATH).
sys.path.append(os.path.dirname(os.path.abspath(__file__)))
# What gRPC itself has to say is said by us, in a sentence. It reads this when it is imported.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")
# Names are looked up as every other program does it: with the hosts file, mDNS (`name.local`), and
# all the addresses that a name has. gRPC's own resolver asks name servers alone.
os.environ.setdefault("GRPC_DNS_RESOLVER", "native")

from chat.cli.startup import Importing

# Where the server is. To talk to one on another machine, put its IP here: "192.168.1.10:50051".
# Of several servers that are one chat (docs/operating.md) write all, with commas between them.
SERVER_ADDRESS = "localhost:50051"

with Importing():  # Ctrl-C ends it without a word meanwhile, and what is missing with a sentence
    import threading
    from argparse import Namespace
    from collections.abc import Iterator, Sequence
    from typing import Any

    from chat.cli import english
    from chat.cli.folders import state_folder
    from chat.cli.i18n import _
    from chat.client.address import chat_name, parse_addresses
    from chat.client.app import App, enter
    from chat.client.choosing import choose_server
    from chat.client.connection import Metadata
    from chat.client.ending import EXIT_OK, EXIT_REFUSED, sentence
    from chat.client.first_look import check_servers
    from chat.client.identity import Identity
    from chat.client.ignored import SharedIgnored
    from chat.client.outbox import Requests
    from chat.client.questions import confirming
    from chat.client.remembering import forget_all, remember
    from chat.client.session import Session
    from chat.client.settings import name_of, read_flags, session_options, use_of
    from chat.client.trust import forget
    from chat.client.ui.base import Terminal
    from chat.client.ui.choose import check_use, choose_terminal
    from chat.client.ui.plain import PlainTerminal
    from chat.client.ui.search_lines import SearchTerminal, refusal_text
    from chat.client.ui.signals import exit_on_signals
    from chat.protocol.errors import ChatError, ConfigError, UsageError
    from chat.protocol.names import check_name
    from chat_pb2 import Message

EXIT_USAGE = 2
EXIT_INTERRUPTED = 130  # 128 and the number of SIGINT


def request_messages(requests: Requests) -> Iterator[Message]:
    """Yield what is to be sent: the input generator. gRPC takes it in a thread of its own.

    Waits for the next message; ends, and so does our half of the stream, when none will come.
    """
    while (message := requests.next()) is not None:
        yield message


def receive_messages(session: Session, app: App) -> None:
    """Hand over what comes in, until the conversation is over: the body of the receive thread."""
    with app.watching():
        for message in session:
            app.receive(message)


def open_stream(stub: Any, requests: Requests, metadata: Metadata) -> Any:
    """Open the one stream between the two; the session does so again when it was lost."""
    return stub.Chat(request_messages(requests), metadata=metadata)


def join(
    name: str,
    terminal: Terminal,
    addresses: Sequence[str],
    settings: Namespace,
    options: dict[str, Any],
) -> App:
    """Connect as `name`, with a thread that receives; raises the refusal if there is one.

    `addresses`: of the servers, one or several. `options`: what `session_options` says.
    """
    chat = chat_name(addresses)
    is_kept = not settings.private and settings.search is None  # nobody comes back to a search
    identity = Identity(chat, check_name(name), is_kept=is_kept)
    memory = remember(settings, chat, name, terminal, identity)
    session = Session(
        ",".join(addresses),
        name,
        open_stream=open_stream,
        session_id=identity.session,
        place=memory.place(identity.place),
        at_most=memory.at_most,
        **options,
    )
    ignored = SharedIgnored(addresses, state_folder(), is_kept=is_kept)
    app = App(session, terminal, settings.bell, ignored, memory, settings.notify)
    receive_thread = threading.Thread(
        target=receive_messages, args=(session, app), name="receive", daemon=True
    )
    app.start(receive_thread)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the client; return the exit code (docs/using.md has the table)."""
    try:
        code = talk(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    if code != EXIT_OK:
        english.print_to(sys.stderr)
    return code


def find_server(settings: Namespace, terminal: Terminal) -> int | None:
    """Let `settings` say where a server of the local network is, or return the exit code."""
    try:
        return None if choose_server(settings, terminal) else EXIT_OK
    except ConfigError as error:
        terminal.show_error(sentence(error))
        return EXIT_REFUSED


def talk(arguments: Sequence[str]) -> int:
    """Hold one conversation, as the arguments say; return the exit code."""
    exit_on_signals()
    settings = read_flags(arguments, SERVER_ADDRESS)
    use = use_of(settings)
    terminal = choose_terminal(use)
    if settings.discover and (code := find_server(settings, terminal)) is not None:
        return code
    try:
        check_use(use)
        addresses = parse_addresses(settings.address)
        if settings.forget_certificate:
            for address in addresses:
                PlainTerminal().show_notice(forget(address))  # no part of a conversation: no time
            return EXIT_OK
        if settings.forget:
            PlainTerminal().show_notice(forget_all(chat_name(addresses), settings.name))
            return EXIT_OK
        options = session_options(settings, arguments)
    except (ChatError, ConfigError) as error:
        terminal.show_error(sentence(error))
        return EXIT_USAGE
    try:
        trust = options["credentials"]
        name = name_of(settings, trust, arguments)
        asks_name = name is None and terminal.is_interactive
        confirm = confirming(terminal)
        check_servers(addresses, trust, confirm, terminal.show_error, asks_name=asks_name)
        app = enter(
            name,
            terminal,
            lambda name: join(name, terminal, addresses, settings, options),
        )
        code = EXIT_OK if app is None else app.run()
        return terminal.exit_code(code) if isinstance(terminal, SearchTerminal) else code
    except (ChatError, ConfigError) as refusal:
        is_search = isinstance(terminal, SearchTerminal)
        terminal.show_error(refusal_text(refusal) if is_search else sentence(refusal))
        return EXIT_USAGE if isinstance(refusal, UsageError) else EXIT_REFUSED
    except EOFError:
        terminal.show_error("\n" + _("No name was given. Pass it by --name."))  # below the question
        return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
