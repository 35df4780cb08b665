"""What comes in, and what the user is shown of it."""

from __future__ import annotations

from datetime import datetime, timezone

import pytest
from fakes import FakeTerminal

from chat.client.alerts import Alerts
from chat.client.incoming import Incoming
from chat.client.roster import Roster
from chat.client.sent_lines import SentLines
from chat.client.session import Session
from chat.client.state import Change, State
from chat_pb2 import KIND_JOINED, KIND_NOTICE, KIND_PRESENT, KIND_WHO, Message

LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)


class Room:
    """One `Incoming` with what is around it, all of it looked at from outside."""

    def __init__(self, terminal: FakeTerminal) -> None:
        self.terminal = terminal
        self.roster = Roster("")
        self.lines = SentLines(terminal)
        self.incoming = Incoming(
            Session("localhost:1", "ana"),
            terminal,
            self.roster,
            Alerts("all", LONG_AGO),
            self.lines,
        )


@pytest.fixture
def room() -> Room:
    return Room(FakeTerminal())


@pytest.fixture
def pipe() -> Room:
    return Room(FakeTerminal(is_interactive=False))


def said(text: str, user: str = "bia", key: str = "", id: int = 0) -> Message:
    return Message(user=user, message=text, key=key, id=id)


def notice(reason: str, key: str = "", text: str = "") -> Message:
    return Message(user=reason, message=text, key=key, kind=KIND_NOTICE)


def test_message_is_shown_and_rings(room: Room) -> None:
    """Somebody else's rings, one's own does not."""
    room.incoming.take(said("oi"))
    room.incoming.take(said("oi, bia", user="ana"))
    assert room.terminal.shown == ["[bia]: oi", "[ana]: oi, bia"]
    assert room.terminal.bells == 1


def test_echo_of_a_line_that_stands_on_the_screen_is_not_shown() -> None:
    """A plain terminal shows what is typed; the same person elsewhere is shown."""
    room = Room(FakeTerminal(has_typed_lines=True))
    room.lines.add("k", "oi")
    room.incoming.take(said("oi", user="ana", key="k"))
    room.incoming.take(said("from my phone", user="ana", key="k2"))
    assert room.terminal.shown == ["[ana]: from my phone"]


def test_ignored_one_is_not_shown(room: Room) -> None:
    """A notice is the server's, whatever its reason is called."""
    room.roster.toggle_ignored("bia")
    room.incoming.take(said("oi", user="BIA"))
    room.incoming.take(notice("bia", text="a notice"))
    assert room.terminal.shown == ["* server: a notice"]
    assert room.terminal.bells == 0


def test_refused_line_is_given_back(room: Room) -> None:
    """As it was typed, with the reason."""
    room.lines.add("k", "/msg dora oi")
    room.incoming.take(notice("USER_UNKNOWN", key="k"))
    assert room.terminal.restored == ["/msg dora oi"]
    assert "nobody with this name is here" in room.terminal.errors[0]
    assert room.terminal.shown == []


def test_refusal_in_a_pipe_is_shown_and_counted(pipe: Room) -> None:
    """Programs read it; the exit code says it."""
    pipe.lines.add("k", "oi")
    pipe.incoming.take(notice("MESSAGE_TOO_LONG", key="k"))
    assert len(pipe.terminal.shown) == 1 and pipe.lines.failures == 1


def test_server_that_stops_is_told_by_the_loss_alone(room: Room) -> None:
    """Two lines for one thing would be one too many."""
    room.incoming.take(notice("SHUTTING_DOWN"))
    assert room.terminal.shown == [] and room.terminal.notices == []
    room.incoming.take(notice("READER_STUCK"))
    assert len(room.terminal.shown) == 1


@pytest.mark.parametrize("reason", ["HISTORY_GONE", "LOG_REWOUND"])
def test_gap_is_told_with_its_times(room: Room, reason: str) -> None:
    """From the last message that was seen until now."""
    room.incoming.take(notice(reason))
    message = said("oi", id=1)
    message.sent_at.FromDatetime(datetime(2024, 2, 29, 12, tzinfo=timezone.utc))
    room.incoming.take(message)
    room.incoming.take(notice(reason))
    first, _said, second = room.terminal.shown
    assert "(until " in first and "(from 2024-02-29 " in second


def test_repetition_stands_between_two_lines(room: Room) -> None:
    """It does not ring, and what is new ends it."""
    room.incoming.take(said("one", id=1))
    room.incoming.begin_repetition(until=1)
    room.incoming.take(said("one", id=1))
    room.incoming.take(said("two", id=2))
    shown = ["[bia]: one", "--- earlier messages ---", "[bia]: one"]
    assert room.terminal.shown == [*shown, "--- back to the present ---", "[bia]: two"]
    assert room.terminal.bells == 2


def test_repetition_ends_by_what_is_new(room: Room) -> None:
    """Where its last message was not sent again."""
    room.incoming.begin_repetition(until=5)
    room.incoming.take(said("six", id=6))
    assert room.terminal.shown[-2:] == ["--- back to the present ---", "[bia]: six"]


def test_repetition_of_nothing_has_no_lines(room: Room) -> None:
    """Nobody has said anything yet."""
    room.incoming.begin_repetition(until=0)
    room.incoming.end_repetition()
    assert room.terminal.shown == []


def test_comings_are_shown_and_drawn(room: Room) -> None:
    """The status line counts people."""
    room.incoming.take(Message(user="bia", kind=KIND_JOINED))
    assert room.terminal.shown == ["* bia joined"]
    assert room.terminal.refreshes == 1 and room.roster.names == ["bia"]


def test_answer_is_listed_for_whoever_asked(room: Room, pipe: Room) -> None:
    """A person reads a list, a program each message."""
    for where in (room, pipe):
        where.roster.request_who()
        for message in (Message(user="bia", kind=KIND_PRESENT), Message(kind=KIND_WHO)):
            where.incoming.take(message)
        assert where.terminal.notices == ["* 1 person here: bia"]
    assert room.terminal.messages == []
    assert [m.kind for m in pipe.terminal.messages] == [KIND_PRESENT, KIND_WHO]


def test_long_list_is_cut(room: Room) -> None:
    """It would fill the screen."""
    room.roster.request_who()
    for number in range(150):
        room.incoming.take(Message(user=f"p{number}", kind=KIND_PRESENT))
    room.incoming.take(Message(kind=KIND_WHO))
    [line] = room.terminal.notices
    assert line.startswith("* 150 people here: ") and line.endswith(", …")
    assert line.count(",") == 100


def test_changes_of_the_connection_are_told_once(room: Room) -> None:
    """A loss when it begins, a return when it ends."""
    for change, was_lost in [
        (Change.CONNECTED, False),
        (Change.LOST, False),
        (Change.RETRYING, True),
        (Change.LOST, True),
        (Change.RESUMED, True),
        (Change.RESUMED, False),
        (Change.PLAIN, False),
    ]:
        room.incoming.tell_change(State(change, cause="why"), was_lost)
    assert room.terminal.notices == [
        "* Connection lost: why",
        "* Reconnected; the messages you missed follow.",
        "* This server keeps no history and confirms nothing.",
    ]


def test_new_log_is_told_with_its_gap(room: Room) -> None:
    """What may be missing, and since when."""
    room.incoming.tell_change(State(Change.NEW_LOG), was_lost=True)
    assert room.terminal.notices[0].startswith("* The server started a new log")
    assert "(until " in room.terminal.notices[0]
