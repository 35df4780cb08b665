"""The door: no call goes on without a token that opens the server, but health's.

Wrong tokens are slowed (`guesses.py`), and each refusal is logged with where it came from. A stream
that came in by a token ends when that is taken away. Everything runs in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from contextlib import suppress
from typing import Any

import grpc

from chat.protocol.errors import ChatError
from chat.protocol.metadata import AUTHORIZATION, bearer, session_in
from chat.server.address import address_of
from chat.server.diagnostics import token_name
from chat.server.guesses import Guesses
from chat.server.interceptors import (
    Continuation,
    Details,
    Handler,
    Remade,
    TakeTurn,
    refuse_in_turn,
    stream_handler,
)
from chat.server.reload import Reloader, Watched
from chat.server.status import abort
from chat.server.tokens import Token, Tokens, read_tokens, token_of_variable

# What load balancers ask, and whoever watches over the server: they have no token.
HEALTH = "/grpc.health.v1.Health/"

_LINES = {
    "TOKEN_MISSING": "showed no token",
    "TOKEN_INVALID": "showed a wrong token",
    "TOO_MANY_GUESSES": "showed one token too many",
}

_log = logging.getLogger(__name__)


def token_checks(path: str | None, take_turn: TakeTurn, reloader: Reloader) -> list[TokenCheck]:
    """Return the check of the tokens in the file `path`, or of that in `CHAT_TOKEN`, if any.

    The file is read again when it changes. Raises `UsageError`.
    """
    if not path:
        tokens = token_of_variable()
        return [TokenCheck(tokens, take_turn)] if tokens else []
    watched = Watched(read_tokens, path, on_change=lambda tokens: check.replace(tokens))
    check = TokenCheck(watched.value, take_turn)
    reloader.add(watched)
    return [check]


class TokenCheck(grpc.aio.ServerInterceptor):
    """Refuses every call that does not carry one of `tokens`, whatever its service; but health's.

    `take_turn`: returns when an address may be refused.
    """

    def __init__(self, tokens: Tokens, take_turn: TakeTurn, guesses: Guesses | None = None) -> None:
        self._tokens = tokens
        self._take_turn = take_turn
        self._guesses = guesses or Guesses()
        self._checked = Remade(self._check)
        self._streams: dict[asyncio.Task[Any], Token] = {}  # by which token each came in

    def replace(self, tokens: Tokens) -> None:
        """Take these tokens from now on; streams that came in by another one end."""
        self._tokens = tokens
        lost = {task: token for task, token in self._streams.items() if token not in tokens}
        for task in lost:
            del self._streams[task]
            task.cancel()
        for name, count in Counter(token.name for token in lost.values()).items():
            _log.warning("token %s was taken away; streams that end by that: %d", name, count)

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler, behind the check."""
        handler = await continuation(details)
        if handler is None or details.method.startswith(HEALTH):
            return handler
        return self._checked.of(handler)

    def _check(self, handler: Handler) -> Handler:
        async def serve(requests: object, context: Any) -> None:
            try:
                token = await self._judge(context)
            except ChatError as error:
                _log.warning("%s %s", context.peer(), _LINES[error.reason])
                await refuse_in_turn(context, error.reason, self._take_turn)
            else:
                await self._serve(handler, token, requests, context)

        return stream_handler(serve, None, handler.response_serializer)

    async def _judge(self, context: Any) -> Token:
        """Return the token that a call carries, or raise `ChatError`."""
        metadata = dict(context.invocation_metadata() or ())
        shown = metadata.get(AUTHORIZATION, "")
        if shown.strip() in ("", bearer("").strip()):
            raise ChatError("TOKEN_MISSING")
        found: list[Token] = []

        def is_right() -> bool:
            token = self._tokens.find(shown)
            found.extend([token] if token is not None else [])
            return token is not None

        address = address_of(context.peer())
        is_in = await self._guesses.judge(address, session_in(metadata), is_right)
        if not is_in or found[0] not in self._tokens:  # it was taken away meanwhile
            raise ChatError("TOKEN_INVALID")
        return found[0]

    async def _serve(self, handler: Handler, token: Token, requests: object, context: Any) -> None:
        """Serve a call for as long as its token opens the server."""
        task = asyncio.current_task()
        assert task is not None
        self._streams[task] = token
        token_name.set(token.name)
        try:
            await handler.stream_stream(requests, context)
        except asyncio.CancelledError:
            if task not in self._streams:  # it was not the caller who ended it
                with suppress(grpc.aio.UsageError):  # it was just being ended for another reason
                    await abort(context, ChatError("TOKEN_INVALID"))
            raise
        finally:
            self._streams.pop(task, None)
