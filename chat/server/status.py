"""A refusal as a gRPC error: the one place where reasons become statuses.

Rich error model (google.rpc.Status, AIP-193) where its package is installed, and in any case the
trailing metadata `chat-reason`, for clients that do not know it. Called in the event loop.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from functools import lru_cache
from typing import Any

import grpc

from chat.cli import i18n
from chat.protocol.details import Details, to_text
from chat.protocol.errors import REASONS, ChatError
from chat.protocol.metadata import REASON, TIME

ERROR_DOMAIN = "chat"
# The status of a stream waits behind what its reader has not read yet.
ABORT_SECONDS = 2.0
# When a client may try again that was refused for want of room.
RETRY_SECONDS = 5
# Of what the server did not expect, a client is told no more.
UNEXPECTED = "the server failed; connect again in a moment"
DETAILS = "grpc-status-details-bin"  # github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md


# Makes a block, as long as which something lingers.
Lingering = Callable[[], AbstractContextManager[None]]


async def abort(context: Any, error: ChatError, lingering: Lingering | None = None) -> None:
    """End the stream with the status of `error`: its reason for programs, its text for people.

    `context`: the `grpc.aio.ServicerContext` of the call. `lingering`: as in `bounded_abort`. Never
    raises but by gRPC's own way of ending a handler.
    """
    row = REASONS[error.reason]
    code = grpc.StatusCode[row.status]
    details = error.details
    trailing = ((REASON, error.reason), *_rich_details(error.reason, details, i18n.current()))
    if error.reason == "PROOF_INVALID":  # whose clock is wrong can prove it by the server's
        trailing = (*trailing, (TIME, str(int(time.time()))))
    await bounded_abort(context, code, _status_text(row.text, details), trailing, lingering)


def _status_text(text: str, details: Details) -> str:
    """Return what the status says, for those who read nothing else: in English, in UTC."""
    parts = [f"by [{details.by}]"] if details.by else []
    if details.has_end:
        parts.append("for good" if details.until is None else f"until {to_text(details.until)}")
    told = f"{text} ({', '.join(parts)})" if parts else text
    return f"{told}: {details.words}" if details.words else told


def _info(details: Details) -> dict[str, str]:
    """Return what programs read of it, in the ErrorInfo's metadata."""
    until = to_text(details.until) if details.until is not None else ""
    info = {"until": until, "by": details.by, "words": details.words}
    return {key: value for key, value in info.items() if value}


async def abort_unexpected(context: Any) -> None:
    """End the stream after a failure that is none of the client's business."""
    await bounded_abort(context, grpc.StatusCode.INTERNAL, UNEXPECTED)


async def bounded_abort(
    context: Any,
    code: grpc.StatusCode,
    text: str,
    trailing: Sequence[tuple[str, Any]] = (),
    lingering: Lingering | None = None,
) -> None:
    """End the stream with a status; a reader that does not read cannot hold that up for ever.

    But gRPC keeps what was to be read, and the call. With `lingering`, this returns only when that
    is over, since the status was taken or the connection closed; meanwhile it is within such a
    block, so that what lingers is counted.
    """
    ending = asyncio.ensure_future(context.abort(code, text, tuple(trailing)))
    try:
        await asyncio.wait({ending}, timeout=ABORT_SECONDS)
        if lingering is not None and not ending.done():
            with lingering():
                await asyncio.wait({ending})
        if ending.done():
            ending.result()
    except (grpc.aio.BaseError, asyncio.CancelledError) as end:
        _forget_frames_of(end)
        raise
    finally:
        ending.cancel()


async def finish(operation: Awaitable[None]) -> None:
    """Do one of gRPC's operations to its end, also where this task is cancelled meanwhile.

    One that was left half-way is begun once more by `abort`, which gRPC refuses: the call would
    never end.
    """
    doing = asyncio.ensure_future(operation)
    try:
        await asyncio.shield(doing)
    except asyncio.CancelledError:
        await asyncio.gather(doing, return_exceptions=True)
        raise


def _forget_frames_of(end: BaseException) -> None:
    """Let go, when the call has ended, of the frames by which its end refers to the call itself.

    gRPC keeps the exception as long as the call: a cycle that would hold all that the call brought
    until the collector looks for cycles, which is rare (`runtime.tune_gc`).
    """

    def forget(_task: object) -> None:
        end.__traceback__ = end.__context__ = None

    handler = asyncio.current_task()
    if handler is not None:
        handler.add_done_callback(forget)


@lru_cache  # a reason's are mostly the same, and strangers are refused often
def _rich_details(reason: str, about: Details, locale: str) -> tuple[tuple[str, bytes], ...]:
    """Return ErrorInfo, the text in the server's language and, where it helps, when to retry."""
    code = grpc.StatusCode[REASONS[reason].status]
    try:
        from google.protobuf import any_pb2
        from google.rpc import error_details_pb2, status_pb2
    except ImportError:  # googleapis-common-protos is not installed
        return ()
    details: list[Any] = [
        error_details_pb2.ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=_info(about)),
        error_details_pb2.LocalizedMessage(locale=locale, message=str(ChatError(reason, about))),
    ]
    if code is grpc.StatusCode.RESOURCE_EXHAUSTED:
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.seconds = RETRY_SECONDS
        details.append(retry)
    packed = [any_pb2.Any() for _detail in details]
    for target, detail in zip(packed, details, strict=True):
        target.Pack(detail)
    text = _status_text(REASONS[reason].text, about)
    status = status_pb2.Status(code=code.value[0], message=text, details=packed)
    return ((DETAILS, status.SerializeToString()),)
