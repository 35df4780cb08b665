"""The outermost of the interceptors: whatever becomes of a call, by whomever, is seen here.

Knows no chat. gRPC asks it once for each call, in the event loop.
"""

from __future__ import annotations

from typing import Any

import grpc

from chat.protocol.limits import MAX_RAW_NAME_CHARACTERS
from chat.protocol.metadata import REASON, USER
from chat.server.interceptors import Continuation, Details, Handler, Remade, stream_handler
from chat.server.visits import LEFT, LOST, OTHER, Visits


class Watching(grpc.aio.ServerInterceptor):
    """Makes a visit of each call. Those within it must make streams of all (`OtherCalls`)."""

    def __init__(self, visits: Visits) -> None:
        self._visits = visits
        self._watched = Remade(self._watch)

    async def intercept_service(self, continuation: Continuation, details: Details) -> Handler:
        """Return the handler, watched."""
        handler = await continuation(details)
        # Where there is none there is no such method; `acceptor.py` has refused it before.
        return None if handler is None else self._watched.of(handler)

    def _watch(self, handler: Handler) -> Handler:
        behaviour = handler.stream_stream

        async def serve(requests: object, context: Any) -> None:
            visit = self._visits.begin(context.peer())
            reason = LOST
            try:
                await behaviour(requests, context)
                reason = LEFT
            except grpc.aio.AbortError:
                reason = OTHER
                raise
            finally:
                name = claimed_name(context) if visit.member is None else ""
                self._visits.end(visit, refusal_of(context) or reason, name)

        decode, encode = handler.request_deserializer, handler.response_serializer
        return stream_handler(serve, decode, encode)


def claimed_name(context: Any) -> str:
    """Return the name that a caller gives itself, cut where it is long; empty: none."""
    for key, value in context.invocation_metadata() or ():
        if key == USER and isinstance(value, bytes):
            return value[: 4 * MAX_RAW_NAME_CHARACTERS].decode("utf-8", "replace")
    return ""


def refusal_of(context: Any) -> str:
    """Return the reason with which a call was ended, empty where it was not."""
    return next((str(v) for k, v in context.trailing_metadata() or () if k == REASON), "")
