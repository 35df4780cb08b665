"""Who is where, as the messages tell it."""

from __future__ import annotations

import pytest

from chat.client import roster as roster_module
from chat.client.roster import WHO_SECONDS, Roster
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat_pb2 import (
    KIND_JOINED,
    KIND_LEFT,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Kind,
    Message,
)


@pytest.fixture
def roster() -> Roster:
    return Roster()


def tell(roster: Roster, user: str, kind: Kind, message: str = "", room: str = "") -> bool:
    return roster.note(Message(user=user, kind=kind, message=message, room=room), "ana")


def answer(roster: Roster, *names: str, room: str = "", key: str = "") -> tuple[bool, bool]:
    """Give a whole answer to WHO; what it is taken for."""
    for name in names:
        part = Message(user=name, kind=KIND_PRESENT, room=room)
        assert roster.take_answer(part) == (False, False)
    return roster.take_answer(Message(kind=KIND_WHO, room=room, key=key))


def test_comings_goings_and_renames_are_followed(roster: Roster) -> None:
    """Case makes no difference."""
    assert tell(roster, "bia", KIND_JOINED) and tell(roster, "Caio", KIND_JOINED)
    assert roster.names == ["bia", "Caio"]
    tell(roster, "BIA", KIND_RENAMED, "bea")
    assert roster.names == ["bea", "Caio"]
    tell(roster, "caio", KIND_LEFT)
    tell(roster, "nobody", KIND_LEFT)
    assert roster.names == ["bea"]


def test_answer_takes_the_place_of_what_was_known(roster: Roster) -> None:
    """When it is complete, not before."""
    tell(roster, "gone", KIND_JOINED)
    assert answer(roster, "ana", "bia") == (True, False)
    assert roster.names == ["ana", "bia"]


def test_half_an_answer_is_forgotten_when_asked_anew(roster: Roster) -> None:
    """The connection was lost in the middle of it."""
    roster.take_answer(Message(user="gone", kind=KIND_PRESENT))
    roster.begin_who("", 0.0)
    answer(roster, "ana")
    assert roster.names == ["ana"]


def test_names_are_known_before_the_answer_is_complete(roster: Roster) -> None:
    """That of a large room takes seconds; who is told of is offered at once, and counted later."""
    answer(roster, "caio")
    for name in ("bia", "Davi"):
        roster.take_answer(Message(user=name, kind=KIND_PRESENT, message="owned"))
    assert roster.names == ["bia", "caio", "Davi"] and roster.names_in("") == ["caio"]
    roster.take_answer(Message(kind=KIND_WHO))
    assert roster.names == roster.names_in("") == ["bia", "Davi"]
    assert roster.owned_in("") == {"bia", "davi"}


def test_only_what_the_user_asked_is_listed(roster: Roster) -> None:
    """What the program asks for by itself is listed for nobody."""
    roster.request_who("mine")
    assert answer(roster, "ana", key="other") == (True, False)
    assert answer(roster, "ana", key="mine") == (True, True)
    assert answer(roster, "ana", key="mine") == (True, False)


def test_large_room_is_asked_about_again_after_a_while(roster: Roster) -> None:
    """Nobody is told who comes and goes in it; a small room tells everybody."""
    assert roster.is_stale("", 0.0)
    roster.begin_who("", 100.0)
    answer(roster, *(f"p{number}" for number in range(MAX_PRESENCE_MEMBERS)))
    assert not roster.is_stale("", 100.0 + 2 * WHO_SECONDS)
    answer(roster, *(f"p{number}" for number in range(MAX_PRESENCE_MEMBERS + 1)))
    assert roster.is_stale("", 100.0 + 2 * WHO_SECONDS)
    assert not roster.is_stale("", 100.0 + WHO_SECONDS)
    roster.begin_who("", 100.0 + 2 * WHO_SECONDS)
    assert not roster.is_stale("", 100.0 + 2 * WHO_SECONDS)


def test_each_room_has_its_people(roster: Roster) -> None:
    """Two answers may come mixed; who is renamed is so everywhere."""
    for room, name in [("", "ana"), ("redes", "bia"), ("", "bia"), ("redes", "caio")]:
        roster.take_answer(Message(user=name, kind=KIND_PRESENT, room=room))
    answer(roster, room="redes")
    answer(roster)
    tell(roster, "bia", KIND_RENAMED, "bea", room="redes")
    assert roster.names_in("Redes") == ["bea", "caio"]
    assert roster.names_in("") == ["ana", "bea"]
    assert roster.names == ["ana", "bea", "caio"]
    tell(roster, "bea", KIND_LEFT, room="redes")
    assert roster.names_in("redes") == ["caio"] and roster.names_in("") == ["ana", "bea"]


def test_forgotten_rooms_are_asked_about_again(roster: Roster) -> None:
    """One, or all of them."""
    for room in ("", "redes"):
        roster.begin_who(room, 0.0)
        answer(roster, "bia", room=room)
    roster.forget_room("REDES")
    assert roster.names_in("redes") == [] and roster.names_in("") == ["bia"]
    assert roster.is_stale("redes", 1.0) and not roster.is_stale("", 1.0)
    roster.forget()
    assert roster.names == [] and roster.is_stale("", 1.0)


def test_ignored_one_stays_ignored_under_another_name(roster: Roster) -> None:
    """And the old name is free for somebody else."""
    assert roster.toggle_ignored("Bia")
    assert roster.is_ignored("bia") and not roster.is_ignored("caio")
    tell(roster, "bia", KIND_RENAMED, "Bea")
    assert roster.is_ignored("bea") and not roster.is_ignored("bia")
    tell(roster, "caio", KIND_RENAMED, "bia")
    assert not roster.is_ignored("bia")
    assert not roster.toggle_ignored("BEA")
    assert not roster.is_ignored("bea")


def test_reply_goes_to_the_last_one_who_wrote(roster: Roster) -> None:
    """Under the name of now, whoever one writes to meanwhile."""
    roster.note(Message(user="bia", message="psiu", to="ana"), "ana")
    roster.note(Message(user="ana", message="oi", to="caio"), "ANA")
    roster.note(Message(user="dora", message="aloud"), "ana")
    assert roster.correspondent == "bia"
    tell(roster, "BIA", KIND_RENAMED, "bea")
    assert roster.correspondent == "bea"


def test_reply_goes_to_who_was_written_to_where_nobody_wrote(roster: Roster) -> None:
    """The last one whom the server's echo names, under the name of now."""
    assert roster.correspondent == ""
    roster.note(Message(user="ana", message="oi", to="caio"), "ana")
    roster.note(Message(user="ana", message="oi", to="bia"), "ana")
    assert roster.correspondent == "bia"
    tell(roster, "bia", KIND_RENAMED, "bea")
    assert roster.correspondent == "bea"


def test_reply_does_not_go_to_who_is_ignored(roster: Roster) -> None:
    """The private message was not shown; the one before it was."""
    roster.note(Message(user="caio", message="psiu", to="ana"), "ana")
    roster.toggle_ignored("bia")
    roster.note(Message(user="Bia", message="psiu", to="ana"), "ana")
    assert roster.correspondent == "caio"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("ana maria oi", [("Ana", "maria oi"), ("Ana Maria", "oi")]),
        ("ana maria", [("Ana", "maria"), ("Ana Maria", "")]),
        ("[ana] maria oi", [("ana", "maria oi")]),
        ("[ Ana Maria ]oi [lá]", [("Ana Maria", "oi [lá]")]),
        ("[ana maria", [("", "[ana maria")]),
        ("Ana oi", [("Ana", "oi")]),
        ("ANA  maria oi", [("Ana", "maria oi")]),
        ("José Luís oi", [("José Luís", "oi")]),
        ("josé luís", [("José Luís", "")]),
        ("zé oi", [("zé", "oi")]),
        ("zé oi lá", [("zé", "oi lá"), ("zé oi", "lá")]),
        ("[zé] oi lá", [("zé", "oi lá")]),
        ("ana", [("Ana", "")]),
        ("", [("", "")]),
    ],
)
def test_addressee_may_have_spaces_in_the_name(
    roster: Roster, typed: str, meant: list[tuple[str, str]]
) -> None:
    """If its owner is here; in brackets it is clear, and else every way to read it is told."""
    answer(roster, "Ana", "Ana Maria", "José Luís")
    assert roster.readings(typed, needs_text=True) == meant


@pytest.mark.parametrize("kind", [KIND_LEFT, KIND_JOINED, KIND_UNSPECIFIED, KIND_RENAMED])
def test_names_are_known_when_their_owner_is_gone(roster: Roster, kind: Kind) -> None:
    """Whoever came, went, spoke or was renamed in this run; of too many the oldest is forgotten."""
    tell(roster, "ana maria", kind, "eva maria" if kind == KIND_RENAMED else "")
    roster.forget()
    assert roster.names == [] and roster.is_known("Ana Maria") and not roster.is_known("ana")
    assert roster.readings("ana maria oi lá", needs_text=True) == [("ana maria", "oi lá")]
    assert roster.is_known("eva maria") == (kind == KIND_RENAMED)
    for number in range(roster_module.MAX_HEARD):
        tell(roster, f"p{number}", KIND_LEFT)
    assert not roster.is_known("ana maria") and roster.is_known("p0")


def test_whom_we_talk_with_in_private_may_be_meant(roster: Roster) -> None:
    """Though they are in no room of ours: whoever has their name and a word must not get it."""
    answer(roster, "Caio I", "Dora I")
    roster.note(Message(user="caio", message="oi", to="ana"), "ana")
    roster.note(Message(user="ana", message="oi", to="dora"), "ana")
    for typed in ("caio I say", "dora I say"):
        assert len(roster.readings(typed)) == 2


def test_names_are_shown_without_what_could_deceive(roster: Roster) -> None:
    """Whatever the server sends."""
    tell(roster, "bia]\n[x", KIND_JOINED)
    assert roster.names == ["bia) (x"]


def test_no_more_people_are_remembered_than_there_can_be(
    roster: Roster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many a server names; who was there already is still renamed."""
    monkeypatch.setattr(roster_module, "MAX_PEOPLE", 2)
    for name in ("bia", "caio", "duda"):
        tell(roster, name, KIND_JOINED)
    assert roster.names == ["bia", "caio"]
    tell(roster, "bia", KIND_RENAMED, "bea")
    assert roster.names == ["bea", "caio"]
    answer(roster, "eva", "fabio", "gil")
    assert roster.names == ["eva", "fabio"]
    answer(roster, "gil", room="aula")
    assert roster.names == ["eva", "fabio"]
    answer(roster, "eva")
    answer(roster, "gil", "hugo", room="aula")
    assert roster.names == ["eva", "gil"]


def test_who_spoke_and_left_is_remembered_for_tab() -> None:
    """By the present name, the last one first; not who said nothing."""
    roster = Roster()
    for name in ("ana", "bia", "caio", "rui"):
        roster.note(Message(user=name, kind=KIND_JOINED), "eu")
    for name in ("ana", "bia", "caio", "ana"):
        roster.note(Message(user=name, message="oi"), "eu")
    assert roster.gone == []
    roster.note(Message(user="bia", message="bea", kind=KIND_RENAMED), "eu")
    for name in ("ana", "bea", "rui"):
        roster.note(Message(user=name, kind=KIND_LEFT), "eu")
    assert roster.gone == ["bea", "ana"]
