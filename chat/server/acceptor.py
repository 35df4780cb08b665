"""gRPC's own server, but for one thing: no method name, of whatever bytes, stops it.

grpcio (1.85) decodes as UTF-8 the name of each method that nobody registered, in the very loop
that accepts calls: one request for `/\\xff`, and the loop is gone, the port closed, the process
alive. Here such calls never get to that loop: they are all answered UNIMPLEMENTED, and their names
not looked at. This goes by grpcio's inner parts; where another version has them no more,
`make_server` returns grpcio's server as it is, and `listener.py` starts another for each that died.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

# A peer that takes nothing in would hold its answer back for ever.
ANSWER_SECONDS = 2.0
TEXT = "unknown method"

_CoreServer: Any = cygrpc.AioServer
# Without them every method, the registered ones too, comes by the way that is closed here.
_HAS_REGISTERED_METHODS = hasattr(_CoreServer, "_request_registered_call")


class _AnyMethodServer(_CoreServer):  # type: ignore[misc]
    """Answers the calls of unknown methods itself; everything runs in the event loop."""

    async def _request_call(self) -> Any:
        """Wait for calls of methods that are not registered; never hand one on to the loop.

        Ends only with the server: by an exception, or cancelled.
        """
        answers: set[asyncio.Task[None]] = set()  # the loop itself keeps tasks by weak references
        while True:
            call = await super()._request_call()
            task = asyncio.create_task(_answer_unknown(call), name="unknown-method")
            answers.add(task)
            task.add_done_callback(answers.discard)


async def _answer_unknown(call: Any) -> None:
    """End a call with UNIMPLEMENTED (grpc.io's statuscodes.md asks for it)."""
    context: Any = cygrpc._ServicerContext(call, None, None, asyncio.get_running_loop())
    # The peer is gone, does not read, or the server stops: nobody is left to be told.
    with suppress(cygrpc.BaseError, cygrpc.AbortError, asyncio.TimeoutError):
        answering = context.abort(grpc.StatusCode.UNIMPLEMENTED, TEXT)
        await asyncio.wait_for(answering, ANSWER_SECONDS)


def make_server(
    options: Sequence[tuple[str, Any]], interceptors: Sequence[grpc.aio.ServerInterceptor]
) -> grpc.aio.Server:
    """Return a server that listens nowhere yet. To be called in the event loop."""
    if _HAS_REGISTERED_METHODS:
        cygrpc.AioServer = _AnyMethodServer
    try:
        return grpc.aio.server(options=options, interceptors=interceptors)
    finally:
        cygrpc.AioServer = _CoreServer
