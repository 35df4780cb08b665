"""`--verbose`: a line for who comes, goes and is refused."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from support import Client, full_client, running_server

TOKEN = "s3cret-token"
NASTY = "eva\x1b[2J\n[ana]: oi"


def told(lines: list[str], what: str) -> list[dict[str, Any]]:
    """Return the events of one sort among lines of JSON."""
    events = [json.loads(line) for line in lines]
    return [event for event in events if event["event"] == what]


def test_who_comes_goes_and_is_refused_is_told_as_json(tmp_path: Path) -> None:
    """With where from, under what name, why, and how much; neither tokens nor texts are told."""
    token_file = tmp_path / "tokens"
    token_file.write_text(f"turma:{TOKEN}\n")
    token_file.chmod(0o600)
    flags = ("--verbose", "--log-format", "json", "--token-file", str(token_file))
    with running_server(*flags) as server:
        with full_client(server.address, "ana", token=TOKEN) as ana:
            ana.say("psst", key="1")
            ana.wait_for_text("psst")
            with full_client(server.address, "Ana", token=TOKEN) as other:
                other.wait_for_end()
            with full_client(server.address, NASTY, token="wrong-token") as eva:
                eva.wait_for_end()
        with full_client(server.address, "bia", token=TOKEN, session="0" * 32) as bia:
            bia.cancel()
            server.wait_for_error('"LOST"')
        plain = [("authorization", f"Bearer {TOKEN}")]
        with_name = Client(server.address, plain)
        with_name.say("oi", "caio")
        with_name.wait_for_text("oi")
        with_name.close()
        server.wait_for_error('"caio"')
        lines = list(server.errors)
    came, went, refused = (told(lines, what) for what in ("came", "went", "refused"))
    assert [(event["name"], event["client"]) for event in came] == [
        ("ana", "full"),
        ("bia", "full"),
        ("", "plain"),
    ]
    assert [(event["name"], event["reason"]) for event in went] == [
        ("ana", "LEFT"),
        ("bia", "LOST"),
        ("caio", "LEFT"),
    ]
    assert went[0]["received_messages"] == 1 == went[0]["sent_messages"]
    assert went[0]["sent_bytes"] > went[0]["received_bytes"] > 0 < went[0]["seconds"]
    assert {(event["name"][:3], event["reason"]) for event in refused} == {
        ("Ana", "NAME_TAKEN"),
        ("eva", "TOKEN_INVALID"),
    }
    assert {event["token"] for event in came + went} == {"turma"}
    assert all(event["address"].startswith(("127.0.0.1:", "[::1]:")) for event in came + refused)
    for secret in (TOKEN, "wrong-token", "psst", "0" * 32):
        assert secret not in "\n".join(lines)


@pytest.mark.skipif(sys.platform == "win32", reason="no signals to programs there")
def test_text_is_a_line_each_and_the_stop_is_told() -> None:
    """Also of whoever is there at the end."""
    with running_server("--verbose") as server, full_client(server.address, "ana") as ana:
        server.wait_for_error(" came address=")
        assert server.stop(signal.SIGTERM) == 0, server.report()
        ana.wait_for_end()
        came, went = server.errors
        assert " name=ana client=full" in came and " name=ana client=full" in went
        assert " reason=SHUTTING_DOWN seconds=" in went
