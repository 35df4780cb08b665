"""Whom `/ignorar` means, and what it says."""

from __future__ import annotations

import pytest

from chat.client.ignoring import Ignoring
from chat.client.roster import Roster
from chat_pb2 import KIND_JOINED, KIND_RENAMED, Message


class Asking:
    """Somebody who types behind the command, in a room with these people."""

    def __init__(self, *people: str) -> None:
        self.roster = Roster()
        self.said: list[str] = []
        for name in people:
            self.roster.note(Message(user=name, kind=KIND_JOINED), "eu")
        self._ignoring = Ignoring(self.roster, lambda: "eu", self.said.append, self.said.append)

    def write_to(self, name: str) -> list[str]:
        """Return what is said when somebody is written to in private."""
        before = len(self.said)
        self._ignoring.hint(name)
        return self.said[before:]

    def type(self, argument: str) -> list[str]:
        """Return whom is ignored after it."""
        self._ignoring.do(argument)
        return self.roster.ignored


@pytest.mark.parametrize(
    "typed",
    [
        "Ana Zoé",
        "ana zoé",
        "[Ana Zoé]",
        "@Ana Zoé",
        "Ana Zoé:",
        "[ana zoé]:",
        "ANA ZOE",
        " ana zoe ",
    ],
)
def test_name_is_taken_as_it_is_shown(typed: str) -> None:
    """As Tab writes it, as it stands before what is said, and without its accents."""
    asking = Asking("Ana Zoé", "bia")
    assert asking.type(typed) == ["Ana Zoé"]
    assert asking.said == ["Messages from [Ana Zoé] are hidden; /ignore Ana Zoé shows them again."]
    assert asking.type(typed) == []
    assert asking.said[1] == "Messages from [Ana Zoé] are shown again."


def test_accents_tell_two_people_apart() -> None:
    """Who is typed exactly is meant; otherwise it is asked."""
    asking = Asking("José", "Josè")
    assert asking.type("josè") == ["Josè"]
    assert asking.type("jose") == ["Josè"]
    assert asking.said[-1].endswith("called that. Write /ignore Josè or /ignore José.")


def test_name_that_nobody_has_is_told() -> None:
    """It is hidden all the same, since whoever is meant may be away, and can be shown again."""
    asking = Asking("bia")
    assert asking.type("rúi") == ["rúi"]
    assert asking.said[-1].startswith("Nobody called [rúi] has been seen here.")
    assert asking.said[-1].endswith("/ignore rúi takes it back.")
    assert asking.type("Rui") == []


def test_name_near_a_known_one_is_asked_about() -> None:
    """Nothing is hidden, unless it stands in brackets, as names are shown."""
    asking = Asking("Ana Paula")
    assert asking.type("ana poula") == []
    assert asking.said == [
        "Nobody called [ana poula] has been seen here. Did you mean [Ana Paula]?"
        " /ignore [ana poula] hides that name all the same."
    ]
    assert asking.type("[ana poula]") == ["ana poula"]


def test_hidden_one_is_shown_again_by_an_earlier_name() -> None:
    """Unless somebody else is called so by now."""
    asking = Asking("bia")
    asking.type("bia")
    for old, new in (("bia", "bea"), ("bea", "professor")):
        asking.roster.note(Message(user=old, message=new, kind=KIND_RENAMED), "eu")
    assert asking.roster.ignored == ["professor"]
    assert asking.type("Bea") == []
    asking.type("professor")
    assert asking.type("bia") == []
    asking.type("professor")
    asking.roster.note(Message(user="bia", kind=KIND_JOINED), "eu")
    assert asking.type("bia") == ["bia", "professor"]


@pytest.mark.parametrize("typed", ["eu", "[EU]", "@eu"])
def test_nobody_ignores_themselves(typed: str) -> None:
    """They are told so."""
    asking = Asking("eu")
    assert asking.type(typed) == []
    assert asking.said == ["You cannot hide yourself."]


@pytest.mark.parametrize("typed", ["", "  ", "[]", "@"])
def test_without_a_name_it_lists(typed: str) -> None:
    """Whatever signs of a name there are."""
    asking = Asking("bia", "caio", "Zé")
    asking.type(typed)
    assert asking.said[-1].startswith("You hide nobody")
    asking.type("bia")
    asking.type(typed)
    assert asking.said[-1] == "Hidden: [bia]. /ignore NAME shows what they say again."
    asking.type("caio")
    asking.type("Zé")
    asking.type(typed)
    assert asking.said[-1].startswith("Hidden: [bia], [caio] and [Zé]. ")


def test_who_is_written_to_and_ignored_is_told_of_once() -> None:
    """An answer would not be seen; once more where that is begun anew."""
    asking = Asking("Bia", "rui")
    asking.type("bia")
    said = "You ignore [Bia], so you will not see an answer;"
    assert asking.write_to("Bia")[0].startswith(said) and asking.write_to("bia") == []
    assert asking.write_to("rui") == []
    asking.type("bia")
    assert asking.write_to("Bia") == []
    asking.type("bia")
    assert asking.write_to("Bia")[0].startswith(said)
