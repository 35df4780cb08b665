"""The table of reasons: what each says, which status it has, whether it is final."""

from __future__ import annotations

import grpc
import pytest

from chat.cli import i18n as language
from chat.protocol.errors import REASONS, ChatError, ConfigError, explain, is_final


def test_every_reason_has_a_sentence() -> None:
    """A refusal says what it means, in the user's language; an unknown reason what it was given."""
    for reason, row in REASONS.items():
        assert str(ChatError(reason)) == row.text == explain(reason, "")
    assert explain("TEAPOT", "a word of the server") == "a word of the server"
    unknown = "the server refuses, for a reason that is not known here (TEAPOT)"
    assert str(ChatError("TEAPOT")) == unknown


def test_config_error_is_its_sentence() -> None:
    """Programs print it as it is."""
    error = ConfigError("Do this.")
    assert str(error) == "Do this."
    assert not isinstance(error, ChatError)


def test_unknown_language_is_english() -> None:
    """A catalogue that is not there does not make it fail."""
    language.use("tlh")
    assert str(ChatError("SERVER_FULL")) == REASONS["SERVER_FULL"].text


@pytest.mark.parametrize("reason", REASONS)
def test_status_is_one_of_grpc(reason: str) -> None:
    """By its name; what only the client says, or a NOTICE tells, has none."""
    row = REASONS[reason]
    assert not row.status or row.status in grpc.StatusCode.__members__
    assert not (row.is_local and row.status)


def test_final_is_what_another_attempt_would_not_change() -> None:
    """An unknown reason may be worth another attempt."""
    assert is_final("NAME_TAKEN") and is_final("TOKEN_INVALID") and is_final("NOT_A_CHAT")
    assert not is_final("SERVER_FULL") and not is_final("SHUTTING_DOWN")
    assert not is_final("TEAPOT") and not is_final("")


def test_only_what_cannot_get_better_is_final() -> None:
    """A client ends on these, and tries again after every other one."""
    assert {reason for reason in REASONS if is_final(reason)} == {
        "NAME_TAKEN",
        "NAME_OWNED",
        "NAME_CERTIFIED",
        "CERTIFICATE_INVALID",
        "NAME_INVALID",
        "ROOM_CLOSED",
        "ROOM_INVALID",
        "MESSAGE_INVALID",
        "MESSAGE_TOO_LONG",
        "REQUEST_INVALID",
        "TOKEN_INVALID",
        "TOKEN_MISSING",
        "PROOF_INVALID",
        "REMOVED",
        "BANNED",
        "MUTED",
        "SESSION_REPLACED",
        "NOT_A_CHAT",
    }
    assert not is_final("TEAPOT")


def test_what_the_client_finds_out_by_itself_has_no_status() -> None:
    """No server sends it."""
    local = {reason for reason, row in REASONS.items() if row.is_local}
    assert local == {
        "CLOSED",
        "KEY_BROKEN",
        "KEY_CHANGED",
        "KEY_GONE",
        "KEY_INVALID",
        "LAST_ROOM",
        "NO_OWN_KEY",
        "NOT_A_CHAT",
        "NOT_CONNECTED",
        "PLAIN_SERVER",
        "SEALING_MISSING",
        "SEAL_INVALID",
        "SEAL_OTHER_KEY",
        "SEARCH_INVALID",
        "SERVER_SILENT",
        "TOO_MANY_KEYS",
        "TOO_MUCH_WAITING",
    }
    assert not any(REASONS[reason].status for reason in local)
