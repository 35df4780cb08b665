"""One person's conversation, without a server: lines in, messages out, and every way to the end."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from fakes import FakeTerminal

from chat.client import Change, ChatError, ConfigError, Session, State, outbox, roster
from chat.client import app as app_module
from chat.client.app import (
    EXIT_NOT_ACKNOWLEDGED,
    EXIT_OK,
    EXIT_REFUSED,
    App,
    enter,
    sentence,
    unexpected,
)
from chat.protocol.limits import MAX_PRESENCE_MEMBERS
from chat_pb2 import (
    KIND_JOINED,
    KIND_NOTICE,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_UNSPECIFIED,
    KIND_WHO,
    Message,
)

REFUSAL = ChatError("SESSION_REPLACED")


class Sitting:
    """An app with its terminal and its session, which never connects."""

    def __init__(self, terminal: FakeTerminal) -> None:
        self.terminal = terminal
        self.session = Session("localhost:1", "ana")
        self.app = App(self.session, terminal, "mentions")

    def start(self, body: Callable[[], None] = lambda: None) -> None:
        self.app.start(threading.Thread(target=body))

    @property
    def sent(self) -> list[tuple[str, str]]:
        """What was said, and to whom."""
        return [
            (message.message, message.to)
            for message in self.session.pending
            if message.kind == KIND_UNSPECIFIED
        ]

    def change(self, change: Change, **details: str) -> None:
        self.app.connection_changed(State(change, **details))  # type: ignore[arg-type]


@pytest.fixture(autouse=True)
def no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app_module, "GREETING_SECONDS", 0.0)
    monkeypatch.setattr(app_module, "LEAVE_SECONDS", 0.01)
    monkeypatch.setattr(app_module, "PIPE_END_SECONDS", 0.01)


@pytest.fixture
def ana() -> Sitting:
    return Sitting(FakeTerminal())


@pytest.fixture
def pipe() -> Sitting:
    return Sitting(FakeTerminal(is_interactive=False))


# Typing.


def test_typed_line_is_sent(ana: Sitting) -> None:
    """A blank one is not; two slashes are one."""
    for line in ("oi", "", "   ", " spaces kept ", "//etc"):
        assert ana.app.handle_line(line)
    assert [text for text, _to in ana.sent] == ["oi", " spaces kept ", "/etc"]
    assert ana.app.waiting() == ["oi", " spaces kept ", "/etc"]


def test_pipe_has_no_commands_but_to_leave(pipe: Sitting) -> None:
    """What a program says is said."""
    assert pipe.app.handle_line("/quem")
    assert pipe.sent == [("/quem", "")]
    assert not pipe.app.handle_line("/sair")


def test_line_that_cannot_be_sent_is_given_back(ana: Sitting) -> None:
    """With the reason."""
    ana.app.handle_line("x" * 9000)
    assert ana.terminal.restored == ["x" * 9000]
    assert "at most 8192 bytes" in ana.terminal.errors[0]


def test_person_is_not_made_to_wait(ana: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """While too much is on its way the line comes back; the editor must not stand still."""
    monkeypatch.setattr(outbox, "MAX_PENDING", 1)
    for line in ("one", "two", "/quem"):
        ana.app.handle_line(line)
    assert ana.sent == [("one", "")]
    assert ana.terminal.restored == ["two", "/quem"]


def test_nothing_is_told_of_a_line_after_the_refusal(ana: Sitting) -> None:
    """The terminal is about to stop, and the refusal says it all."""
    ana.session.abort()
    ana.app.end(REFUSAL)
    ana.app.handle_line("late")
    assert ana.terminal.errors == [] and ana.terminal.restored == []


def test_unknown_command_is_told_with_the_nearest(ana: Sitting) -> None:
    """It is never sent."""
    ana.app.handle_line("/qeum")
    assert ana.terminal.notices[0].startswith("* There is no command /qeum. Did you mean /quem?")
    assert ana.sent == []


@pytest.mark.parametrize(
    "line", ["/msg", "/msg bia", "/nome", "/historico x", "/ignorar", "/ignorar ANA", "/sino loud"]
)
def test_command_that_lacks_something_shows_its_usage(ana: Sitting, line: str) -> None:
    """And does nothing."""
    ana.app.handle_line(line)
    assert ana.terminal.notices[0].startswith(f"* Usage: {line.split()[0]}")
    assert ana.session.pending == []


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
    assert ana.terminal.restored == ["/msg bia quite"]


def test_rename_is_a_wish_that_comes_back_when_refused(ana: Sitting) -> None:
    """As it was typed."""
    ana.app.handle_line("/nome Bia")
    [wish] = ana.session.pending
    assert (wish.kind, wish.message) == (KIND_RENAMED, "Bia")
    ana.app.receive(Message(user="NAME_TAKEN", kind=KIND_NOTICE, key=wish.key))
    assert ana.terminal.restored == ["/nome Bia"]


def test_other_room_and_the_room_one_is_in(ana: Sitting) -> None:
    """The title changes in both cases; a bad name is refused."""
    ana.app.handle_line("/sala")
    assert ana.terminal.notices == ["* You are in common room."]
    ana.app.handle_line("oi")
    ana.app.handle_line("/sala #redes")
    ana.app.handle_line("there")
    assert ana.sent == [("oi", ""), ("there", "")]
    ana.app.handle_line("/sala a\x1b")
    assert "a room's name" in ana.terminal.errors[0]


def test_ignoring_and_seeing_again(ana: Sitting) -> None:
    """The same command does both."""
    ana.app.handle_line("/ignorar bia")
    ana.app.receive(Message(user="bia", message="hidden"))
    ana.app.handle_line("/ignorar BIA")
    ana.app.receive(Message(user="bia", message="shown"))
    assert ana.terminal.shown == ["[bia]: shown"]
    assert "hidden; /ignorar bia shows" in ana.terminal.notices[0]
    assert "shown again" in ana.terminal.notices[1]


def test_bell_help_and_screen(ana: Sitting) -> None:
    """Each says or does what it should."""
    for line in ("/sino tudo", "/ajuda", "/limpar"):
        ana.app.handle_line(line)
    assert ana.terminal.notices[0] == "* The bell rings at every message."
    assert "/sair (/quit)" in ana.terminal.notices[1]
    ana.app.receive(Message(user="bia", message="banana"))
    assert ana.terminal.bells == 1 and ana.terminal.clears == 1


def test_tab_completes_people_rooms_and_modes(ana: Sitting) -> None:
    """Not one's own name."""
    for name in ("ana", "bia", "bernardo"):
        ana.app.receive(Message(user=name, kind=KIND_JOINED))
    assert ana.app.completions("oi b") == (1, ["bernardo", "bia"])
    assert ana.app.completions("oi a") == (1, [])
    assert ana.app.completions("/sino o") == (1, ["off"])


def test_program_sends_messages_of_four_kinds(pipe: Sitting) -> None:
    """Said, private, a rename and a WHO; the key is kept."""
    pipe.app.handle_message(Message(message="oi", key="1"))
    pipe.app.handle_message(Message(message="psiu", to="bia", key="2"))
    pipe.app.handle_message(Message(message="bot", kind=KIND_RENAMED, key="3"))
    pipe.app.handle_message(Message(kind=KIND_WHO, key="4"))
    assert [message.key for message in pipe.session.pending] == ["1", "2", "3", "4"]
    with pytest.raises(ChatError):
        pipe.app.handle_message(Message(kind=KIND_JOINED))


# The connection.


def test_who_is_here_is_asked_when_the_connection_stands(ana: Sitting, pipe: Sitting) -> None:
    """For the status line, which a pipe has not."""
    for where in (ana, pipe):
        where.change(Change.CONNECTED)
    assert [message.kind for message in ana.session.pending] == [KIND_WHO]
    assert pipe.session.pending == []


def test_large_room_is_asked_about_now_and_then(
    ana: Sitting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the last answer is old, and not before."""
    ana.change(Change.CONNECTED)
    for number in range(MAX_PRESENCE_MEMBERS + 1):
        ana.app.receive(Message(user=f"p{number}", kind=KIND_PRESENT))
    ana.app.receive(Message(kind=KIND_WHO))
    ana.app.tick()
    assert len(ana.session.pending) == 1
    now = time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now + 2 * roster.WHO_SECONDS)
    ana.app.tick()
    ana.app.tick()
    assert len(ana.session.pending) == 2


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


def test_status_has_its_parts(ana: Sitting) -> None:
    """The connection, what waits, the room, the people."""
    assert ana.app.status() == ["connecting", "common room"]
    ana.change(Change.CONNECTED)
    ana.app.receive(Message(user="ana", kind=KIND_JOINED))
    ana.app.handle_line("oi")
    assert ana.app.status() == ["connected", "1 not confirmed", "common room", "1 person"]


def test_plain_server_answers_no_line(ana: Sitting) -> None:
    """What was typed for a key is forgotten: nothing will say whose it is."""
    ana.app.handle_line("oi")
    key = ana.session.pending[0].key
    ana.change(Change.PLAIN)
    ana.app.receive(Message(user="MESSAGE_TOO_LONG", kind=KIND_NOTICE, key=key))
    assert ana.terminal.restored == [] and len(ana.terminal.shown) == 1


def test_loss_is_told(ana: Sitting) -> None:
    """With its cause, once."""
    ana.change(Change.LOST, cause="why")
    ana.change(Change.LOST, cause="why")
    assert ana.terminal.notices == ["* Connection lost: why"]


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
    assert ana.terminal.errors == ["This session continued in another connection."]


def test_refusal_in_the_middle_stops_the_terminal(ana: Sitting) -> None:
    """And is shown at the end."""
    ana.start()
    ana.app.end(REFUSAL)
    assert ana.terminal.is_stopped and ana.terminal.errors == []
    assert ana.app.run() == EXIT_REFUSED
    assert len(ana.terminal.errors) == 1


def test_refusal_at_the_beginning_is_raised(ana: Sitting, monkeypatch: pytest.MonkeyPatch) -> None:
    """For whoever asks for another name; the terminal has nothing to do with it."""
    monkeypatch.setattr(app_module, "GREETING_SECONDS", 60.0)
    with pytest.raises(ChatError):
        ana.start(lambda: ana.app.end(REFUSAL))
    assert not ana.terminal.is_stopped


def test_what_is_not_acknowledged_is_counted(ana: Sitting, pipe: Sitting) -> None:
    """In the exit code, of people and programs alike."""
    for where in (ana, pipe):
        where.start()
        where.app.handle_line("oi")
        where.session.abort()
        assert where.app.run() == EXIT_NOT_ACKNOWLEDGED
        assert where.terminal.errors == ["1 message was not acknowledged."]


def test_failure_costs_programs_their_exit_code(ana: Sitting, pipe: Sitting) -> None:
    """A person has read it."""
    for where, code in ((ana, EXIT_OK), (pipe, EXIT_NOT_ACKNOWLEDGED)):
        where.start()
        where.app.report_unsent("oi", "why")
        where.session.abort()
        assert where.app.run() == code


def test_interrupted_conversation_is_abandoned(ana: Sitting) -> None:
    """Ctrl-C: nothing is waited for, nothing is sent any more, and the terminal is tidied up."""
    ana.start()
    finished = threading.Event()
    ana.terminal.on_finish = finished.set

    ana.terminal.interruption = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        ana.app.run()
    assert finished.is_set()
    with pytest.raises(ChatError):
        ana.session.send("late")


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
    assert terminal.errors == ["This name is taken or reserved; choose another one."]


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


def test_unexpected_error_is_a_sentence_on_one_line() -> None:
    """It may have any text."""
    text = sentence(unexpected(ValueError("a\n\x1b[2Jb")))
    assert text.startswith("Something unexpected ended the conversation (ValueError(")
    assert text.isprintable() and text.endswith(".")
