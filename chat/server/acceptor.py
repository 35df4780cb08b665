"""gRPC's own server, but for two things: neither a method's name nor metadata can stop it.

grpcio (1.85) decodes as UTF-8 the name of each method that nobody registered, in the very loop
that accepts calls: one request for `/\\xff`, and the loop is gone, the port closed, the process
alive. Here such calls never get to that loop: they are all answered UNIMPLEMENTED, and their names
not looked at. This goes by grpcio's inner parts; where another version has them no more,
`make_server` returns grpcio's server as it is, and `listener.py` starts another for each that died.

And its limit of metadata binds only clients that have acknowledged the server's settings: others
may send 16 MiB, or 500,000 pairs in as many bytes, of which it makes objects before anybody is
asked, and nobody is served for a second. Here that stops after some hundreds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
from grpc._cython import cygrpc  # type: ignore[attr-defined]

from chat.protocol.limits import HEADER_OVERHEAD_BYTES, MAX_METADATA_BYTES
from chat.server.status import bounded_abort

_log = logging.getLogger(__name__)

_CoreServer: Any = cygrpc.AioServer
_Pair: Any = getattr(cygrpc, "_Metadatum", tuple)
# Without them every method, the registered ones too, comes by the way that is closed here.
_HAS_REGISTERED_METHODS = hasattr(_CoreServer, "_request_registered_call")


class _ToughServer(_CoreServer):  # type: ignore[misc]
    """Answers some calls itself, before grpcio's loop sees them; all in the event loop."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._refusals: set[asyncio.Task[None]] = set()  # the loop keeps tasks by weak references

    async def _request_call(self) -> Any:
        """Wait for calls of methods that are not registered; never hand one on.

        Ends only with the server: by an exception, or cancelled.
        """
        while True:
            call = await super()._request_call()
            self._refuse(call, grpc.StatusCode.UNIMPLEMENTED, "unknown method")

    async def _request_registered_call(self, method: bytes) -> Any:
        """Return the next call of a method whose metadata are not too long."""
        while True:
            call = await super()._request_registered_call(method)
            if _is_short(call):
                return call
            _log.warning("%s sent too much metadata", _context_of(call).peer())
            self._refuse(call, grpc.StatusCode.RESOURCE_EXHAUSTED, "too much metadata")
            del call  # megabytes, perhaps, while the next one is waited for

    def _refuse(self, call: Any, code: grpc.StatusCode, text: str) -> None:
        refusal = asyncio.create_task(_end(call, code, text), name="refusal")
        self._refusals.add(refusal)
        refusal.add_done_callback(self._refusals.discard)


def _is_short(call: Any) -> bool:
    """Say whether all metadata are within the limit; whatever is made of them later is, too."""
    cygrpc._Metadatum = _BoundedPairs().make  # grpcio looks it up for each pair
    try:
        _context_of(call).invocation_metadata()
    except TooManyHeaders:
        return False
    finally:
        cygrpc._Metadatum = _Pair
    return True


async def _end(call: Any, code: grpc.StatusCode, text: str) -> None:
    """End a call with a status, if anybody is left to be told."""
    context = _context_of(call)
    # Neither this frame nor the exception in which it ends may keep the call and all it brought
    # until Python looks for cycles: that is rare, and does not go by megabytes.
    del call
    # The peer may be gone, or not read, or the server stop: nobody is left to be told.
    with suppress(cygrpc.BaseError, cygrpc.AbortError):
        await bounded_abort(context, code, text)


def _context_of(call: Any) -> Any:
    return cygrpc._ServicerContext(call, None, None, asyncio.get_running_loop())


class TooManyHeaders(Exception):
    """More metadata than any client needs."""


class _BoundedPairs:
    """The pairs of one call's metadata, the making of which fails beyond the limit."""

    def __init__(self) -> None:
        self._size_bytes = 0

    def make(self, key: str, value: str | bytes) -> tuple[str, str | bytes]:
        """Return the pair; raises `TooManyHeaders`."""
        self._size_bytes += len(key) + len(value) + HEADER_OVERHEAD_BYTES
        if self._size_bytes > MAX_METADATA_BYTES:
            raise TooManyHeaders
        return key, value


def make_server(
    options: Sequence[tuple[str, Any]], interceptors: Sequence[grpc.aio.ServerInterceptor]
) -> grpc.aio.Server:
    """Return a server that listens nowhere yet. To be called in the event loop."""
    if _HAS_REGISTERED_METHODS:
        cygrpc.AioServer = _ToughServer
    try:
        return grpc.aio.server(options=options, interceptors=interceptors)
    finally:
        cygrpc.AioServer = _CoreServer
