"""The door, without a server around it: which calls go on, and which streams end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from rooms import FakeContext, bounded, come_true, quiet

from chat.protocol.errors import ChatError
from chat.protocol.metadata import JoinRequest
from chat.server.diagnostics import token_name
from chat.server.guesses import GUESSES
from chat.server.reload import Reloader
from chat.server.token_check import TokenCheck, token_checks
from chat.server.tokens import Tokens, read_tokens

METHOD = "/ChatService/Chat"
OTHER = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
HEALTH = "/grpc.health.v1.Health/Check"
ANA, BIA = "correct-horse-battery", "staple-of-another"
MISSING = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_MISSING")
INVALID = (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_INVALID")
FULL = (grpc.StatusCode.RESOURCE_EXHAUSTED, "ADDRESS_FULL")
ELSEWHERE = "ipv4:192.0.2.1:5"


async def at_once(address: str) -> None:
    """It is everybody's turn."""


async def never(address: str) -> None:
    """Too many wait already."""
    raise ChatError("ADDRESS_FULL")


def tokens_in(tmp_path: Path, *lines: str) -> Tokens:
    path = tmp_path / "tokens"
    path.touch(0o600)
    path.write_text("\n".join(lines))
    return read_tokens(str(path))


@pytest.fixture
def tokens(tmp_path: Path) -> Tokens:
    return tokens_in(tmp_path, f"ana:{ANA}", f"bia:{BIA}")


class Stream:
    """A call through the check; `names`: by which token the handler was reached, if it was."""

    def __init__(self, check: TokenCheck, token: str, method: str = METHOD) -> None:
        self.names: list[str] = []
        self.context = FakeContext(JoinRequest(user="ana", token=token), ELSEWHERE)
        serving = self._serve(check, method)
        self.task = asyncio.get_running_loop().create_task(serving)

    async def _serve(self, check: TokenCheck, method: str) -> None:
        made: Any = grpc.stream_stream_rpc_method_handler(self._behave)

        async def go_on(details: object) -> Any:
            return made

        details: Any = SimpleNamespace(method=method)
        handler = await check.intercept_service(go_on, details)
        await handler.stream_stream(None, self.context)

    async def _behave(self, requests: object, context: object) -> None:
        self.names.append(token_name.get())
        await asyncio.Event().wait()

    async def wait_for_end(self) -> tuple[grpc.StatusCode, str] | None:
        """Return how the call was ended."""
        with pytest.raises(grpc.aio.AbortError):
            await bounded(self.task)
        return self.context.status


async def begin(check: TokenCheck, token: str, method: str = METHOD) -> Stream:
    """Make a call, and let it come as far as it comes."""
    stream = Stream(check, token, method)
    await quiet()
    return stream


@pytest.mark.parametrize(
    ("method", "token", "names"),
    [
        (METHOD, ANA, ["ana"]),
        (METHOD, f"bia:{BIA}", ["bia"]),
        (OTHER, ANA, ["ana"]),
        (HEALTH, "", [""]),
        (HEALTH, "wrong", [""]),
    ],
)
async def test_token_opens_every_service(
    tokens: Tokens, method: str, token: str, names: list[str]
) -> None:
    """Health alone needs none. Whoever logs something about the call knows the token's name."""
    stream = await begin(TokenCheck(tokens, at_once), token, method)
    assert stream.names == names
    stream.task.cancel()


@pytest.mark.parametrize("method", [METHOD, OTHER])
@pytest.mark.parametrize(
    ("token", "status", "words"),
    [("", MISSING, "showed no token"), ("wrong-token", INVALID, "showed a wrong token")],
)
async def test_call_without_the_right_token_is_refused(
    tokens: Tokens,
    method: str,
    token: str,
    status: tuple[grpc.StatusCode, str],
    words: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """And logged with where it came from, but not with what it showed."""
    stream = await begin(TokenCheck(tokens, at_once), token, method)
    assert await stream.wait_for_end() == status
    assert stream.names == []
    assert caplog.messages == [f"{ELSEWHERE} {words}"]


async def test_refusal_waits_for_the_turn_of_its_address(tokens: Tokens) -> None:
    """Who is not even let wait is told that instead."""
    assert await (await begin(TokenCheck(tokens, never), "")).wait_for_end() == FULL


async def test_unknown_method_stays_unknown(tokens: Tokens) -> None:
    """There is nothing to be kept from anybody."""

    async def go_on(details: object) -> Any:
        return None

    details: Any = SimpleNamespace(method="/no/such")
    assert await TokenCheck(tokens, at_once).intercept_service(go_on, details) is None


async def test_guess_above_the_rate_waits(tokens: Tokens) -> None:
    """The right token of a stranger, too, behind the address of somebody who guesses."""
    check = TokenCheck(tokens, at_once)
    for n in range(int(GUESSES.burst)):
        assert await (await begin(check, f"guess-number-{n}")).wait_for_end() == INVALID
    late = await begin(check, ANA)
    assert not late.task.done() and late.names == []
    late.task.cancel()


async def test_stream_ends_when_its_token_is_taken_away(
    tmp_path: Path, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, and with the reason; those of other tokens, or of the same by a new name, go on."""
    check = TokenCheck(tokens, at_once)
    ana, bia = await begin(check, ANA), await begin(check, BIA)
    check.replace(tokens_in(tmp_path, f"bianca:{BIA}"))
    assert await ana.wait_for_end() == INVALID
    await quiet()
    assert not bia.task.done()
    assert await (await begin(check, ANA)).wait_for_end() == INVALID
    assert (await begin(check, BIA)).names == ["bianca"]
    assert "token ana was taken away; streams that end by that: 1" in caplog.messages
    bia.task.cancel()


async def test_stream_whose_caller_goes_is_no_refusal(tokens: Tokens) -> None:
    """Nobody is told anything."""
    stream = await begin(TokenCheck(tokens, at_once), ANA)
    stream.task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bounded(stream.task)
    assert stream.context.status is None


async def test_file_is_read_again(
    tmp_path: Path, tokens: Tokens, caplog: pytest.LogCaptureFixture
) -> None:
    """What is broken in it by then leaves the tokens as they were, and is a sentence."""
    path, reloader = tmp_path / "tokens", Reloader()
    (check,) = token_checks(str(path), at_once, reloader)
    running = asyncio.get_running_loop().create_task(reloader.run())
    stream = await begin(check, ANA)
    path.write_text("ana:short")
    reloader.reload()
    await come_true(lambda: f"{path}, line 1: " in caplog.text)
    await quiet()
    assert not stream.task.done() and (await begin(check, BIA)).names == ["bia"]
    path.write_text(f"bia:{BIA}")
    reloader.reload()
    assert await stream.wait_for_end() == INVALID
    running.cancel()


def test_without_a_token_there_is_no_check(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a file nor the variable."""
    monkeypatch.delenv("CHAT_TOKEN", raising=False)
    assert token_checks(None, at_once, Reloader()) == []
    monkeypatch.setenv("CHAT_TOKEN", ANA)
    assert len(token_checks(None, at_once, Reloader())) == 1
