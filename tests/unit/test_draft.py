"""The line being typed: in which room it is, and which one comes back when it is refused."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prompt_toolkit.keys import Keys

from chat.client.typed_lines import TypedLines
from chat.client.ui import draft as draft_module
from chat.client.ui.draft import Draft


class Conversation:
    """Takes every line, and goes to a room where one says so."""

    def __init__(self) -> None:
        self.room = ""
        self.taken: list[tuple[str, str]] = []  # the room, and what was said there
        self.told: list[str] = []

    def handle_line(self, line: str) -> bool:
        self.taken.append((self.room, line))
        if line.startswith("/room"):
            self.room = line.partition(" ")[2]
        return True


def draft_of(controller: Any, lines: TypedLines) -> Draft:
    return Draft(controller, lambda: None, lines, controller.told.append)


def enter(draft: Draft, line: str = "") -> None:
    """Type a line, if there is one, and Enter."""
    draft.buffer.insert_text(line)
    (binding,) = draft.bindings().get_bindings_for_keys((Keys.ControlM,))
    event: Any = SimpleNamespace(previous_key_sequence=[])
    binding.handler(event)


def type_lines(*lines: str) -> Draft:
    """Type some lines, each with Enter."""
    draft = draft_of(Conversation(), TypedLines())
    for line in lines:
        enter(draft, line)
    return draft


async def refuse(draft: Draft, line: str) -> str:
    """Have a line refused; return what is there to be edited then."""
    draft.put_back(line)
    await asyncio.sleep(0)  # what is due comes after it
    await asyncio.sleep(0)
    return draft.buffer.text


@pytest.mark.parametrize("refused", ["/hlep", "/msg xico oi"])
async def test_refused_line_comes_back_if_it_is_the_last(
    refused: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of which that is heard when another was entered would be in the way of that one."""
    monkeypatch.setattr(draft_module, "PUT_BACK_SECONDS", 0.0)
    draft = type_lines("/hlep", "/msg xico oi")
    assert await refuse(draft, refused) == ("" if refused == "/hlep" else refused)


async def test_same_line_once_more_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """And is edited, as the one before would be."""
    monkeypatch.setattr(draft_module, "PUT_BACK_SECONDS", 0.0)
    assert await refuse(type_lines("/hlep", "/hlep"), "/hlep") == "/hlep"


def test_draft_is_typed_on_in_its_room_alone(tmp_path: Path) -> None:
    """Killed in one room and started in another, one Enter must not tell it to others."""
    before = TypedLines("here:1", "ana", tmp_path)
    talk = Conversation()
    draft = draft_of(talk, before)
    enter(draft, "/room Projetos")
    draft.buffer.insert_text("half a line")
    before.drafts.save()
    later = TypedLines("here:1", "ana", tmp_path)
    talk = Conversation()
    draft = draft_of(talk, later)
    assert draft.buffer.text == "" and later.drafts.waiting == ["Projetos"]
    enter(draft, "oi")
    enter(draft, "/room projetos")
    assert draft.buffer.text == "half a line" and draft.buffer.document.is_cursor_at_the_end
    enter(draft)
    assert talk.taken[-1] == ("projetos", "half a line")
    later.drafts.save()
    assert TypedLines("here:1", "ana", tmp_path).drafts.waiting == []


def test_draft_stays_behind_when_one_is_moved_to_another_room() -> None:
    """Also where Enter is faster than the news of it; what was begun there comes back."""
    talk = Conversation()
    draft = draft_of(talk, TypedLines())
    enter(draft, "/room a")
    draft.buffer.insert_text("for a")
    talk.room = "b"
    enter(draft)
    assert draft.buffer.text == "" and talk.taken == [("", "/room a")]
    assert talk.told == ["* You have a draft in #a; /join a brings it back."]
    draft.buffer.insert_text("for b")
    talk.room = "a"
    assert draft.follow_room() and draft.buffer.text == "for a" and not draft.follow_room()
    talk.room = "b"
    draft.follow_room()
    enter(draft)
    assert talk.taken[-1] == ("b", "for b")


async def test_refused_line_waits_in_its_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one was moved to another room meanwhile."""
    monkeypatch.setattr(draft_module, "PUT_BACK_SECONDS", 0.0)
    talk = Conversation()
    draft = draft_of(talk, TypedLines())
    enter(draft, "/room a")
    enter(draft, "for a")
    talk.room = ""
    assert await refuse(draft, "for a") == ""
    assert talk.told == ["* You have a draft in #a; /join a brings it back."]
    enter(draft, "/room a")
    assert draft.buffer.text == "for a"


async def test_refused_wish_to_enter_comes_back_though_a_draft_waits_there(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The draft waits on, and the command is edited where it was typed."""
    monkeypatch.setattr(draft_module, "PUT_BACK_SECONDS", 0.0)
    talk, lines = Conversation(), TypedLines()
    lines.drafts.put("a", "half a line")
    draft = draft_of(talk, lines)
    enter(draft, "/room a")
    assert draft.buffer.text == "half a line"
    talk.room = ""
    assert await refuse(draft, "/room a") == "/room a"
    assert lines.drafts.waiting == ["a"]
