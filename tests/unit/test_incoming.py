"""What comes in, and what the user is shown of it."""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

import pytest
from fakes import FakeSession, FakeTerminal

from chat.client.alerts import Alerts
from chat.client.connection_status import ConnectionStatus
from chat.client.cursor import Place
from chat.client.incoming import Incoming
from chat.client.left_off import LeftOff
from chat.client.memory import Memory
from chat.client.rooms import Rooms
from chat.client.roster import Roster
from chat.client.sent_lines import SentLines
from chat.client.state import Change, State
from chat.client.transcript import Transcript
from chat.client.ui.render import RenderedMessage
from chat.protocol.limits import MAX_HISTORY
from chat_pb2 import (
    KIND_ACTION,
    KIND_CLOSED,
    KIND_ENTERED,
    KIND_EXITED,
    KIND_HISTORY,
    KIND_INVITED,
    KIND_JOINED,
    KIND_LEFT,
    KIND_NOTICE,
    KIND_OPENED,
    KIND_PRESENT,
    KIND_RENAMED,
    KIND_ROOMS,
    KIND_WHO,
    Message,
)

LONG_AGO = datetime(2000, 1, 1, tzinfo=timezone.utc)


class Room:
    """One `Incoming` with what is around it, all of it looked at from outside."""

    def __init__(self, terminal: FakeTerminal, memory: Memory | None = None) -> None:
        self.terminal = terminal
        self.rooms = Rooms(["", "Aula"])
        self.roster = Roster()
        self.lines = SentLines(terminal)
        self.session = FakeSession()
        self.incoming = Incoming(
            self.session,
            terminal,
            self.rooms,
            self.roster,
            Alerts("all", LONG_AGO),
            self.lines,
            memory,
        )


@pytest.fixture
def room() -> Room:
    return Room(FakeTerminal())


@pytest.fixture
def pipe() -> Room:
    return Room(FakeTerminal(is_interactive=False))


def said(text: str, user: str = "bia", key: str = "", id: int = 0) -> Message:
    return Message(user=user, message=text, key=key, id=id)


def notice(reason: str, key: str = "", text: str = "", **place: str) -> Message:
    return Message(user=reason, message=text, key=key, kind=KIND_NOTICE, **place)  # type: ignore


def test_what_an_earlier_run_has_shown_is_written_down_alone(tmp_path: Path) -> None:
    """For the transcript, silently."""
    seen = LeftOff("here", "ana", tmp_path)
    seen.note(Place({"": 9}, 0, "log", "g"))
    seen.save()
    transcript = Transcript(tmp_path / "said.log", tmp_path)
    transcript.meet("here", Place({}, 0, "log", "g"), "ana")
    transcript.add(said("before", id=3), RenderedMessage(body=[("", "before")]))
    transcript.write()
    memory = Memory("here", "ana", tmp_path, transcript=transcript, is_person=True)
    memory.place(None)
    memory.meet(Place({"": 3}, 0, "log", "g"), "ana")
    room = Room(FakeTerminal(), memory)
    room.incoming.take(said("oi", id=4))
    assert room.terminal.shown == [] and room.terminal.bells == 0
    room.incoming.take(said("novo", id=10))
    assert room.terminal.shown[-1] == "[bia]: novo" and room.terminal.bells == 1
    memory.close()
    rows = (tmp_path / "said.log").read_text("utf-8").splitlines()
    assert [row[20:] for row in rows] == ["before", "[bia]: oi", "[bia]: novo"]


def test_rest_is_counted_by_what_comes_not_by_what_is_shown(room: Room) -> None:
    """It is told below the last that comes by itself, although some of it is ignored."""
    room.roster.toggle_ignored("chato")
    room.incoming.take(notice("MORE_MISSED", text="7"))
    for number in range(1, MAX_HISTORY):
        room.incoming.take(said("oi", user="chato" if number % 2 else "bia", id=number))
    assert room.terminal.notices == []
    room.incoming.take(said("oi", user="chato", id=MAX_HISTORY))
    room.incoming.take(said("oi", id=MAX_HISTORY + 1))
    (line,) = room.terminal.notices
    assert line.startswith("* 7 earlier messages of #common were missed too")


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


def test_message_with_the_key_of_a_line_that_waits_is_no_answer() -> None:
    """It is shown, and the line is still one that may be refused."""
    room = Room(FakeTerminal(has_typed_lines=True))
    room.lines.add("k", "oi")
    room.session.waiting.add("k")
    room.incoming.take(said("not yours", user="bia", key="k"))
    assert room.terminal.shown == ["[bia]: not yours"] and room.lines.take("k") == "oi"


def test_ignored_one_is_not_shown(room: Room) -> None:
    """A notice is the server's, whatever its reason is called."""
    room.roster.toggle_ignored("bia")
    room.incoming.take(said("oi", user="BIA"))
    room.incoming.take(notice("bia", text="a notice"))
    assert room.terminal.shown == ["* server: a notice"]
    assert room.terminal.bells == 0


def test_echo_that_says_nothing_is_not_shown(room: Room, pipe: Room) -> None:
    """It confirms what was typed, and would be an empty line."""
    for one in (room, pipe):
        one.lines.add("k", "oi")
        one.incoming.take(said("", key="k"))
        assert one.terminal.shown == [] and one.lines.take("k") is None


def test_refusal_without_a_word_is_a_sentence(room: Room, pipe: Room) -> None:
    """Whatever there is to show of it."""
    for one in (room, pipe):
        one.lines.add("k", "oi")
        one.incoming.take(notice("", text=" ", key="k"))
        one.incoming.take(notice("WHATEVER", key="k2"))
    reason = "the server refuses, and does not say why"
    assert room.terminal.errors == [f'Not sent: "oi": {reason}']
    assert pipe.terminal.shown == [f"* server: {reason}"] * 2
    assert room.terminal.shown == [f"* server: {reason}"]


def test_refused_line_is_told(room: Room) -> None:
    """As it was typed, with the reason."""
    room.lines.add("k", "/msg dora oi")
    room.incoming.take(notice("USER_UNKNOWN", key="k"))
    assert room.terminal.errors[0].startswith('Not sent: "/msg dora oi": ')
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


def resume(room: Room) -> None:
    """Let another stream begin."""
    room.incoming.tell_change(State(Change.RESUMED), ConnectionStatus())


@pytest.mark.parametrize("reason", ["HISTORY_GONE", "LOG_REWOUND"])
def test_gap_is_told_with_its_times(room: Room, reason: str) -> None:
    """From the last message that was seen until now."""
    room.incoming.take(notice(reason))
    resume(room)
    message = said("oi", id=1)
    message.sent_at.FromDatetime(datetime(2024, 2, 29, 12, tzinfo=timezone.utc))
    room.incoming.take(message)
    room.incoming.take(notice(reason))
    first, _said, second = room.terminal.shown
    assert "(until " in first and "(from 2024-02-29 " in second


def test_log_that_was_put_back_is_told_once_for_all_places(room: Room, pipe: Room) -> None:
    """It is one thing, and all who read lines are told one; a program that asked gets each."""
    for where in (room, pipe):
        message = Message(user="bia", message="oi", id=1, room="aula")
        message.sent_at.FromDatetime(datetime(2024, 2, 29, 12, tzinfo=timezone.utc))
        where.incoming.take(message)
        for place in ({"room": ""}, {"room": "aula"}, {"to": "ana"}):
            where.incoming.take(notice("LOG_REWOUND", **place))
        _said, told, *rest = where.terminal.shown
        assert "(from 2024-02-29 " in told and "aula" not in told
        assert rest == ([""] * 2 if where is pipe else [])
        resume(where)
        where.incoming.take(notice("LOG_REWOUND"))
        assert "put back" in where.terminal.shown[-1]


def test_gap_says_what_it_is_in(room: Room) -> None:
    """In another room, or among the private messages; each has its own time."""
    message = said("oi", id=1)
    message.sent_at.FromDatetime(datetime(2024, 2, 29, 12, tzinfo=timezone.utc))
    room.incoming.take(message)
    room.incoming.take(notice("HISTORY_GONE", room="aula"))
    room.incoming.take(notice("HISTORY_GONE", to="ana"))
    _said, of_room, of_inbox = room.terminal.shown
    assert "(#aula, until " in of_room and "(private messages, until " in of_inbox


def test_private_message_that_was_not_read_is_quoted(room: Room, pipe: Room) -> None:
    """Long after its echo; to a program it is a failure."""
    for where in (room, pipe):
        where.lines.add("k", "/msg bia oi")
        where.incoming.take(Message(user="ana", message="oi", to="bia", key="k"))
        where.incoming.take(notice("NOT_READ", key="k"))
        text = where.terminal.shown[-1]
        assert text.startswith("* server: the person it was for") and "(/msg bia oi)" in text
    assert (room.lines.failures, pipe.lines.failures) == (0, 1)


def test_what_is_said_elsewhere_has_its_room_before_it(room: Room) -> None:
    """In every form; private messages belong to no room."""
    for message in (
        Message(user="bia", message="oi", room="aula"),
        Message(user="bia", message="waves", kind=KIND_ACTION, room="aula"),
        Message(user="bia", message="psiu", to="ana"),
    ):
        room.incoming.take(message)
    room.rooms.go_to("aula")
    room.incoming.take(Message(user="bia", message="here", room="aula"))
    room.incoming.take(said("there"))
    assert room.terminal.shown == [
        "#aula [bia]: oi",
        "#aula [bia] *waves*",
        "[bia \u2192 ana, private]: psiu",
        "[bia]: here",
        "#common [bia]: there",
    ]
    assert room.rooms.unread == [("", 1)]


def test_transcript_names_each_room_but_the_common_one(tmp_path: Path) -> None:
    """Whichever is looked at; private messages belong to no room."""
    written = Transcript(tmp_path / "said.log", tmp_path)
    memory = Memory("localhost:1", "ana", tmp_path, transcript=written)
    room = Room(FakeTerminal(), memory)
    for where in ("", "aula"):
        room.rooms.go_to(where)
        room.incoming.take(Message(user="bia", message="oi", room="aula"))
        room.incoming.take(said("there"))
        room.incoming.take(Message(user="bia", message="psiu", to="ana"))
    memory.pause()
    memory.close()
    lines = (tmp_path / "said.log").read_text("utf-8").splitlines()
    said_there = ["#aula [bia]: oi", "[bia]: there", "[bia \u2192 ana, private]: psiu"]
    assert [line[20:] for line in lines] == said_there * 2


def test_own_words_are_never_hidden(room: Room) -> None:
    """Somebody of that name was ignored once, on this computer."""
    room.roster.toggle_ignored("ana")
    room.incoming.take(Message(user="ana", message="oi", id=1, key="k"))
    assert room.terminal.shown == ["[ana]: oi"]


def test_ignored_one_is_not_counted(room: Room) -> None:
    """Nor are comings and goings."""
    room.roster.toggle_ignored("bia")
    room.incoming.take(Message(user="bia", message="oi", room="aula"))
    room.incoming.take(Message(user="caio", kind=KIND_JOINED, room="aula"))
    assert room.rooms.unread == [] and room.terminal.shown == []


def test_comings_elsewhere_are_noted_and_not_shown(room: Room, pipe: Room) -> None:
    """A person looks at one room; a program gets everything."""
    for kind in (KIND_JOINED, KIND_LEFT):
        for where in (room, pipe):
            where.incoming.take(Message(user="bia", kind=kind, room="aula"))
    assert room.terminal.shown == []
    assert pipe.terminal.shown == ["#aula * [bia] joined", "#aula * [bia] left"]


def test_rename_is_shown_once_wherever_it_is_told(room: Room) -> None:
    """The server tells it in each room that is shared."""
    for name in ("", "aula"):
        room.incoming.take(Message(user="bia", kind=KIND_JOINED, room=name))
    room.incoming.take(Message(user="caio", kind=KIND_JOINED, room="aula"))
    for user, name in (("bia", "bea"), ("caio", "kaio")):
        rooms = ("", "aula") if user == "bia" else ("aula",)
        for where in rooms:
            message = Message(user=user, message=name, kind=KIND_RENAMED, room=where)
            room.incoming.take(message)
    assert room.terminal.shown[1:] == ["* [bia] is now [bea]", "#aula * [caio] is now [kaio]"]


def test_own_rename_belongs_to_no_room(room: Room) -> None:
    """Its echo is shown wherever one is."""
    room.rooms.go_to("aula")
    room.incoming.take(Message(user="anna", message="Ana", kind=KIND_RENAMED, key="k"))
    assert room.terminal.shown == ["* [anna] is now [Ana]"]


def test_entry_is_told_to_whoever_wished_it(room: Room) -> None:
    """As it was typed; one that the connection's return makes is not told."""
    room.rooms.enter("Redes", "wish")
    room.incoming.take(Message(kind=KIND_ENTERED, room="redes", key="wish"))
    room.incoming.take(Message(kind=KIND_ENTERED, room="redes", key="other"))
    room.incoming.take(Message(kind=KIND_EXITED, room="aula", key="x"))
    assert room.terminal.notices == ["* You entered #Redes.", "* You left #aula."]


def test_room_that_cannot_be_entered_again_is_left(room: Room) -> None:
    """The connection came back, and the room has no place any more."""
    room.rooms.go_to("aula")
    room.incoming.take(notice("TOO_MANY_ROOMS", room="Aula"))
    assert room.rooms.current == "" and "aula" not in room.rooms
    assert room.terminal.notices == ["* You are in the common room."]


def test_long_list_of_rooms_is_cut(room: Room) -> None:
    """It would fill the screen."""
    for number in range(150):
        room.incoming.take(Message(kind=KIND_ROOMS, room=f"r{number}", message="1"))
    room.incoming.take(Message(kind=KIND_ROOMS, key="k"))
    [line] = room.terminal.notices
    assert line.startswith("* Rooms with people: #r0 (1), ") and line.endswith(", …")
    assert line.count(",") == 100


def test_program_gets_every_answer(pipe: Room) -> None:
    """As it came."""
    answers = [
        Message(kind=KIND_ENTERED, key="1", room="x"),
        Message(kind=KIND_EXITED, key="2", room="x"),
        Message(kind=KIND_HISTORY, key="3", batch=[said("oi", id=1)]),
        Message(kind=KIND_HISTORY, key="3"),
        Message(kind=KIND_ROOMS, message="1"),
        Message(kind=KIND_ROOMS, key="4"),
        notice("SHUTTING_DOWN"),
    ]
    for answer in answers:
        pipe.incoming.take(answer)
    assert pipe.terminal.messages == answers


def test_comings_are_shown_and_drawn(room: Room) -> None:
    """The status line counts people."""
    room.incoming.take(Message(user="bia", kind=KIND_JOINED))
    assert room.terminal.shown == ["* [bia] joined"]
    assert room.terminal.refreshes == 1 and room.roster.names == ["bia"]


def test_answer_is_listed_for_whoever_asked(room: Room, pipe: Room) -> None:
    """A person reads a list, a program each message."""
    room.roster.request_who("k")
    answer = [Message(user="bia", kind=KIND_PRESENT), Message(kind=KIND_WHO, key="k")]
    for where in (room, pipe):
        for message in answer:
            where.incoming.take(message)
    assert room.terminal.notices == ["* 1 person in #common: [bia]"]
    assert room.terminal.messages == [] and pipe.terminal.notices == []
    assert pipe.terminal.messages == answer


def test_owned_names_are_marked(room: Room) -> None:
    """What the mark means is said the first time; a server says nothing else of a name."""
    for key in ("1", "2"):
        room.roster.request_who(key)
        room.incoming.take(Message(user="ana", message="owned", kind=KIND_PRESENT))
        room.incoming.take(Message(user="bia", message="dono", kind=KIND_PRESENT))
        room.incoming.take(Message(kind=KIND_WHO, key=key))
    listed = "* 2 people in #common: [ana]\u2713, [bia]"
    legend = "* A name with \u2713 is that person's own: nobody else can have it."
    assert room.terminal.notices == [listed, legend, listed]


def test_name_that_became_ones_own_is_told(room: Room, pipe: Room) -> None:
    """Which nobody sees else; to a program it is no failure."""
    for place in (room, pipe):
        place.incoming.take(notice("NAME_CLAIMED", text="x", to="anna"))
    assert room.terminal.shown == ["* [anna] is yours now: nobody else can have it."]
    assert pipe.lines.failures == 0


def test_message_that_waits_is_told(room: Room, pipe: Room) -> None:
    """With the name of whoever will get it; to a program as it is."""
    for place in (room, pipe):
        place.incoming.take(notice("AWAY", text="x", to="bia"))
    assert room.terminal.shown == ["* [bia] is not here, and will get it when back."]
    assert pipe.lines.failures == 0


def test_long_list_is_cut(room: Room) -> None:
    """It would fill the screen."""
    room.roster.request_who("k")
    for number in range(150):
        room.incoming.take(Message(user=f"p{number}", kind=KIND_PRESENT))
    room.incoming.take(Message(kind=KIND_WHO, key="k"))
    [line] = room.terminal.notices
    assert line.startswith("* 150 people in #common: ") and line.endswith(", …")
    assert line.count(",") == 100


def tell(room: Room, *changes: Change) -> list[str]:
    """Let these become of the connection, one after the other; what is told."""
    status = ConnectionStatus()
    for change in changes:
        state = State(change, cause="why")
        room.incoming.tell_change(state, status)
        status = ConnectionStatus(state, status)
    return room.terminal.notices


def test_changes_of_the_connection_are_told_once(room: Room) -> None:
    """A loss when it begins, a return when it ends."""
    changes = [Change.LOST, Change.RETRYING, Change.LOST, Change.RESUMED, Change.RESUMED]
    assert tell(room, Change.CONNECTED, *changes) == [
        "* Connection lost: why",
        "* Reconnected.",
    ]


@pytest.mark.parametrize(("reason", "is_told"), [("SERVER_FULL", True), ("CLUSTER_AWAY", False)])
def test_server_is_said_to_be_passed_over_for_a_reason_of_its_own(
    room: Room, reason: str, is_told: bool
) -> None:
    """What all of them say is said once, at the end."""
    state = State(Change.PASSED_OVER, cause="why", address="localhost:1", reason=reason)
    room.incoming.tell_change(state, ConnectionStatus())
    told = ["* localhost:1 is passed over: why"] if is_told else []
    assert room.terminal.notices == told


def test_plain_server_that_is_back_promises_nothing(room: Room) -> None:
    """What was missed stays so."""
    assert tell(room, Change.PLAIN, Change.LOST, Change.RETRYING, Change.SILENT, Change.PLAIN) == [
        "* This server keeps no history and confirms nothing.",
        "* Connection lost: why",
        "* The server has not answered yet; it may be full, or be waiting for a message.",
        "* Reconnected.",
    ]


def test_lost_name_is_told_once(room: Room) -> None:
    """However often it is tried."""
    told = tell(room, Change.CONNECTED, Change.NAME_TAKEN, Change.RETRYING, Change.NAME_TAKEN)
    assert told == ["* Somebody else is called [ana] now; trying again until the name is free."]


def test_new_log_is_told_with_its_gap(room: Room) -> None:
    """What may be missing, and since when."""
    [text] = tell(room, Change.NEW_LOG)
    assert text.startswith("* The server started a new log") and "(until " in text


def test_invitation_is_told_wherever_one_is_and_its_room_completed(room: Room) -> None:
    """With the command that follows it, by the bell too; it is nobody to answer in private."""
    room.incoming.take(
        Message(kind=KIND_INVITED, user="bia", to="ana", room="festa", message="festa", id=3)
    )
    assert room.terminal.shown == ["* [bia] invites you to #festa: /join festa"]
    assert room.terminal.bells == 1
    assert "festa" in room.rooms.known
    assert not room.roster.correspondent


def test_doors_of_another_room_are_told_with_its_name(room: Room) -> None:
    """Whom somebody invites, too, and without the bell."""
    for kind in (KIND_CLOSED, KIND_OPENED):
        room.incoming.take(Message(kind=kind, user="bia", room="aula"))
    room.incoming.take(Message(kind=KIND_INVITED, user="bia", to="caio", room="aula"))
    assert room.terminal.shown == [
        "#aula * [bia] closed the room: only those invited can enter it now",
        "#aula * [bia] opened the room to everybody",
        "* [bia] invites [caio] to #aula",
    ]
    assert room.terminal.bells == 0


def test_invitation_by_somebody_ignored_is_not_shown(room: Room) -> None:
    """As what else they say."""
    room.roster.toggle_ignored("bia")
    room.incoming.take(Message(kind=KIND_INVITED, user="bia", to="ana", room="festa"))
    assert room.terminal.shown == []


def test_who_is_turned_out_is_told_why(room: Room) -> None:
    """Beside who comes back too late, by a lost connection or when the stream begins."""
    before = ConnectionStatus()
    for change, key in [("RESUMED", ""), ("LOST", ""), ("RETRYING", ""), ("RESUMED", "k")]:
        room.rooms.add("Aula")
        room.incoming.tell_change(State(Change[change]), before)
        room.incoming.take(notice("ROOM_CLOSED", key, room="Aula"))
    turned_out = "* You had to leave #Aula: your invitation was taken back."
    late = "* You could not come back to #Aula: it is closed, and you are not invited."
    assert room.terminal.shown == [turned_out, late, late, late]
    assert "Aula" not in room.rooms


def test_only_room_that_was_closed_meanwhile_leaves_the_common_one() -> None:
    """That is where the session has gone on."""
    session, terminal = FakeSession(), FakeTerminal()
    rooms = Rooms(["Aula"])
    alerts, lines = Alerts("all", LONG_AGO), SentLines(terminal)
    incoming = Incoming(session, terminal, rooms, Roster(), alerts, lines)
    incoming.take(notice("ROOM_CLOSED", room="Aula"))
    assert rooms.current == ""
    assert terminal.notices == ["* You are in the common room."]
    assert terminal.shown == ["* You had to leave #Aula: your invitation was taken back."]


def test_only_room_is_kept_whatever_a_server_says() -> None:
    """Where the session still is in it."""
    session, terminal = FakeSession("Aula"), FakeTerminal()
    rooms = Rooms(["Aula"])
    alerts, lines = Alerts("all", LONG_AGO), SentLines(terminal)
    incoming = Incoming(session, terminal, rooms, Roster(), alerts, lines)
    incoming.take(notice("ROOM_CLOSED", room="Aula"))
    assert rooms.current == "Aula"


def test_invitation_taken_back_leaves_the_user_where_he_is(room: Room) -> None:
    """The echo is about somebody else."""
    room.rooms.go_to("Aula")
    room.incoming.take(Message(kind=KIND_EXITED, user="ana", to="bia", room="aula", key="k"))
    assert room.terminal.notices == ["* [bia] is no longer invited to #aula."]
    assert room.rooms.current == "Aula"
