"""What a gRPC error means: its reason, by whatever way it comes."""

from __future__ import annotations

import sys

import grpc
import pytest
from fakes import FakeError
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2

from chat.client.refusals import details_of, reason_of, server_time_of
from chat.protocol.details import Details

DETAILS = "grpc-status-details-bin"


def rich(reason: str, said: dict[str, str] | None = None) -> tuple[str, bytes]:
    """Return the trailing metadata of the rich error model for `reason`."""
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="chat", metadata=said or {}))
    code, _text = grpc.StatusCode.UNAVAILABLE.value
    status = status_pb2.Status(code=code, details=[detail])
    return DETAILS, status.SerializeToString()


def test_reason_stands_in_the_trailing_metadata() -> None:
    """For clients without the rich error model; it comes first."""
    error = FakeError(trailing=[("chat-reason", "SERVER_FULL"), rich("SHUTTING_DOWN")])
    assert reason_of(error) == "SERVER_FULL"


def test_reason_stands_in_the_error_info() -> None:
    """Servers of other people may know that alone, and reasons of their own."""
    assert reason_of(FakeError(trailing=[rich("SHUTTING_DOWN")])) == "SHUTTING_DOWN"
    assert reason_of(FakeError(trailing=[rich("TEAPOT_FULL")])) == "TEAPOT_FULL"


def test_details_stand_in_the_error_info() -> None:
    """Until when, by whom and why."""
    said = {"until": "2024-02-29T12:00:00Z", "by": "ana", "words": "spam"}
    error = FakeError(trailing=[rich("BANNED", said)])
    assert details_of(error) == Details(1_709_208_000, "ana", "spam", has_end=True)
    assert details_of(FakeError(trailing=[rich("REMOVED", {"by": "ana"})])) == Details(by="ana")
    assert details_of(FakeError(trailing=[rich("BANNED")])) == Details(has_end=True)
    assert details_of(FakeError(trailing=[rich("SERVER_FULL")])) == Details()
    assert details_of(FakeError()) == Details()


def test_details_are_cleaned_and_bounded() -> None:
    """They come from a server."""
    said = {"until": "9" * 9999, "by": "a]\x1b[2J" * 999, "words": "x\n\x1b[2J" + "y" * 9999}
    details = details_of(FakeError(trailing=[rich("REMOVED", said)]))
    assert not details.has_end and len(details.by) <= 64 and len(details.words) <= 256
    assert details.words.startswith("x \ufffd[2Jy") and "]" not in details.by


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.UNIMPLEMENTED, "NOT_A_CHAT"),
        (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID"),
        (grpc.StatusCode.PERMISSION_DENIED, "TOKEN_INVALID"),
        (grpc.StatusCode.ALREADY_EXISTS, "NAME_TAKEN"),
        (grpc.StatusCode.INVALID_ARGUMENT, "REQUEST_INVALID"),
        (grpc.StatusCode.UNAVAILABLE, ""),
    ],
)
def test_status_is_better_than_nothing(code: grpc.StatusCode, reason: str) -> None:
    """A server that gives no reason has a status."""
    assert reason_of(FakeError(code)) == reason


@pytest.mark.parametrize(
    "trailing",
    [
        (DETAILS, b"\xff\xff\xff"),
        (DETAILS, b""),
        (DETAILS, status_pb2.Status(code=1).SerializeToString()),  # another code than the status
        (
            DETAILS,
            status_pb2.Status(
                code=14,
                details=[
                    any_pb2.Any(type_url="type.googleapis.com/google.rpc.ErrorInfo", value=b"\xff")
                ],
            ).SerializeToString(),
        ),
        ("chat-reason", "no such reason"),
        ("chat-reason", ""),
        *(("chat-reason", reason) for reason in ("LAST_ROOM", "CLOSED", "NOT_A_CHAT")),
        rich("PLAIN_SERVER"),
        rich("\x1b[2J"),
        rich("x" * 1000),
        rich("SERVER_FULL\n"),
    ],
    ids=repr,
)
def test_what_makes_no_sense_is_no_reason(trailing: tuple[str, str | bytes]) -> None:
    """Nothing raises, and nothing that a stranger made up is ever shown."""
    assert reason_of(FakeError(trailing=[trailing])) == ""


def test_without_the_rich_error_model_the_metadata_suffice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only grpcio and protobuf are installed."""
    monkeypatch.setitem(sys.modules, "grpc_status", None)
    assert reason_of(FakeError(trailing=[("chat-reason", "SERVER_FULL")])) == "SERVER_FULL"
    assert reason_of(FakeError(trailing=[rich("SHUTTING_DOWN")])) == ""


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("1800000000", 1_800_000_000.0),
        ("0", 0.0),
        ("", None),
        ("-1", None),
        ("1e9", None),
        ("\u0661", None),
        ("9" * 13, None),
        (b"1800000000", None),
    ],
)
def test_time_of_the_server_is_a_whole_number(value: str | bytes, seconds: float | None) -> None:
    """Of so many digits as a time has; whatever else stands there is none."""
    assert server_time_of(FakeError(trailing=[("chat-time", value)])) == seconds
    assert server_time_of(FakeError()) is None
