"""What the error of a call says: why a server refused, and what it says beside that.

Whatever stands there came from a server: it is bounded, and cleaned where it is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from chat.cli.display import isolated, one_line, shown_name
from chat.protocol.details import LASTING, Details, from_text
from chat.protocol.errors import REASONS, is_local
from chat.protocol.limits import MAX_WORDS_CHARACTERS
from chat.protocol.metadata import REASON, TIME

# Statuses of servers that give no reason, and what they mean to us.
REASON_OF_STATUS = {
    grpc.StatusCode.UNIMPLEMENTED: "NOT_A_CHAT",
    grpc.StatusCode.UNAUTHENTICATED: "TOKEN_INVALID",
    grpc.StatusCode.PERMISSION_DENIED: "TOKEN_INVALID",
    grpc.StatusCode.ALREADY_EXISTS: "NAME_TAKEN",
    grpc.StatusCode.INVALID_ARGUMENT: "REQUEST_INVALID",
}
# What a reason looks like (google.rpc.ErrorInfo): whatever else stands there is none, and is never
# shown to anybody.
_REASON = re.compile("[A-Z][A-Z0-9_]{1,62}")
# A moment as RFC 3339 has it, to the second, and no more.
MAX_TIME_CHARACTERS = 20
# Of a time in whole seconds: enough for thirty thousand years.
MAX_TIME_DIGITS = 12


def reason_of(error: Any) -> str:
    """Return the reason of a refusal, empty where there is none.

    The trailing metadata say it, or the rich error model (google.rpc.ErrorInfo), or the status.
    `error`: the `grpc.RpcError` of a call, which is the call itself.
    """
    for said in (*_said_in_metadata(error), *_said_in_details(error)):
        if _REASON.fullmatch(said) and not is_local(said):
            return said
    return REASON_OF_STATUS.get(error.code(), "")


def server_time_of(error: Any) -> float | None:
    """Return the server's time, in seconds since 1970, where a refusal says it."""
    value = dict(error.trailing_metadata() or ()).get(TIME, "")
    is_time = isinstance(value, str) and value.isascii() and value.isdigit()
    return float(value) if is_time and len(value) <= MAX_TIME_DIGITS else None


def details_of(error: Any) -> Details:
    """Return what a refusal says beside its reason, cleaned and bounded."""
    for info in _infos_of(error):
        said = dict(info.metadata)
        until = from_text(said.get("until", "")[:MAX_TIME_CHARACTERS])
        by, words = said.get("by", ""), said.get("words", "")
        return Details(
            until=until,
            by=isolated(shown_name(by)) if by else "",
            words=one_line(words[:MAX_WORDS_CHARACTERS]),
            has_end=until is not None or info.reason in LASTING,
        )
    return Details()


def _said_in_metadata(error: Any) -> Iterator[str]:
    for key, value in error.trailing_metadata() or ():
        if key == REASON and value in REASONS:
            yield value


def _said_in_details(error: Any) -> Iterator[str]:
    """Yield what the ErrorInfo says, where there is a well-formed one and a library to read it."""
    for info in _infos_of(error):
        yield str(info.reason)


def _infos_of(error: Any) -> Iterator[Any]:
    """Yield the ErrorInfo of the rich error model, where there is one that can be read."""
    with suppress(ImportError, ValueError, NotImplementedError, DecodeError):
        from google.rpc import error_details_pb2
        from grpc_status import rpc_status

        status = rpc_status.from_call(error)
        for detail in status.details if status else ():
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info):
                yield info
