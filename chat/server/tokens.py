"""The tokens that open the server, each with a name: read from a file, and compared.

A file has a token a line, as NAME:TOKEN; what begins with # is a comment. One may stand alone,
without a name. Knows no gRPC. Once read, no token is kept: what is compared are digests under a key
that nobody else has.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NoReturn

from chat.cli import credentials
from chat.cli.i18n import _
from chat.cli.secret_files import warn_if_others_can_read
from chat.protocol.errors import UsageError
from chat.protocol.metadata import bearer

# All are looked at for each call that comes in: together for some 0.2 ms at most.
MAX_TOKENS = 1000
# What is shown in logs, and can be told from a token with a colon in it.
_NAME = re.compile(r"[A-Za-z0-9_.@-]{1,64}")
UNNAMED = "(unnamed)"

_KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class Token:
    """One token: its name, for logs; its digest, and that of the whole line, as good as it."""

    name: str
    digest: bytes
    line_digest: bytes


class Tokens:
    """Every token that opens the server."""

    def __init__(self, tokens: Iterable[Token]) -> None:
        self._tokens = tuple(tokens)
        self._digests = {token.digest for token in self._tokens}

    def __len__(self) -> int:
        return len(self._tokens)

    def __contains__(self, token: object) -> bool:
        """Say whether a token, under whatever name, still is one of these."""
        return isinstance(token, Token) and token.digest in self._digests

    def find(self, authorization: str | bytes) -> Token | None:
        """Return the token that a header carries, None for any other.

        Compares with every one, and takes the same time however much of it is right.
        """
        given = authorization.encode() if isinstance(authorization, str) else authorization
        scheme = bearer("").encode()
        shown = _digest(given.removeprefix(scheme))
        found = None
        for token in self._tokens:
            is_it = hmac.compare_digest(shown, token.digest)
            if is_it | hmac.compare_digest(shown, token.line_digest):
                found = token
        return found if given.startswith(scheme) else None


def read_tokens(path: str) -> Tokens:
    """Return the tokens in a file. Raises `UsageError`, which never says what is in a line."""
    reader = _Reader(path)
    for number, line in credentials.lines_in(credentials.text_in(path)):
        reader.take(number, line)
    if not reader.tokens:
        raise UsageError(_("{path} is empty: write the token into it.").format(path=path))
    warn_if_others_can_read(path)
    return Tokens(reader.tokens)


def token_of_variable() -> Tokens:
    """Return the one token in `CHAT_TOKEN`, if there is one. Raises `UsageError`."""
    reader = _Reader(credentials.TOKEN_VARIABLE)
    if line := credentials.read_token(None):
        reader.take(1, line)
    return Tokens(reader.tokens)


class _Reader:
    """Takes one line after the other; `tokens`: what they hold."""

    def __init__(self, source: str) -> None:
        self.tokens: list[Token] = []
        self._source = source
        self._lines: dict[str | bytes, int] = {}  # where each name, and each digest, was first

    def take(self, number: int, line: str) -> None:
        """Take a line. Raises `UsageError`, with its number."""
        name, secret = _split(line)
        if not credentials.is_token(secret):
            self._refuse(number, credentials.token_rule())
        if len(self.tokens) >= MAX_TOKENS:
            self._refuse(number, _("There are more than {most} tokens.").format(most=MAX_TOKENS))
        token = Token(name, _digest(secret.encode()), _digest(line.encode()))
        self._check_first(number, token.digest, _("This token is already on line {first}."))
        if name == UNNAMED:
            text = _("Only one token may stand without a name: write NAME:TOKEN.")
        else:
            text = _("Line {first} has this name too. Give each token a name of its own.")
        self._check_first(number, name, text)
        self.tokens.append(token)

    def _check_first(self, number: int, what: str | bytes, otherwise: str) -> None:
        first = self._lines.setdefault(what, number)
        if first != number:
            self._refuse(number, otherwise.format(first=first))

    def _refuse(self, number: int, sentence: str) -> NoReturn:
        where = _("{path}, line {number}: {sentence}")
        raise UsageError(where.format(path=self._source, number=number, sentence=sentence))


def _split(line: str) -> tuple[str, str]:
    """Return the name and the token in a line; what no name could be is a part of the token."""
    name, colon, secret = line.partition(":")
    if colon and _NAME.fullmatch(name.strip()):
        return name.strip(), secret.strip()
    return UNNAMED, line


def _digest(secret: bytes) -> bytes:
    return hashlib.blake2b(secret, key=_KEY, digest_size=32).digest()
