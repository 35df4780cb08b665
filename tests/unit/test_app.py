"""One person's conversation, without a server: lines in, messages out, and every way to the end."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable

import pytest
from fakes import FakeSession, FakeTerminal

from chat.cli import i18n as language
from chat.client import Change, ChatError, ConfigError, commands, ending, outbox, roster
from chat.client import app as app_module
from chat.client.app import App, enter
from chat.client.ending import (
    EXIT_BROKEN_PIPE,
    EXIT_NOT_ACKNOWLEDGED,
    EXIT_OK,
    EXIT_REFUSED,
    sentence,
)
from chat.protocol.kinds import DOORS, MODERATION
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat_pb2 import (
    KIND_ACTION,
    KIND_CLOSED,
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_INVITED,
    KIND_JOINED,
    KIND_KEY,
    KIND_LEFT,
    KIND_NOTICE,
    KIND_OPENED,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_SEARCH,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Kind,
    Message,
)

REFUSAL = ChatError("SESSION_REPLACED")


class Sitting:
    """An app with its terminal and its session, which never connects."""

    def __init__(self, terminal: FakeTerminal, *rooms: str) -> None:
        self.terminal = terminal
        self.session = FakeSession(*rooms)
        self.app = App(self.session, terminal, "mentions")
        self.change = self.session.meet

    def start(self, body: Callable[[], None] = lambda: None) -> None:
        self.app.start(threading.Thread(target=body))

    def type(self, *lines: str) -> None:
        for line in lines:
            assert self.app.handle_line(line)

    @property
    def sent(self) -> list[tuple[str, str]]:
        """What was said, and to whom; in another room than the common one, where."""
        return [
            (message.message, message.to or message.room)
            for message in self.session.pending
            if message.kind in (KIND_UNSPECIFIED, KIND_ACTION)
        ]

    @property
    def asked(self) -> list[tuple[int, str]]:
        """What was wished for, and about which room."""
        return [
            (message.kind, message.room)
            for message in self.session.pending
            if message.kind not in (KIND_UNSPECIFIED, KIND_ACTION)
        ]

    def key(self, kind: int) -> str:
        """The key of the last wish of a kind."""
        return [message.key for message in self.session.pending if message.kind == kind][-1]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "GREETING_SECONDS", 0.0)
    monkeypatch.setattr(app_module, "LEAVE_SECONDS", 0.01)
    monkeypatch.setattr(ending, "PIPE_END_SECONDS", 0.01)
    monkeypatch.setattr(ending, "SILENT_END_SECONDS", 0.01)


@pytest.fixture
def ana() -> Sitting:
    """At a terminal that does not show who comes and goes, with a full server."""
    terminal = FakeTerminal()
    terminal.is_live = False
    sitting = Sitting(terminal)
    sitting.change(Change.CONNECTED)
    terminal.notices.clear()  # of coming in: see test_arrival.py
    return sitting


@pytest.fixture
def newcomer() -> Sitting:
    """Of whose server nothing is known yet."""
    return Sitting(FakeTerminal())


@pytest.fixture
def pipe() -> Sitting:
    return Sitting(FakeTerminal(is_interactive=False))


# Coming in.


def test_person_is_told_where_that_is_before_anything_else() -> None:
    """Once; a program is told nothing."""
    sitting = Sitting(FakeTerminal(), "redes")
    for change in (Change.CONNECTED, Change.LOST, Change.RESUMED):
        sitting.change(change)
    where, about_help, *others = sitting.terminal.notices
    assert where.startswith("* You are in #redes at localhost:1.") and "/help" in about_help
    assert not any("You are in" in notice or "/help" in notice for notice in others)


def test_program_is_not_told_where_it_is(pipe: Sitting) -> None:
    """It knows."""
    pipe.change(Change.CONNECTED)
    assert pipe.terminal.notices == []


def test_language_changes_at_once(ana: Sitting) -> None:
    """However it is spelled; a wrong one lists what there is."""
    for word, lang, typed in (("pt", "pt_BR", "/ajuda"), ("EN", "en", "/help")):
        ana.type(f"/idioma {word}")
        assert language.current() == lang and commands.HELP.typed == typed
        assert f"--lang {lang}" in ana.terminal.notices[-1]
    for line in ("/language tlh", "/idioma"):
        ana.type(line)
        assert "en, pt_BR" in ana.terminal.notices[-1] and language.current() == "en"
        assert ("language tlh is not known" in ana.terminal.notices[-1]) == ("tlh" in line)
    assert offered(ana, "/lang p") == (1, ["pt_BR"])


def offered(sitting: Sitting, before: str) -> tuple[int, list[str]]:
    """Return what Tab offers for the end of `before`."""
    length, candidates = sitting.app.completions(before)
    return length, [candidate.text for candidate in candidates]


# Typing.


def test_typed_line_is_sent(ana: Sitting) -> None:
    """A blank one is not; two slashes are one."""
    ana.type("oi", "", "   ", " spaces kept ", "//etc")
    assert [text for text, _to in ana.sent] == ["oi", " spaces kept ", "/etc"]
    assert ana.app.waiting() == ["oi", " spaces kept ", "/etc"]


def test_pipe_has_no_commands_but_to_leave(pipe: Sitting) -> None:
    """What a program says is said."""
    assert pipe.app.handle_line("/quem")
    assert pipe.sent == [("/quem", "")]
    assert not pipe.app.handle_line("/sair")


def test_line_that_cannot_be_sent_is_told(ana: Sitting) -> None:
    """With the reason."""
    ana.app.handle_line("x" * 9000)
    assert "at most 8192 bytes" in ana.terminal.errors[0]


def test_line_that_is_not_understood_is_given_back(ana: Sitting) -> None:
    """As it was typed; what is done is not."""
    refused = ["/hlep", "/nick", "/r", "/sino xyz", "/idioma fr", "/part nada", "/historico x"]
    ana.type("oi", *refused, "/clear")
    assert ana.terminal.given_back == refused


def test_refused_line_is_given_back_unless_another_one_follows(ana: Sitting) -> None:
    """As it would be typed to whom it was for."""
    for line, later in (("/r oi", []), ("/r tchau", ["hm"])):
        ana.app.receive(Message(user="bia", to="ana", message="oi"))
        ana.type(line, *later)
        key = [m.key for m in ana.session.pending if m.to == "bia"][-1]
        ana.app.receive(Message(user="USER_UNKNOWN", kind=KIND_NOTICE, key=key))
    assert ana.terminal.given_back == ["/msg [bia] oi"]


@pytest.mark.parametrize("line", ["/q bia oi", "/Q bia", " /q  bia"])
def test_short_name_of_leaving_takes_nobody_out_by_a_name(ana: Sitting, line: str) -> None:
    """It talks to somebody in other chats; alone, and with other names, it leaves."""
    ana.type(line)
    [notice] = ana.terminal.notices
    assert notice == "* Did you mean /msg? /quit alone leaves the chat."
    assert ana.terminal.given_back == [line] and ana.sent == []
    assert not any(map(ana.app.handle_line, ("/q", " /Q ", "/exit", "/quit bye", "/sair")))


def test_private_message_to_nobody_says_so(ana: Sitting) -> None:
    """And who may be meant; where the name ends is asked where that decides who gets it."""
    ana.app.receive(Message(user="Ana Paula", kind=KIND_JOINED))
    unseen = "* Not sent: nobody called [{}] has been seen here. "
    for line, who, advice in (
        ("/msg nobody hello there?", "nobody", "To write to that name: /msg [nobody] hello there?"),
        ("/msg Ana Paulo oi", "Ana", "Did you mean this: /msg [Ana Paula] oi"),
    ):
        ana.type(line)
        assert ana.terminal.notices[-1] == unseen.format(who) + advice
        assert ana.terminal.given_back[-1] == line
    ana.type("/m Ana Paula oi", "/msg [nobody] oi")
    assert ana.sent == [("oi", "Ana Paula"), ("oi", "nobody")]


@pytest.mark.parametrize("line", ["/rooms x", "/limpar x", "/close x", "/open x"])
def test_argument_that_means_nothing_is_not_passed_over(ana: Sitting, line: str) -> None:
    """How it is typed is said, and nothing is done."""
    ana.type(line)
    [notice] = ana.terminal.notices
    assert notice.startswith("* Usage: /") and ana.terminal.given_back == [line]
    assert ana.asked == [] and ana.terminal.clears == 0


def test_who_asks_about_any_room_that_one_is_in(ana: Sitting) -> None:
    """By its name, with its sign or without."""
    ana.type("/sala redes", "/sala", "/who redes", "/names #Redes", "/users comum", "/who")
    assert ana.asked[1:] == [(KIND_WHO, room) for room in ("redes", "Redes", "", "")]


def test_who_of_a_room_that_one_is_not_in_says_so(ana: Sitting) -> None:
    """How it is typed would be no answer."""
    ana.type("/names #x")
    [error] = ana.terminal.errors
    assert "/names #x: you are not in this room" in error
    assert ana.asked == []


def test_tab_completes_who_just_left(ana: Sitting) -> None:
    """After those who are here."""
    for name in ("bia", "beto"):
        ana.app.receive(Message(user=name, kind=KIND_JOINED))
        ana.app.receive(Message(user=name, message="oi"))
    ana.app.receive(Message(user="beto", kind=KIND_LEFT))
    ana.app.receive(Message(user="ana", message="oi"))
    _length, candidates = ana.app.completions("oi (b")
    assert [candidate.text for candidate in candidates] == ["bia", "beto"]
    assert ana.app.completions("oi an") == (0, [])


def test_own_name_is_no_new_one(ana: Sitting) -> None:
    """Another way to write it is."""
    ana.type("/nick ana")
    assert ana.terminal.notices == ["* You are called that already."]
    assert ana.terminal.given_back == ["/nick ana"] and not ana.session.pending
    ana.type("/nick Ana")
    assert [wish.message for wish in ana.session.pending] == ["Ana"]


def test_person_is_not_made_to_wait(ana: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """While too much is on its way a line is refused; the editor must not stand still."""
    monkeypatch.setattr(outbox, "MAX_PENDING", 1)
    for line in ("one", "two", "/quem"):
        ana.app.handle_line(line)
    assert ana.sent == [("one", "")]
    two, who = ana.terminal.errors
    assert two.startswith('Not sent: "two": ') and who.startswith("/quem: ")


def test_nothing_is_told_of_a_line_after_the_refusal(ana: Sitting) -> None:
    """The terminal is about to stop, and the refusal says it all."""
    ana.session.abort()
    ana.app.end(REFUSAL)
    ana.app.handle_line("late")
    assert ana.terminal.errors == []


def test_last_words_say_the_refusal_and_what_is_lost(ana: Sitting) -> None:
    """Where the main thread cannot be woken to say them."""
    ana.app.handle_line("too late")
    ana.app.end(REFUSAL)
    assert ana.app.last_words() == 1
    said = "\n".join(ana.terminal.errors)
    assert "too late" in said and sentence(REFUSAL) in said


def test_unknown_command_is_told_with_the_nearest(ana: Sitting) -> None:
    """It is never sent."""
    ana.app.handle_line("/qeum")
    assert ana.terminal.notices[0].startswith("* There is no command /qeum. Did you mean /who?")
    assert ana.sent == []


def test_unknown_command_that_is_near_to_nothing_is_no_guess(ana: Sitting) -> None:
    """However long it is."""
    ana.app.handle_line("/xyz")
    assert ana.terminal.notices == ["* There is no command /xyz. /help shows them all."]
    ana.app.handle_line("/" + "q" * 8000)
    assert len(ana.terminal.notices[1]) < 200
    assert ana.sent == []


@pytest.mark.parametrize(
    "line",
    [
        *("/msg", "/msg bia", "/nome", "/eu", "/historico x"),
        "/sino loud",
    ],
)
def test_command_that_lacks_something_shows_its_usage(ana: Sitting, line: str) -> None:
    """And does nothing."""
    ana.app.handle_line(line)
    command, _argument = commands.parse(line)
    assert command is not None and ana.session.pending == []
    [notice] = ana.terminal.notices
    rest = f"; a name with spaces in brackets: {command.example_usage}" if command.example else ""
    assert notice == f"* Usage: {command.usage}{rest}"


def test_private_message_and_reply(ana: Sitting) -> None:
    """The reply goes to whoever wrote last; refused, it comes back as a private message."""
    ana.app.handle_line("/r oi")
    assert "Nobody has written to you" in ana.terminal.notices[0]
    ana.app.handle_line("/msg caio oi")
    ana.app.receive(Message(user="bia", message="psiu", to="ana"))
    ana.app.handle_line("/r")
    ana.app.handle_line("/r quite")
    assert ana.sent == [("oi", "caio"), ("quite", "bia")]
    assert ana.app.waiting() == ["→ caio: oi", "→ bia: quite"]
    key = ana.session.pending[1].key
    ana.app.receive(Message(user="USER_UNKNOWN", kind=KIND_NOTICE, key=key))
    assert ana.terminal.errors[-1].startswith('Not sent: "/msg [bia] quite": ')


def test_private_message_that_two_could_get_goes_to_neither(ana: Sitting) -> None:
    """Whoever takes somebody's name and a word must not read along; brackets say who is meant."""
    for name in ("bia", "bia I"):
        ana.app.receive(Message(user=name, kind=KIND_JOINED))
    ana.app.handle_line("/msg bia I love you")
    assert ana.sent == []
    [notice] = ana.terminal.notices
    assert notice.endswith("Write this: /msg [bia] I love you or /msg [bia I] love you")
    ana.app.handle_line("/msg bia I")
    assert ana.terminal.notices[-1].endswith("/msg [bia] I or /msg [bia I] TEXT")
    ana.app.handle_line("/msg bia I " + "x" * 100)
    assert ana.terminal.notices[-1].endswith("/msg [bia] TEXT or /msg [bia I] TEXT")
    ana.app.handle_line("/msg [bia] I love you")
    ana.app.handle_line("/msg [bia I] thanks")
    assert ana.sent == [("I love you", "bia"), ("thanks", "bia I")]


def test_rename_is_a_wish_that_comes_back_when_refused(ana: Sitting) -> None:
    """As it was typed."""
    ana.app.handle_line("/nome Bia")
    [wish] = ana.session.pending
    assert (wish.kind, wish.message) == (KIND_RENAMED, "Bia")
    ana.app.receive(Message(user="NAME_TAKEN", kind=KIND_NOTICE, key=wish.key))
    [error] = ana.terminal.errors
    assert error.startswith("/nick Bia: ")


def test_line_is_said_in_the_room_that_the_screen_says(ana: Sitting) -> None:
    """From the moment on at which it says so; it is told where one is."""
    ana.type("oi", "/sala #redes", "there", "/sala redes", "/sala comum", "/eu waves")
    assert ana.sent == [("oi", ""), ("there", "redes"), ("waves", "")]
    assert ana.asked == [(KIND_ENTERED, "redes")]
    assert ana.terminal.notices == ["* You are in #redes.", "* You are in the common room."]
    assert ana.app.waiting() == ["oi", "#redes there", "*waves*"]
    assert ana.app.status() == ["connected", "3 not confirmed", "common room"]


@pytest.mark.parametrize("typed", ["/sala", "/sala comum", "/join Common", "/sala #comum"])
def test_common_room_has_its_names(ana: Sitting, typed: str) -> None:
    """None at all is one of them."""
    ana.type("/sala redes", typed, "oi")
    assert ana.sent == [("oi", "")]


def test_room_with_a_bad_name_is_not_entered(ana: Sitting) -> None:
    """The reason is told."""
    ana.type("/sala a\x1b", "oi")
    assert "a room's name" in ana.terminal.errors[0]
    assert ana.asked == [] and ana.sent == [("oi", "")]


def test_refused_entry_leads_back(ana: Sitting) -> None:
    """To the room that was spoken in before."""
    ana.type("/sala redes")
    ana.app.receive(Message(user="TOO_MANY_ROOMS", kind=KIND_NOTICE, key=ana.key(KIND_ENTERED)))
    assert ana.terminal.errors[-1].startswith("/join redes: ")
    assert ana.terminal.notices == ["* You are in the common room."]


def test_room_is_left_by_its_name_or_where_one_is(ana: Sitting) -> None:
    """The last one is not left."""
    ana.type("/sala redes", "/sala aula", "/deixar redes", "/deixar", "/part", "/deixar aula")
    wishes = [(KIND_ENTERED, "redes"), (KIND_ENTERED, "aula")]
    assert ana.asked == [*wishes, (KIND_EXITED, "redes"), (KIND_EXITED, "aula")]
    assert ana.terminal.notices == ["* You are in the common room."]
    only, other = ana.terminal.errors
    assert "the only room" in only and "not in this room" in other


def test_unread_is_counted_until_one_looks_there(ana: Sitting) -> None:
    """What others say now in another room; nothing else is."""
    ana.type("/sala redes", "/sala")
    ana.app.receive(Message(user="bia", message="one", room="redes"))
    ana.app.receive(Message(user="bia", message="waves", room="redes", kind=KIND_ACTION))
    ana.app.receive(Message(user="ana", message="mine", room="redes"))
    ana.app.receive(Message(user="bia", message="here"))
    old = Message(user="bia", message="of old", room="redes", id=1)
    old.sent_at.FromJsonString("2024-02-29T12:00:00Z")
    ana.app.receive(old)
    assert ana.app.status() == ["connected", "common room", "#redes 2"]
    assert ana.terminal.shown[:2] == ["#redes [bia]: one", "#redes [bia] *waves*"]
    ana.type("/sala redes")
    assert ana.app.status() == ["connected", "#redes"]
    ana.app.receive(Message(user="bia", message="two", room="redes"))
    assert ana.terminal.shown[-1] == "[bia]: two"


# What is asked.


def test_pages_of_history_go_back_from_the_oldest_that_was_shown(ana: Sitting) -> None:
    """The second one ends where the first one began; a cleared screen begins at the newest."""
    ana.app.receive(Message(user="bia", message="new", id=50))
    ana.type("/historico 2", "/historico")
    [wish] = [m for m in ana.session.pending if m.kind == KIND_HISTORY]
    assert (wish.message, wish.id) == ("2", 50)
    assert "on their way already" in ana.terminal.notices[0]
    page = [Message(user="bia", message=str(number), id=number) for number in (40, 45)]
    for part in ([page[1]], page):  # broken off, and begun anew
        ana.app.receive(Message(kind=KIND_HISTORY, key=wish.key, batch=part))
    ana.app.receive(Message(kind=KIND_HISTORY, key=wish.key))
    begin, *shown, end = ana.terminal.shown[1:]
    assert shown == ["[bia]: 40", "[bia]: 45"]
    assert "earlier messages of #common" in begin and "back to the present" in end
    ana.type("/historico", "/limpar")
    assert [m.id for m in ana.session.pending if m.kind == KIND_HISTORY] == [50, 40]
    ana.app.receive(Message(kind=KIND_HISTORY, key=ana.key(KIND_HISTORY)))
    assert "no earlier messages" in ana.terminal.notices[-1]
    ana.type("/historico")
    assert ana.session.pending[-1].id == 0


def test_refused_page_can_be_asked_for_again(ana: Sitting) -> None:
    """Nothing waits for it any more."""
    ana.type("/historico")
    ana.app.receive(Message(user="NOT_IN_ROOM", kind=KIND_NOTICE, key=ana.key(KIND_HISTORY)))
    ana.type("/historico")
    assert [kind for kind, _room in ana.asked] == [KIND_HISTORY] * 2


def searched(ana: Sitting) -> Message:
    """Return the search that waits for its answer."""
    (wish,) = [m for m in ana.session.pending if m.kind == KIND_SEARCH]
    return wish


def found(message_id: int) -> Message:
    """Return something that was said long ago."""
    said = Message(user="bia", message=f"casa {message_id}", id=message_id)
    said.sent_at.FromJsonString("2024-02-29T12:00:00Z")
    return said


def test_what_is_found_is_shown_newest_first_with_its_id_and_time(ana: Sitting) -> None:
    """However it comes; the same search once more goes on below what was shown."""
    ana.type("/buscar")
    assert "/search TEXT" in ana.terminal.notices[-1]
    ana.type('/buscar casa "bom dia"')
    wish = searched(ana)
    assert (wish.message, wish.id) == ('casa "bom dia"', 0)
    for numbers in (range(60, 40, -1), range(60, 30, -1)):  # broken off, and begun anew
        batch = [found(number) for number in numbers]
        ana.app.receive(Message(kind=KIND_SEARCH, key=wish.key, batch=batch))
    assert ana.terminal.shown == []
    ana.app.receive(Message(kind=KIND_SEARCH, key=wish.key))
    begin, *shown = ana.terminal.shown
    assert "found in #common" in begin
    assert [line.split()[0] for line in shown] == [f"@{number}" for number in range(60, 40, -1)]
    assert shown[0].startswith("@60 2024-02-29 ") and shown[0].endswith(" [bia]: casa 60")
    assert ana.terminal.notices[-1].endswith('shows older ones: /search casa "bom dia"')
    ana.type("/historico")  # what was found is not what the screen goes back from
    assert ana.session.pending[-1].id == 0
    ana.type('/search casa "bom dia"', "/search casa")
    assert [m.id for m in ana.session.pending if m.kind == KIND_SEARCH] == [0, 41, 0]


def test_search_that_found_nothing_says_whether_it_is_over(ana: Sitting) -> None:
    """And of a server that cannot search that it cannot."""
    for reached, words in ((0, "Private messages are not"), (7, "looks further back")):
        ana.type("/buscar nada")
        wish = ana.session.pending[-1]
        ana.app.receive(Message(kind=KIND_SEARCH, key=wish.key, id=reached))
        assert words in ana.terminal.notices[-1]
    ana.type("/buscar nada")
    wish = ana.session.pending[-1]
    ana.app.receive(Message(user="REQUEST_INVALID", kind=KIND_NOTICE, key=wish.key))
    assert "cannot search yet" in ana.terminal.notices[-1]
    ana.type("/buscar !?")
    assert ana.session.pending[-1] == wish


def test_private_line_to_somebody_ignored_says_that_no_answer_is_shown(ana: Sitting) -> None:
    """Once, and it is sent all the same."""
    ana.type("/ignorar bia", "/msg [bia] oi", "/msg [bia] oi?")
    assert [m.to for m in ana.session.pending] == ["bia"] * 2
    assert [n for n in ana.terminal.notices if "will not see an answer; /ignore bia" in n] == [
        ana.terminal.notices[-1]
    ]


def test_hits_of_ignored_people_are_hidden_and_counted(ana: Sitting) -> None:
    """Where there are no others nothing is said that would be true of those that are shown."""
    ana.type("/ignorar bia", "/buscar casa")
    other = Message(user="rui", message="casa", id=5)
    for batch, reached in (([found(9), other, found(8)], 5), ([found(4)], 0)):
        key = ana.session.pending[-1].key
        ana.app.receive(Message(kind=KIND_SEARCH, key=key, batch=batch))
        ana.app.receive(Message(kind=KIND_SEARCH, key=key, id=reached))
        ana.type("/buscar casa")
    title, shown = ana.terminal.shown
    assert "found in #common" in title and shown.startswith("@5 ")
    _ignored, several, more, one = ana.terminal.notices
    ignored = "hidden; /ignore lists whom you ignore."
    assert several == f"* 2 matches from people you ignore are {ignored}"
    assert "shows older ones: /search casa" in more
    assert one == f"* 1 match from somebody you ignore is {ignored}"


def test_search_goes_on_below_hits_that_are_all_hidden(ana: Sitting) -> None:
    ana.type("/ignorar bia", "/buscar casa")
    key = ana.session.pending[-1].key
    ana.app.receive(Message(kind=KIND_SEARCH, key=key, batch=[found(9)]))
    ana.app.receive(Message(kind=KIND_SEARCH, key=key, id=9))
    assert ana.terminal.shown == []
    assert ana.terminal.notices[-1] == "* The same line again looks further back: /search casa"


def test_search_shows_only_what_can_be_an_answer(ana: Sitting) -> None:
    """And goes on only where the server came nearer to the beginning."""
    ana.type("/buscar casa")
    odd = [found(2**63), found(0), found(9), found(30), found(31)]
    odd[2].to, odd[3].room, odd[4].kind = "bia", "aula", KIND_LEFT
    key = ana.session.pending[-1].key
    ana.app.receive(Message(kind=KIND_SEARCH, key=key, batch=[*odd, found(8)]))
    ana.app.receive(Message(kind=KIND_SEARCH, key=key, id=8))
    assert [line.split()[0] for line in ana.terminal.shown[1:]] == ["@8"]
    ana.type("/buscar casa")
    wish = ana.session.pending[-1]
    ana.app.receive(Message(kind=KIND_SEARCH, key=wish.key, batch=[found(8)]))
    ana.app.receive(Message(kind=KIND_SEARCH, key=wish.key, id=8))
    assert wish.id == 8 and len(ana.terminal.shown) == 2
    assert "has all of that" in ana.terminal.notices[-1]


def test_what_was_said_around_a_message(ana: Sitting) -> None:
    """Oldest first, as history is; the one that it is about has its id."""
    ana.type("/historico @42")
    wish = ana.session.pending[-1]
    assert (wish.kind, wish.message, wish.id) == (KIND_HISTORY, "10+10", 42)
    batch = [found(41), found(42), found(43)]
    ana.app.receive(Message(kind=KIND_HISTORY, key=wish.key, batch=batch))
    ana.app.receive(Message(kind=KIND_HISTORY, key=wish.key))
    begin, *shown, end = ana.terminal.shown
    assert "around @42" in begin and "back to the present" in end
    assert shown[0] == "[bia]: casa 41" and shown[1].startswith("@42 2024")
    ana.type("/historico @43")
    ana.app.receive(Message(kind=KIND_HISTORY, key=ana.session.pending[-1].key))
    assert "nothing around @43" in ana.terminal.notices[-1]
    ana.type("/historico @", "/historico @x", "/historico @99999999999999999999")
    assert all("Usage" in notice for notice in ana.terminal.notices[-3:])


def test_message_that_is_not_shown_around_its_place_is_told(ana: Sitting) -> None:
    """Since it was said in another room, or by somebody who is hidden; what was there is shown."""
    for typed, batch in (
        ("/historico @42", [found(41), found(43)]),
        ("/ignorar bia", []),
        ("/historico @42", [found(42), Message(user="rui", message="casa", id=43)]),
    ):
        ana.type(typed)
        for parts in (batch, []):
            key = ana.session.pending[-1].key if batch else ""
            ana.app.receive(Message(kind=KIND_HISTORY, key=key, batch=parts))
    missing, _ignored, hidden = ana.terminal.notices
    assert missing.startswith("* There is no message @42 in #common.")
    assert hidden == "* The message @42 is hidden: it is from somebody you ignore."
    shown = [line for line in ana.terminal.shown if not line.startswith("---")]
    assert shown == ["[bia]: casa 41", "[bia]: casa 43", "[rui]: casa"]


def test_rooms_and_people_are_asked_for(ana: Sitting) -> None:
    """Of the room spoken in."""
    ana.type("/sala redes", "/quem", "/salas")
    assert ana.asked[1:] == [(KIND_WHO, "redes"), (KIND_ROOMS, "")]
    ana.app.receive(Message(kind=KIND_ROOMS, room="aula", message="3"))
    ana.app.receive(Message(kind=KIND_ROOMS, message="12"))
    ana.app.receive(Message(kind=KIND_ROOMS, key=ana.key(KIND_ROOMS)))
    assert ana.terminal.notices[-1] == "* Rooms with people: #aula (3), #common (12)"
    assert offered(ana, "/sala ") == (0, ["aula", "redes"])


@pytest.mark.parametrize("line", ["/quem", "/salas", "/historico"])
def test_nothing_is_asked_without_a_connection(ana: Sitting, line: str) -> None:
    """The user would wait in vain; what is said is sent later."""
    ana.change(Change.LOST, cause="why")
    ana.type(line, "oi", "/sala redes", "/msg bia oi")
    assert "no connection to the server now" in ana.terminal.errors[0]
    assert [error.partition(": ")[0] for error in ana.terminal.errors] == [line]
    assert ana.sent == [("oi", ""), ("oi", "bia")] and ana.asked == [(KIND_ENTERED, "redes")]


FULL_ONLY = ["/quem", "/salas", "/historico", "/sala x", "/deixar", "/msg b c", "/eu x", "/nome x"]


@pytest.mark.parametrize("line", FULL_ONLY)
def test_silent_or_plain_server_is_no_place_for_commands(newcomer: Sitting, line: str) -> None:
    """They are refused at once; what is said to all goes, in the meantime and then."""
    newcomer.type(line, "oi")
    assert "has not answered yet" in newcomer.terminal.errors[0]
    newcomer.change(Change.PLAIN)
    newcomer.type(line, "oi")
    newcomer.change(Change.LOST)
    newcomer.type(line, "oi")
    assert all("keeps no history" in error for error in newcomer.terminal.errors[1:])
    assert len(newcomer.terminal.errors) == 3
    assert all(f"{line}: " in e or f'"{line}": ' in e for e in newcomer.terminal.errors)
    assert newcomer.sent == [("oi", "")] * 3 and newcomer.asked == []


def test_ignoring_and_seeing_again(ana: Sitting) -> None:
    """The same command does both."""
    ana.app.receive(Message(user="bia", kind=KIND_JOINED))
    ana.app.handle_line("/ignorar bia")
    ana.app.receive(Message(user="bia", message="hidden"))
    ana.app.handle_line("/ignorar BIA")
    ana.app.receive(Message(user="bia", message="shown"))
    assert ana.terminal.shown[1:] == ["[bia]: shown"]
    assert "hidden; /ignore bia shows" in ana.terminal.notices[0]
    assert "shown again" in ana.terminal.notices[1]


def test_list_of_the_hidden_says_how_to_go_on(ana: Sitting) -> None:
    """Where it is nobody, one, or more."""
    for name in ("Bia", "caio"):
        ana.app.receive(Message(user=name, kind=KIND_JOINED))
    ana.type("/ignore", "/ignore Bia", "/ignore", "/ignore caio", "/ignore")
    nobody, _bia, one, _caio, two = ana.terminal.notices
    assert nobody == "* You hide nobody; /ignore NAME hides what somebody says."
    assert one == "* Hidden: [Bia]. /ignore NAME shows what they say again."
    assert two == "* Hidden: [Bia] and [caio]. /ignore NAME shows what they say again."


def test_bell_help_and_screen(ana: Sitting) -> None:
    """Each says or does what it should."""
    for line in ("/sino tudo", "/ajuda", "/limpar"):
        ana.app.handle_line(line)
    assert ana.terminal.notices[0] == "* The bell rings at every message."
    assert "/quit (/sair, /q, /exit): " in ana.terminal.notices[1]
    ana.app.receive(Message(user="bia", message="banana"))
    assert ana.terminal.bells == 1 and ana.terminal.clears == 1


def test_tab_completes_people_rooms_and_modes(ana: Sitting) -> None:
    """Not one's own name."""
    for name in ("ana", "bia", "bernardo"):
        ana.app.receive(Message(user=name, kind=KIND_JOINED))
    for before, length, words in (
        ("oi b", 1, ["bernardo", "bia"]),
        ("oi an", 0, []),
        ("/sino o", 1, ["off"]),
        ("/bell m", 1, ["mentions"]),
    ):
        assert (length, words) == offered(ana, before)


def test_program_sends_messages_of_every_kind(pipe: Sitting) -> None:
    """With the fields of the contract; the key is kept."""
    wishes = [
        Message(message="oi", key="1"),
        Message(message="psiu", to="bia", key="2"),
        Message(message="bot", kind=KIND_RENAMED, key="3"),
        Message(room="redes", kind=KIND_ENTERED, key="4", message="5"),
        Message(message="waves", room="redes", kind=KIND_ACTION, key="5"),
        Message(kind=KIND_WHO, room="redes", key="6"),
        Message(kind=KIND_ROOMS, key="7"),
        Message(kind=KIND_HISTORY, room="redes", message="7", id=9, key="8"),
        Message(kind=KIND_HISTORY, room="redes", message="10+7", id=9, key="9"),
        Message(kind=KIND_SEARCH, room="redes", message="casa", id=9, key="10"),
        Message(room="redes", kind=KIND_EXITED, key="11"),
        Message(room="sala", kind=KIND_ENTERED, key="12", message="5", id=7),
        Message(room="outra", kind=KIND_ENTERED, key="13", id=7),
        Message(kind=KIND_WHO, room="elsewhere", key="14"),
        *(Message(kind=kind, room="sala", key=f"d{kind}") for kind in (KIND_CLOSED, KIND_OPENED)),
        Message(kind=KIND_INVITED, room="sala", to="bia", key="15"),
        *(Message(kind=kind, to="bia", message="x", key=f"m{kind}") for kind in MODERATION),
        Message(kind=KIND_NOTICE, message="all", key="16"),
    ]
    for wish in wishes:
        pipe.app.handle_message(wish)
    sent = pipe.session.pending
    for message in sent:
        message.user = ""
    assert sent == wishes
    only_told = {KIND_JOINED, KIND_LEFT, KIND_PRESENT}
    rest = set(Kind.values()) - only_told - {wish.kind for wish in wishes}
    assert rest == {KIND_KEY}  # which takes an own key


@pytest.mark.parametrize(
    "wish",
    [
        Message(kind=KIND_JOINED),
        Message(kind=KIND_ENTERED, room="x", message="-1"),
        Message(kind=KIND_HISTORY, message="many"),
        Message(kind=KIND_HISTORY, message="10+10"),  # around nothing
        Message(kind=KIND_SEARCH, message="!?"),
        Message(message="oi", room="elsewhere"),
    ],
)
def test_what_no_program_may_send_is_refused(pipe: Sitting, wish: Message) -> None:
    """Before it goes anywhere."""
    with pytest.raises(ChatError):
        pipe.app.handle_message(wish)
    assert pipe.session.pending == []


def test_refused_key_leaves_the_message_that_has_it_alone(ana: Sitting) -> None:
    """What the server says of that one is still told of it."""
    ana.app.handle_message(Message(message="one", key="k"))
    with pytest.raises(ChatError):
        ana.app.handle_message(Message(message="two", key="k"))
    assert ana.sent == [("one", "")]
    ana.app.receive(Message(user="MESSAGE_INVALID", kind=KIND_NOTICE, key="k"))
    assert ana.terminal.errors[-1].startswith('Not sent: "one": ')


# The connection.


def test_who_is_here_is_asked_when_the_connection_stands(newcomer: Sitting, pipe: Sitting) -> None:
    """For the status line, which a pipe has not; in another room when one looks there."""
    for where in (newcomer, pipe):
        where.change(Change.CONNECTED)
    newcomer.app.tick()
    assert newcomer.asked == [(KIND_WHO, "")]
    newcomer.type("/sala redes")
    newcomer.app.tick()
    assert newcomer.asked == [(KIND_WHO, ""), (KIND_ENTERED, "redes"), (KIND_WHO, "redes")]
    assert pipe.session.pending == []


def test_who_is_in_another_room_is_asked_when_one_goes_there() -> None:
    """At once, for the status line; of a room that is being entered when that is so."""
    sitting = Sitting(FakeTerminal(), "", "redes")
    sitting.change(Change.CONNECTED)
    sitting.type("/sala redes")
    assert sitting.asked == [(KIND_WHO, ""), (KIND_WHO, "redes")]
    sitting.type("/sala nova", "/sala redes")
    assert sitting.asked[2:] == [(KIND_ENTERED, "nova")]


def test_room_that_was_entered_is_asked_about_anew(newcomer: Sitting) -> None:
    """Nobody told who came and went meanwhile."""
    newcomer.change(Change.CONNECTED)
    newcomer.app.receive(Message(kind=KIND_ENTERED))
    assert newcomer.asked == [(KIND_WHO, "")] * 2


def test_large_room_is_asked_about_now_and_then(
    newcomer: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last answer is old, and not before."""
    newcomer.change(Change.CONNECTED)
    for number in range(MAX_PRESENCE_MEMBERS + 1):
        newcomer.app.receive(Message(user=f"p{number}", kind=KIND_PRESENT))
    newcomer.app.receive(Message(kind=KIND_WHO))
    newcomer.app.tick()
    assert len(newcomer.session.pending) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * roster.WHO_SECONDS)
    newcomer.app.tick()
    newcomer.app.tick()
    assert len(newcomer.session.pending) == 2


def test_nothing_is_asked_of_a_plain_server(newcomer: Sitting) -> None:
    """Nor does it end the conversation, when it comes back."""
    for change in (Change.PLAIN, Change.LOST, Change.PLAIN):
        newcomer.change(change, cause="why")
        newcomer.app.tick()
    assert newcomer.session.pending == []
    _where, _help, plain, lost, back = newcomer.terminal.notices
    assert "keeps no history" in plain and "lost" in lost and back == "* Reconnected."


def test_status_is_drawn_anew_while_it_changes(ana: Sitting) -> None:
    """Once it is steady it is not drawn again."""
    ana.change(Change.LOST)
    drawn = ana.terminal.refreshes
    ana.app.tick()
    assert ana.terminal.refreshes == drawn + 1
    ana.change(Change.CONNECTED)
    drawn = ana.terminal.refreshes
    ana.app.tick()
    assert ana.terminal.refreshes == drawn


def test_status_has_its_parts(newcomer: Sitting) -> None:
    """The connection, what waits, the room, the people."""
    assert newcomer.app.status() == ["connecting", "common room"]
    newcomer.change(Change.CONNECTED)
    newcomer.app.receive(Message(user="ana", kind=KIND_JOINED))
    newcomer.type("oi")
    expected = ["connected", "1 not confirmed", "common room", "1 person"]
    assert newcomer.app.status() == expected


def test_silence_is_told(newcomer: Sitting) -> None:
    """By a thread of its own: a pool of threads that are all taken never says a word."""
    newcomer.change(Change.SILENT)
    assert "has not answered yet; it may be full" in newcomer.terminal.notices[0]
    assert newcomer.app.status()[0] == "no answer yet"


def test_loss_is_told(ana: Sitting) -> None:
    """With its cause, once."""
    ana.change(Change.LOST, cause="why")
    ana.change(Change.LOST, cause="why")
    assert ana.terminal.notices == ["* Connection lost: why"]


# A lost name.


def test_lost_name_is_told_once_and_asked_for_after_a_minute(
    ana: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is typed and what is not acknowledged stays; the next name is tried at once."""
    ana.type("oi")
    ana.change(Change.LOST, cause="why")
    for _attempt in range(3):
        ana.change(Change.NAME_TAKEN)
        ana.change(Change.RETRYING, seconds=3.0)
    assert ana.app.status()[0] == "name taken, trying again in 3 s"
    lost, taken = ana.terminal.notices
    assert "lost" in lost and "Somebody else is called [ana] now" in taken
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + app_module.LOST_NAME_SECONDS)
    ana.change(Change.NAME_TAKEN)
    ana.change(Change.NAME_TAKEN)
    [question] = ana.terminal.notices[2:]
    assert "[ana] is taken" in question and "/nick NAME" in question
    ana.type("/nome bea")
    assert ana.session.names_taken == ["bea"] and ana.sent == [("oi", "")] and ana.asked == []
    ana.change(Change.RESUMED)
    ana.type("/nome bia")
    assert ana.session.names_taken == ["bea"] and ana.asked == [(KIND_RENAMED, "")]
    assert not ana.terminal.is_stopped


def test_name_that_is_found_taken_late_is_asked_for_anew_at_once(newcomer: Sitting) -> None:
    """As often as another one is taken too; nobody had it before who lost it."""
    newcomer.type("typed early")
    for name in ("ana", "bea", "bea", "bia"):
        if name != newcomer.session.name:
            newcomer.type(f"/nome {name}")
        newcomer.change(Change.NAME_TAKEN)
        newcomer.change(Change.RETRYING, seconds=3.0)
    said = [text for text in newcomer.terminal.notices if "Choose another one" in text]
    assert [text.partition(" is taken")[0] for text in said] == [
        f"* The name [{name}]" for name in ("ana", "bea", "bia")
    ]
    assert not any("Somebody else is called" in text for text in newcomer.terminal.notices)
    assert newcomer.sent == [("typed early", "")] and not newcomer.terminal.is_stopped


def test_owned_name_is_asked_for_anew_at_once(ana: Sitting) -> None:
    """Each time that one is given which is somebody else's; what is typed meanwhile stays."""
    ana.type("oi")
    for name in ("ana", "bea"):
        if name != ana.session.name:
            ana.type(f"/nick {name}")
        ana.change(Change.NAME_OWNED)
    ana.type("/nick bea")
    ana.change(Change.NAME_OWNED)
    said = [text.partition(" belongs")[0] for text in ana.terminal.notices if "/nick NAME" in text]
    assert said == [f"* The name [{name}]" for name in ("ana", "bea", "bea")]
    assert ana.session.names_taken == ["bea", "bea"] and ana.sent == [("oi", "")]
    assert not ana.terminal.is_stopped


def test_program_that_lost_its_name_ends_after_a_minute(
    pipe: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With what was not acknowledged, line by line."""
    pipe.start()
    pipe.change(Change.CONNECTED)
    pipe.type("one", "two")
    pipe.change(Change.NAME_TAKEN)
    assert not pipe.terminal.is_stopped
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + app_module.LOST_NAME_SECONDS)
    pipe.change(Change.NAME_TAKEN)
    assert pipe.terminal.is_stopped
    assert pipe.app.run() == EXIT_NOT_ACKNOWLEDGED
    lost, refusal = pipe.terminal.errors
    assert lost.splitlines() == ["2 messages were not confirmed:", "  one", "  two"]
    assert "name is taken" in refusal


# Ends.


def test_leaving_tells_nothing_of_the_connection_and_stops_nothing(ana: Sitting) -> None:
    """The person has left: a loss is not news, and the terminal has stopped by itself."""
    ana.start()

    def finish() -> None:
        ana.change(Change.LOST, cause="why")
        ana.app.end(REFUSAL)

    ana.terminal.on_finish = finish
    assert ana.app.run() == EXIT_REFUSED
    assert ana.terminal.notices == [] and not ana.terminal.is_stopped
    assert ana.terminal.errors == [
        "You came in elsewhere, in another terminal or on another machine, and go on there."
    ]


def test_refusal_in_the_middle_stops_the_terminal(ana: Sitting) -> None:
    """And is shown at the end."""
    ana.start()
    ana.app.end(REFUSAL)
    assert ana.terminal.is_stopped and ana.terminal.errors == []
    assert ana.app.run() == EXIT_REFUSED
    assert len(ana.terminal.errors) == 1


def test_failure_of_any_thread_ends_the_conversation(ana: Sitting) -> None:
    """Else what is typed would go nowhere; the first cause is told, in a sentence."""
    ana.start()
    ana.type("kept")
    with ana.app.watching():
        raise RuntimeError("in the receive thread")
    assert ana.terminal.is_stopped
    with pytest.raises(ChatError, match="over"):
        ana.session.send("late")
    ana.terminal.interruption = ValueError("in the terminal")
    assert ana.app.run() == EXIT_REFUSED
    assert ana.terminal.errors == [
        "1 message was not confirmed:\n  kept",
        "Something unexpected ended the conversation (RuntimeError('in the receive thread')).",
    ]


def test_output_that_takes_nothing_ends_it(ana: Sitting, pipe: Sitting) -> None:
    """What was typed is waited for no longer than by somebody who leaves."""
    for where in (ana, pipe):
        where.start()
        where.app.handle_line("oi")
        where.terminal.failure = BrokenPipeError()
        assert where.app.run() == EXIT_BROKEN_PIPE
        assert where.terminal.errors == ["1 message was not confirmed:\n  oi"]


def test_refusal_at_the_beginning_is_raised(ana: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever asks for another name; the terminal has nothing to do with it."""
    monkeypatch.setattr(app_module, "GREETING_SECONDS", 60.0)
    with pytest.raises(ChatError):
        ana.start(lambda: ana.app.end(REFUSAL))
    assert not ana.terminal.is_stopped


def test_input_ends_where_the_server_confirms_nothing(
    pipe: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that would be too many is told, and what was sent is printed; nothing more is read.

    So it is for lines and for JSON.
    """
    monkeypatch.setattr(outbox, "MAX_PENDING", 1)
    pipe.terminal.unread = 7
    pipe.start()
    pipe.type("one")
    assert not pipe.app.handle_line("two")
    assert not pipe.app.handle_message(Message(message="three"))
    assert pipe.app.run() == ending.EXIT_NOT_ACKNOWLEDGED
    reason = "too many messages wait for the server; send this one when they are confirmed"
    assert pipe.terminal.errors == [
        f'Not sent: "two": {reason}',
        f'Not sent: "three": {reason}',
        "1 message was not confirmed:\n  one",
        "Standard input was not read to its end: 9 lines that were read were not sent, nor any"
        " after them.",
    ]


def test_what_is_not_acknowledged_is_printed(ana: Sitting, pipe: Sitting) -> None:
    """Line by line, and in the exit code, of people and programs alike."""
    for where in (ana, pipe):
        where.start()
        where.app.handle_line("oi")
        where.session.abort()
        assert where.app.run() == EXIT_NOT_ACKNOWLEDGED
        assert where.terminal.errors == ["1 message was not confirmed:\n  oi"]


def test_failure_costs_programs_their_exit_code(ana: Sitting, pipe: Sitting) -> None:
    """A person has read it."""
    for where, code in ((ana, EXIT_OK), (pipe, EXIT_NOT_ACKNOWLEDGED)):
        where.start()
        where.app.report_unsent("oi", "why")
        where.session.abort()
        assert where.app.run() == code


@pytest.mark.parametrize("interruption", [KeyboardInterrupt(), SystemExit(143)])
def test_signal_ends_it_in_order(ana: Sitting, interruption: BaseException) -> None:
    """What is on its way is waited for, a moment; what is lost is printed; the signal goes on."""
    ana.start()
    ana.type("oi")
    finished = threading.Event()
    ana.terminal.on_finish = finished.set
    ana.terminal.interruption = interruption
    with pytest.raises(type(interruption)):
        ana.app.run()
    assert finished.is_set()
    assert ana.terminal.errors == ["1 message was not confirmed:\n  oi"]
    with pytest.raises(ChatError):
        ana.session.send("late")


def test_second_signal_ends_it_at_once(ana: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even then the terminal is tidied up."""
    ana.start()
    finished = threading.Event()
    ana.terminal.on_finish = finished.set

    def close(timeout: float = 0.0) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr(ana.session, "close", close)
    ana.terminal.interruption = SystemExit(143)
    with pytest.raises(KeyboardInterrupt):
        ana.app.run()
    assert finished.is_set()
    with pytest.raises(ChatError):
        ana.session.send("late")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot signal a thread")
def test_interruption_while_coming_in_leaves_too(
    newcomer: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The name must not stay held."""
    monkeypatch.setattr(app_module, "GREETING_SECONDS", 60.0)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            main = threading.main_thread().ident or 0
            newcomer.start(lambda: signal.pthread_kill(main, signal.SIGINT))
    finally:
        signal.signal(signal.SIGINT, before)
    with pytest.raises(ChatError):
        newcomer.session.send("late")


# Coming in.


def joining(*refusals: ChatError | ConfigError | None) -> tuple[Callable[[str], App], list[str]]:
    """Return a `join` that refuses so, and the names that it was given."""
    left, names = list(refusals), []

    def join(name: str) -> App:
        names.append(name)
        refusal = left.pop(0)
        if refusal is not None:
            raise refusal
        return Sitting(FakeTerminal()).app

    return join, names


def test_name_is_asked_for_until_one_is_free() -> None:
    """Each refusal is shown."""
    terminal = FakeTerminal(answers=["bia", " ana "])
    join, names = joining(ChatError("NAME_TAKEN"), None)
    enter(None, terminal, join)
    assert names == ["bia", "ana"]
    assert terminal.errors == [
        "This name is taken or reserved, or looks like one that is; choose another one."
    ]


def test_command_is_no_name() -> None:
    """A person is told so and asked again; a pipe's first line is the name, whatever it is."""
    terminal = FakeTerminal(answers=["/ajuda", "//x", "ana"])
    join, names = joining(None)
    assert enter(None, terminal, join) is not None
    assert names == ["ana"] and len(terminal.errors) == 2
    assert "/quit" in terminal.errors[0]
    join, names = joining(None)
    enter(None, FakeTerminal(answers=["/sair"], is_interactive=False), join)
    assert names == ["/sair"]


@pytest.mark.parametrize("typed", ["/sair", " /QUIT "])
def test_person_leaves_instead_of_giving_a_name(typed: str) -> None:
    """Nobody joins."""
    join, names = joining()
    assert enter(None, FakeTerminal(answers=[typed]), join) is None
    assert names == []


@pytest.mark.parametrize(
    ("name", "refusal", "is_interactive"),
    [
        ("ana", ChatError("NAME_TAKEN"), True),
        (None, ChatError("SERVER_FULL"), True),
        (None, ConfigError("No server."), True),
        (None, ChatError("NAME_TAKEN"), False),
    ],
)
def test_other_refusals_end_it(
    name: str | None, refusal: ChatError | ConfigError, is_interactive: bool
) -> None:
    """A name that was given is not asked for, and no other name helps against the rest."""
    terminal = FakeTerminal(answers=["ana"], is_interactive=is_interactive)
    join, names = joining(refusal)
    with pytest.raises(type(refusal)):
        enter(name, terminal, join)
    assert names == ["ana"] and terminal.errors == []


def test_commands_for_the_door_of_a_room(ana: Sitting) -> None:
    """They are about the room that the screen says; a name may stand in its brackets."""
    ana.change(Change.CONNECTED)
    ana.type("/sala aula", "/fechar", "/convidar bia", "/invite [Ana Maria]", "/abrir")
    ana.type("/uninvite bia")
    wishes = [(m.kind, m.to, m.room) for m in ana.session.pending if m.kind in DOORS]
    assert wishes == [
        (KIND_CLOSED, "", "aula"),
        (KIND_INVITED, "bia", "aula"),
        (KIND_INVITED, "Ana Maria", "aula"),
        (KIND_OPENED, "", "aula"),
    ]
    assert [m.to for m in ana.session.pending if m.kind == KIND_EXITED] == ["bia"]
    assert "aula" in ana.session.rooms


def test_invitation_needs_a_name(ana: Sitting) -> None:
    """One that can be a name, and not one's own; nothing is sent otherwise."""
    ana.change(Change.CONNECTED)
    ana.type("/convidar", "/desconvidar Ana", "/convidar a:b")
    assert ana.terminal.notices == ["* Usage: /invite NAME", "* Usage: /uninvite NAME"]
    assert "a name has 1 to 32" in ana.terminal.errors[0]
    assert [m for m in ana.session.pending if m.kind in DOORS] == []


def test_refused_door_says_which_command(ana: Sitting) -> None:
    """With the reason, as every refusal."""
    ana.change(Change.CONNECTED)
    ana.type("/fechar")
    key = ana.key(KIND_CLOSED)
    ana.app.receive(Message(kind=KIND_NOTICE, user="NOT_ROOM_OWNER", key=key))
    (error,) = ana.terminal.errors
    assert error.startswith("/close: only the room's owner may do this")


def test_program_closes_invites_and_opens(pipe: Sitting) -> None:
    """By the kinds of the contract, also from another room."""
    pipe.app.handle_message(Message(kind=KIND_CLOSED, key="c"))
    pipe.app.handle_message(Message(kind=KIND_INVITED, to="bia", room="sala", key="i"))
    pipe.app.handle_message(Message(kind=KIND_OPENED, room="sala", key="o"))
    pipe.app.handle_message(Message(kind=KIND_EXITED, to="bia", room="sala", key="x"))
    sent = [(m.kind, m.to, m.room, m.key) for m in pipe.session.pending]
    assert sent == [
        (KIND_CLOSED, "", "", "c"),
        (KIND_INVITED, "bia", "sala", "i"),
        (KIND_OPENED, "", "sala", "o"),
        (KIND_EXITED, "bia", "sala", "x"),
    ]
