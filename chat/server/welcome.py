"""What the operator is told of a server that has started, in sentences.

Knows no rooms and no people.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterator, Sequence
from typing import Protocol

from chat.cli import credentials, english
from chat.cli.i18n import _, _n
from chat.protocol.fingerprints import in_rows
from chat.server import runtime
from chat.server.settings import ANY_HOST


class Started(Protocol):
    """What is told of a server.

    `fingerprint`: of its certificate; empty without TLS. `client_flags`: what a client must be
    given beside the address, each flag with a space before it. `has_bare_token`: a client must send
    a token, and has no TLS to send it by. `unguarded_names`: so many belong to somebody, while this
    server lets anybody have them. `notes`: whatever else, in sentences.
    """

    @property
    def fingerprint(self) -> str: ...
    @property
    def client_flags(self) -> str: ...
    @property
    def has_bare_token(self) -> bool: ...
    @property
    def unguarded_names(self) -> int: ...
    def notes(self) -> Sequence[str]: ...


def sentences(server: Started, flags: Namespace, port: int) -> Iterator[str]:
    """Yield what is printed, line by line."""
    yield _("gRPC server running on port {port}...").format(port=port)
    yield from filter(None, [english.take()])
    if server.fingerprint:
        yield _("Fingerprint of the certificate (SHA-256):")
        yield from in_rows(server.fingerprint).split("\n")
    if server.has_bare_token and not credentials.is_loopback(flags.host):
        yield _(
            "A token would cross the network in the clear: clients on other machines do not send it"
            " without TLS. Add --tls."
        )
    elif flags.host in ANY_HOST:
        yield from runtime.invitations(port, server.client_flags)
    if count := server.unguarded_names:
        text = _n(
            "{} name belongs to somebody, but without {flag} anybody can use it.",
            "{} names belong to somebody, but without {flag} anybody can use them.",
            count,
        )
        yield text.format(count, flag="--own-names" if server.fingerprint else "--tls")
    yield from server.notes()
