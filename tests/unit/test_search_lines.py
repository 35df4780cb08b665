"""The terminal of `--search`: what it asks, prints, and ends with."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from chat.cli import i18n
from chat.client.ending import EXIT_NOT_ACKNOWLEDGED
from chat.client.ui import search_lines
from chat.client.ui.render import RenderedMessage, local_notice
from chat.client.ui.search_lines import (
    EXIT_NOTHING_FOUND,
    MAX_PRINTED,
    SearchTerminal,
    made_up_name,
    refusal_text,
)
from chat.protocol.errors import ChatError
from chat.protocol.limits import MAX_FOUND
from chat.protocol.names import check_name
from chat_pb2 import (
    KIND_ACTION,
    KIND_JOINED,
    KIND_NOTICE,
    KIND_SEARCH,
    KIND_UNSPECIFIED,
    Message,
)

Answer = Callable[[Message], list[Message]]


class Answering:
    """A conversation whose server answers at once, if it does."""

    room = "aula"

    def __init__(self, terminal: SearchTerminal, *answers: Answer) -> None:
        self.ignored: set[str] = set()
        self.terminal = terminal
        self.answers = list(answers)
        self.asked: list[Message] = []
        self.is_given_up = False

    def handle_message(self, message: Message) -> bool:
        self.asked.append(message)
        for part in self.answers.pop(0)(message):
            part.key = part.key or message.key
            rendered = local_notice("no") if part.kind == KIND_NOTICE else RenderedMessage()
            self.terminal.show(part, rendered)
        return True

    def is_hidden(self, message: Message) -> bool:
        return message.user in self.ignored

    def wait_answered(self) -> None:
        if not self.answers and self.is_given_up:
            raise ChatError("PLAIN_SERVER")


def said(number: int, room: str = "aula", to: str = "", kind: Any = KIND_UNSPECIFIED) -> Message:
    return Message(user="bia", message=f"casa\n{number}", id=number, room=room, to=to, kind=kind)


def found(*ids: int, reached: int = 0) -> Answer:
    """Answer with messages of these ids, and how far was searched."""
    return answer([said(number) for number in ids], reached)


def answer(batch: list[Message], reached: int = 0) -> Answer:
    """Answer with these messages, and how far was searched."""
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
    ends = range(MAX_PRINTED + MAX_FOUND, MAX_FOUND, -MAX_FOUND)
    for more, told in ((found(), ""), (found(1), "* These are the newest 1000; there are more.")):
        answers = [found(*range(e, e - MAX_FOUND, -1), reached=e - MAX_FOUND + 1) for e in ends]
        code, asked = run(*answers, more)
        out, err = capsys.readouterr()
        assert code == 0 and len(asked) == len(answers) + 1
        assert len(out.splitlines()) == MAX_PRINTED
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


def test_hits_of_ignored_people_are_counted_and_not_printed(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On standard error, once; where there are no others nothing was found."""
    for others, code in (([Message(user="rui", message="casa", id=7, room="aula")], 0), ([], 4)):
        terminal = SearchTerminal("casa", is_json=False)
        batch = [said(9), said(8), *others]
        controller: Any = Answering(terminal, answer(batch))
        controller.ignored = {"bia"}
        terminal.run(controller)
        assert terminal.exit_code(0) == code
        out, err = capsys.readouterr()
        assert [line.split()[0] for line in out.splitlines()] == ["@7"] * len(others)
        assert err.startswith("* 2 matches from people you ignore are hidden;")
        assert err.count("\n") == 1


def test_person_is_told_that_nothing_was_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """At a terminal, where nobody sees the exit code; a refusal says why by itself."""
    assert run(found())[0] == EXIT_NOTHING_FOUND
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    assert run(found())[0] == EXIT_NOTHING_FOUND
    assert capsys.readouterr().err.startswith("* Nothing that was said in #aula has all of that: ")
    for answer_of_server in (
        found(9),
        lambda wish: [Message(kind=KIND_NOTICE, user="NOT_IN_ROOM")],
    ):
        run(answer_of_server)
        assert "Nothing" not in capsys.readouterr().err


@pytest.mark.parametrize("reached", [5, 6, 2**64 - 1])
def test_search_that_goes_no_further_ends(reached: int, capsys: pytest.CaptureFixture[str]) -> None:
    """A server that says the same once more would be asked for ever."""
    code, asked = run(found(9, reached=5), found(4, reached=reached))
    assert code == 0 and len(asked) == 2
    assert len(capsys.readouterr().out.splitlines()) == 2


def test_server_is_not_asked_for_ever(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Though it goes back by one message each time; that not all was found is said."""
    monkeypatch.setattr(search_lines, "MAX_QUESTIONS", 3)
    code, asked = run(*[found(reached=2**40 - step) for step in range(5)])
    assert code == EXIT_NOT_ACKNOWLEDGED and len(asked) == 3
    assert "Not all was looked through" in capsys.readouterr().err


def test_only_what_can_be_an_answer_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing private, of another room or out of order, no event, no more than one answer has."""
    nested = Message(kind=KIND_SEARCH, id=8, room="aula", batch=[said(7)])
    odd = [
        *(said(2**63), said(9), said(9), said(10), said(0), nested),
        *(said(8, room="other"), said(7, to="bia"), said(6, kind=KIND_JOINED)),
        *(said(5, kind=KIND_NOTICE), said(4, kind=KIND_ACTION)),
    ]
    parts = [Message(kind=KIND_SEARCH, batch=odd), Message(kind=KIND_SEARCH, id=4)]
    run(lambda wish: parts, found(5, *range(3, 0, -1)))
    ids = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert ids == ["@9", "@4", "@3", "@2", "@1"]

    run(found(*range(MAX_FOUND + 5, 0, -1)))
    assert len(capsys.readouterr().out.splitlines()) == MAX_FOUND


@pytest.mark.parametrize("reason", ["REQUEST_INVALID", "PLAIN_SERVER"])
def test_server_that_cannot_search_is_told_as_one(
    reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whether it refuses, or does not say a word until that is given up."""
    assert run(lambda wish: [Message(kind=KIND_NOTICE, user=reason)])[0] == EXIT_NOT_ACKNOWLEDGED
    assert capsys.readouterr().err == "* This server cannot search yet.\n"

    terminal = SearchTerminal("casa", is_json=False)
    controller: Any = Answering(terminal, lambda wish: [])
    controller.is_given_up = True
    terminal.run(controller)
    assert terminal.exit_code(0) == EXIT_NOT_ACKNOWLEDGED
    assert capsys.readouterr().err == "* This server cannot search yet.\n"


def test_end_of_the_conversation_ends_the_search() -> None:
    """Nobody waits for an answer that will not come."""
    terminal = SearchTerminal("casa", is_json=False)

    def stop(wish: Message) -> list[Message]:
        terminal.stop()
        return []

    controller: Any = Answering(terminal, stop)
    terminal.run(controller)
    assert len(controller.asked) == 1
