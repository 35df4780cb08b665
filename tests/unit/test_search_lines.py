"""The terminal of `--search`: what it asks, prints, and ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chat.cli import i18n
from chat.client.ui.render import RenderedMessage, local_notice
from chat.client.ui.search_lines import (
    EXIT_NOTHING_FOUND,
    MAX_PRINTED,
    SearchTerminal,
    made_up_name,
    refusal_text,
)
from chat.protocol.errors import ChatError
from chat.protocol.names import check_name
from chat_pb2 import KIND_NOTICE, KIND_SEARCH, Message

Answer = Callable[[Message], list[Message]]


class Answering:
    """A conversation whose server answers at once."""

    def __init__(self, terminal: SearchTerminal, *answers: Answer) -> None:
        self.terminal = terminal
        self.answers = list(answers)
        self.asked: list[Message] = []

    def handle_message(self, message: Message) -> bool:
        self.asked.append(message)
        for part in self.answers.pop(0)(message):
            part.key = part.key or message.key
            rendered = local_notice("no") if part.kind == KIND_NOTICE else RenderedMessage()
            self.terminal.show(part, rendered)
        return True


def found(*ids: int, reached: int = 0) -> Answer:
    """Answer with messages of these ids, and how far was searched."""
    batch = [Message(user="bia", message=f"casa\n{number}", id=number) for number in ids]
    parts = [Message(kind=KIND_SEARCH, batch=batch)] if batch else []
    return lambda wish: [*parts, Message(kind=KIND_SEARCH, id=reached)]


def run(*answers: Answer, is_json: bool = False) -> tuple[int, list[Message]]:
    """Search, and return the exit code and what was asked."""
    terminal = SearchTerminal("casa", is_json)
    controller: Any = Answering(terminal, *answers)
    terminal.run(controller)
    return terminal.exit_code(0), controller.asked


def test_what_is_found_is_one_line_each(capsys: pytest.CaptureFixture[str]) -> None:
    """It goes on until all was looked through; what others say meanwhile is not printed."""
    other = Message(user="ana", message="oi", key="other")
    code, asked = run(
        lambda wish: [other, *found(9, 8, reached=8)(wish)], found(reached=5), found(3)
    )
    lines = capsys.readouterr().out.splitlines()
    assert code == 0 and [line.split()[0] for line in lines] == ["@9", "@8", "@3"]
    assert all("[bia]: casa" in line for line in lines)
    assert [wish.id for wish in asked] == [0, 8, 5]
    assert {(wish.kind, wish.message) for wish in asked} == {(KIND_SEARCH, "casa")}


def test_what_is_found_is_an_object_each(capsys: pytest.CaptureFixture[str]) -> None:
    """For programs."""
    assert run(found(9, 8), is_json=True)[0] == 0
    assert [json.loads(line)["id"] for line in capsys.readouterr().out.splitlines()] == [9, 8]


def test_more_than_is_printed_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    """Once, on standard error; not where just so much was found."""
    ids = range(MAX_PRINTED, 0, -1)
    for more, told in ((found(), ""), (found(1), "* These are the newest 1000; there are more.")):
        code, asked = run(found(*ids, reached=5), more)
        out, err = capsys.readouterr()
        assert code == 0 and len(asked) == 2 and len(out.splitlines()) == MAX_PRINTED
        assert err.startswith(told) and err.count("\n") == bool(told)


@pytest.mark.parametrize(("lang", "beginning"), [("en", "search-"), ("pt_BR", "busca-")])
def test_search_without_a_name_makes_one_up(lang: str, beginning: str) -> None:
    """Such as everybody may have, another one each time."""
    i18n.use(lang)
    names = {made_up_name() for _ in range(3)}
    assert len(names) > 1 and all(check_name(name).startswith(beginning) for name in names)


def test_name_that_is_taken_is_left_out() -> None:
    """Where a search is refused for it, the sentence says what to do."""
    assert "leave out --name" in refusal_text(ChatError("NAME_TAKEN"))
    assert refusal_text(ChatError("SERVER_FULL")).startswith("The server is full")


def test_nothing_found_is_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    """A refusal another one; how the conversation ended comes before both."""
    assert run(found())[0] == EXIT_NOTHING_FOUND
    assert run(lambda wish: [Message(kind=KIND_NOTICE, user="NOT_IN_ROOM")])[0] == 3
    assert "no" in capsys.readouterr().err
    assert SearchTerminal("casa", is_json=False).exit_code(1) == 1


def test_end_of_the_conversation_ends_the_search() -> None:
    """Nobody waits for an answer that will not come."""
    terminal = SearchTerminal("casa", is_json=False)

    def stop(wish: Message) -> list[Message]:
        terminal.stop()
        return []

    controller: Any = Answering(terminal, stop)
    terminal.run(controller)
    assert len(controller.asked) == 1
