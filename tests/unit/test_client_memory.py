"""What is remembered of a conversation: where it begins, and what counts as seen."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from fakes import FakeTerminal

from chat.cli.folders import state_folder
from chat.client.cursor import Place
from chat.client.identity import FILE_BYTES, Identity
from chat.client.left_off import LeftOff
from chat.client.memory import Memory
from chat.client.remembering import forget_all
from chat.client.transcript import Transcript
from chat.client.ui.render import RenderedMessage
from chat.protocol.limits import MAX_HISTORY
from chat_pb2 import Message

HERE = "localhost:50051"


class SlowTerminal(FakeTerminal):
    """A terminal on which nothing can be seen before `show_all`."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Callable[[], None]] = []

    def when_shown(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def show_all(self) -> None:
        calls, self.calls = self.calls, []
        for call in calls:
            call()


def memory(folder: Path | None, has_history: bool = False) -> Memory:
    return Memory(HERE, "ana", folder, is_person=True, has_history=has_history)


def at(seen: int, epoch: str = "log") -> Place:
    return Place({"": seen}, 0, epoch, "g")


def with_inbox(folder: Path, is_person: bool) -> Memory:
    identity = Identity(HERE, "ana", folder)
    return Memory(HERE, "ana", folder, is_person=is_person, identity=identity)


def inbox_at(seen: int, generation: str = "g") -> Place:
    return Place({}, seen, "log", generation)


def inbox(folder: Path) -> Place:
    """Return how far the inbox was seen, by the only file of a session that there is."""
    (path,) = (path for path in folder.iterdir() if path.stat().st_size == FILE_BYTES)
    kept = json.loads(path.read_bytes())
    return Place({}, kept["inbox"], kept["epoch"], kept["generation"])


def leave_off(folder: Path, seen: int, epoch: str = "log", address: str = HERE) -> None:
    one = LeftOff(address, "ana", folder)
    one.note(at(seen, epoch))
    one.save()


def left(folder: Path) -> int | None:
    """Return where the next run begins in the common room."""
    return memory(folder).place(None).left.get("")


def test_only_what_was_shown_counts_as_seen(tmp_path: Path) -> None:
    """What waits for the screen does not, however often it is saved."""
    one, terminal = memory(tmp_path), SlowTerminal()
    one.take(lambda: at(5), terminal)
    one.take(lambda: at(6), terminal)
    one.take(lambda: at(7), terminal)
    one.save()
    assert left(tmp_path) is None and len(terminal.calls) == 1
    terminal.show_all()
    one.save()
    assert left(tmp_path) == 5
    terminal.show_all()
    one.save()
    assert left(tmp_path) == 7 and terminal.calls == []
    one.take(lambda: at(8), terminal)
    terminal.show_all()
    one.close()
    assert left(tmp_path) == 8


@pytest.mark.parametrize("is_person", [True, False])
def test_of_the_inbox_too_only_what_was_shown_counts(tmp_path: Path, is_person: bool) -> None:
    """Nor what came before the connection was lost and found again; at the end what is shown."""
    one, terminal = with_inbox(tmp_path, is_person), SlowTerminal()
    one.meet(inbox_at(0), "ana")
    one.take(lambda: inbox_at(4), terminal, is_private=True)
    one.take(lambda: inbox_at(6), terminal, is_private=True)
    one.meet(inbox_at(6, "later"), "ana")
    assert inbox(tmp_path) == inbox_at(0, "later")
    terminal.show_all()
    assert inbox(tmp_path) == inbox_at(4)
    terminal.show_all()
    assert inbox(tmp_path) == inbox_at(6)
    one.close()
    terminal.show_all()
    with closing(Identity(HERE, "ana", tmp_path)) as later:
        assert later.place == inbox_at(6)


def test_what_waits_for_the_screen_is_of_no_log_that_was_put_back(tmp_path: Path) -> None:
    """It says nothing about what comes from there, and everything private comes once more."""
    one, terminal = with_inbox(tmp_path, True), SlowTerminal()
    one.take(lambda: inbox_at(4), terminal)
    terminal.show_all()
    one.take(lambda: inbox_at(6), terminal)
    one.take(lambda: inbox_at(7), terminal)
    one.meet(inbox_at(7, "later"), "ana")
    one.rewind(inbox_at(0, "later"))
    terminal.show_all()
    assert inbox(tmp_path) == inbox_at(0, "later")
    one.take(lambda: inbox_at(2, "later"), terminal)
    terminal.show_all()
    assert inbox(tmp_path) == inbox_at(2, "later") and terminal.calls == []
    one.close()


def test_saved_now_and_then_and_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a thread of its own, which ends with the conversation."""
    monkeypatch.setattr("chat.client.memory.SAVE_SECONDS", 60.0)
    one, terminal = memory(tmp_path), FakeTerminal()
    one.begin(terminal)
    assert terminal.lines is one.lines
    one.lines.drafts.edit("half a line")
    one.take(lambda: at(5), terminal)
    one.close(was_connected=True)
    assert left(tmp_path) == 5 and memory(tmp_path).lines.drafts.go_to("") == "half a line"


@pytest.mark.parametrize(("was_connected", "left_at"), [(True, 2000), (False, 1000)])
def test_time_of_leaving_is_when_the_user_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, was_connected: bool, left_at: int
) -> None:
    """Not when the last message came; unless the connection was lost by then."""
    clock = SimpleNamespace(time=lambda: 1000.0)
    monkeypatch.setattr("chat.client.left_off.time", clock)
    one = memory(tmp_path)
    one.take(lambda: at(5), FakeTerminal())
    clock.time = lambda: 2000.0
    one.close(was_connected)
    later = memory(tmp_path)
    later.meet(at(5), "ana")
    assert later.since.left_at("") == datetime.fromtimestamp(left_at).astimezone()


def test_rooms_of_the_last_run_are_told_once(tmp_path: Path) -> None:
    """Neither to a program nor in a private run, nor where the log is another one."""
    one = LeftOff(HERE, "ana", tmp_path)
    one.note(Place({"": 5, "Projetos": 3}, 0, "log", "g", {"left": 1}))
    one.save()
    later = memory(tmp_path)
    later.meet(at(5), "ana")
    assert later.last_rooms() == ["Projetos"] and later.last_rooms() == []
    later.meet(at(5), "ana")
    assert later.last_rooms() == []
    for other in (Memory(HERE, "ana", tmp_path), memory(None)):
        other.meet(at(5), "ana")
        assert other.last_rooms() == []
    other = memory(tmp_path)
    other.meet(at(5, "another log"), "ana")
    assert other.last_rooms() == []


def test_program_leaves_off_nowhere(tmp_path: Path) -> None:
    """What a pipe reads has not been seen by the user of that name, nor is its input kept."""
    leave_off(tmp_path, 5)
    program = Memory(HERE, "ana", tmp_path)
    assert program.place(None) == Place() and program.place(at(1)) == at(1)
    program.take(lambda: at(9), FakeTerminal())
    program.lines.add("a")
    program.close(was_connected=True)
    assert left(tmp_path) == 5 and memory(tmp_path).lines.earlier == []


def test_history_that_was_asked_for_overrides(tmp_path: Path) -> None:
    """But the line still stands where the user left off."""
    leave_off(tmp_path, 5)
    one = memory(tmp_path, has_history=True)
    assert one.place(None) == Place()
    assert one.meet(at(90), "ana") == "" and one.since.left_at("") is not None


def test_nothing_is_remembered_without_a_folder() -> None:
    one = memory(None)
    assert one.place(None) == Place()
    one.take(lambda: at(5), FakeTerminal())
    one.close(was_connected=True)


def test_log_that_is_met_at_another_address_is_the_same(tmp_path: Path) -> None:
    """What may be missing is told, since the session did not know where to begin; once."""
    leave_off(tmp_path, 5, address="other:1")
    one = memory(tmp_path)
    assert one.place(None) == Place()
    line = one.meet(at(90), "ana")
    assert line.startswith("* More may have been said since ") and "/history" in line
    assert one.meet(at(95), "ana") == ""
    assert memory(tmp_path).meet(at(3), "ana") == ""
    leave_off(tmp_path, 90)
    known = memory(tmp_path)
    assert known.place(None) == Place({}, 0, "log", "g", {"": 90})
    assert known.meet(at(99), "ana") == ""


def test_line_is_not_begun_again_by_every_connection(tmp_path: Path) -> None:
    """Once for each log that is met."""
    leave_off(tmp_path, 5)
    one = memory(tmp_path)
    one.place(None)
    one.meet(at(5), "ana")
    message = Message(user="bia", message="oi", id=6)
    message.sent_at.FromDatetime(datetime(2020, 1, 1))
    assert one.since.line_before(message, True).startswith("new since")
    one.meet(at(6), "ana")
    assert one.since.left_at("") is None


def test_part_of_what_was_missed_has_no_line_above_it(tmp_path: Path) -> None:
    """With `--history` what is shown begins where that says, which may be behind the mark."""
    leave_off(tmp_path, 5)
    one = memory(tmp_path, has_history=True)
    one.place(None)
    one.meet(at(95), "ana")
    message = Message(user="bia", message="oi", id=96)
    message.sent_at.FromDatetime(datetime(2020, 1, 1))
    assert one.since.line_before(message, True) == ""


def test_log_that_was_put_back_is_begun_anew(tmp_path: Path) -> None:
    """Nothing from before counts."""
    leave_off(tmp_path, 50)
    one = memory(tmp_path)
    one.place(None)
    one.meet(at(2), "ana")
    one.rewind(at(2))
    assert one.since.left_at("") is None
    one.take(lambda: at(3), FakeTerminal())
    one.close()
    assert left(tmp_path) == 3


def test_transcript_goes_on_where_it_ended(tmp_path: Path) -> None:
    """Whatever the screen has shown without it; all of it, and for programs too."""
    leave_off(tmp_path, 50)
    for is_person in (True, False):
        written = Transcript(tmp_path / f"{is_person}.log", tmp_path)
        one = Memory(HERE, "ana", tmp_path, transcript=written, is_person=is_person)
        assert one.place(None).left == ({"": 50} if is_person else {})
        assert one.at_most is None
        one.meet(at(1), "ana")
        one.record(Message(id=7), RenderedMessage(body=[("", "oi")]))
        one.close()
        again = Transcript(tmp_path / f"{is_person}.log", tmp_path)
        later = Memory(HERE, "ana", tmp_path, transcript=again, is_person=is_person)
        assert later.place(None).left == {"": 7}
        later.close()
    assert memory(tmp_path).at_most == MAX_HISTORY


def written(folder: Path, seen: int, generation: str = "g", room: str = "") -> None:
    """Let the transcript have everything of a room up to an id."""
    one = Transcript(folder / "said.log", folder)
    one.meet(HERE, Place({}, 0, "log", generation), "ana")
    one.add(Message(id=seen, room=room), RenderedMessage(body=[("", "oi")]))
    one.close()


def resumed(folder: Path, identity: Identity | None = None) -> Memory:
    """Return what is remembered by a run with a transcript."""
    kept = Transcript(folder / "said.log", folder)
    return Memory(HERE, "ana", folder, transcript=kept, is_person=True, identity=identity)


def message(number: int, at: int = 0, room: str = "", to: str = "") -> Message:
    one = Message(user="bia", message="oi", id=number, room=room, to=to)
    one.sent_at.FromSeconds(at)
    return one


def test_what_was_written_and_never_shown_comes_again(tmp_path: Path) -> None:
    """The session begins at the older place of each room, so that the screen misses nothing."""
    leave_off(tmp_path, 5)
    written(tmp_path, 9)
    written(tmp_path, 3, room="aula")
    one = resumed(tmp_path)
    assert one.place(None) == Place({}, 0, "log", "g", {"": 5, "aula": 3})
    one.meet(at(5), "ana")
    assert not any(one.has_shown(message(number)) for number in (6, 9, 10))
    assert one.since.line_before(message(6), True).startswith("new since")
    one.record(message(9), RenderedMessage(body=[("", "again")]))
    one.close()
    assert "again" not in (tmp_path / "said.log").read_text("utf-8")


def test_what_the_very_first_run_wrote_and_never_showed_comes_again(tmp_path: Path) -> None:
    """A client may be killed before it first notes what was shown."""
    one = resumed(tmp_path)
    one.place(None)
    one.meet(at(3), "ana")
    one.record(message(4), RenderedMessage(body=[("", "oi")]))
    one.take(lambda: at(4), SlowTerminal())
    one.pause()
    one.close()
    later = resumed(tmp_path)
    assert later.place(None).left == {"": 3}
    later.close()


def test_what_was_shown_and_not_written_is_written_alone(tmp_path: Path) -> None:
    """What is new begins where the user left off; and that does not go back meanwhile."""
    written(tmp_path, 3)
    leave_off(tmp_path, 9)
    one = resumed(tmp_path)
    assert one.place(None).left == {"": 3}
    one.meet(at(3), "ana")
    assert one.has_shown(message(4)) and one.has_shown(message(9))
    assert not one.has_shown(message(5, room="aula")) and not one.has_shown(message(5, to="ana"))
    one.take(lambda: at(4), FakeTerminal())
    one.save()
    assert left(tmp_path) == 9
    assert not one.has_shown(message(10)) and not one.has_shown(message(4))
    assert one.since.line_before(message(10), True).startswith("new since")
    one.take(lambda: at(10), FakeTerminal())
    one.close()
    assert left(tmp_path) == 10


@pytest.mark.parametrize("has_left_off", [True, False])
def test_what_came_in_private_without_the_transcript_is_written_alone(
    tmp_path: Path, has_left_off: bool
) -> None:
    """What counts as seen of the inbox does not go back meanwhile."""
    written(tmp_path, 3)
    if has_left_off:
        leave_off(tmp_path, 3)
    identity = Identity(HERE, "ana", tmp_path)
    identity.save(inbox_at(8, "later"))
    one = resumed(tmp_path, identity)
    assert one.place(inbox_at(8, "later")) == Place({}, 0, "log", "g", {"": 3})
    one.meet(at(3), "ana")
    assert one.has_shown(message(5, to="ana"))
    one.take(lambda: inbox_at(5), FakeTerminal(), is_private=True)
    assert inbox(tmp_path) == inbox_at(8)
    assert one.has_shown(message(8, to="ana")) and not one.has_shown(message(9, to="ana"))
    one.take(lambda: inbox_at(9), FakeTerminal(), is_private=True)
    assert inbox(tmp_path) == inbox_at(9)
    one.close()


@pytest.mark.parametrize("epoch", ["other", "log"])
def test_nothing_of_another_log_was_shown(tmp_path: Path, epoch: str) -> None:
    """Nor of one that was put back to an older copy."""
    written(tmp_path, 3)
    leave_off(tmp_path, 9)
    one = resumed(tmp_path)
    one.place(None)
    one.meet(at(3, epoch), "ana")
    if epoch == "log":
        one.rewind(at(3))
    assert not one.has_shown(message(4))
    one.close()


def test_what_was_said_after_it_was_shown_is_something_else(tmp_path: Path) -> None:
    """The log was put back between the run with a transcript and the one without."""
    written(tmp_path, 3, generation="older")
    leave_off(tmp_path, 9)
    one = resumed(tmp_path)
    assert one.place(None).generation == "older"
    one.meet(at(3), "ana")
    assert one.has_shown(message(4)) and not one.has_shown(message(5, at=1 << 33))
    one.take(lambda: at(5), FakeTerminal())
    one.close()
    assert left(tmp_path) == 5


def test_all_that_is_remembered_can_be_forgotten() -> None:
    """And that is said, also where there was nothing."""
    folder = state_folder()
    assert folder is not None
    address = "forgotten:1"
    assert "Nothing was remembered" in forget_all(address, None)
    leave_off(folder, 5, address=address)
    one = Memory(address, "ana", folder, is_person=True)
    one.lines.add("a")
    one.close()
    assert "are forgotten" in forget_all(address, "ana")
    assert "Nothing was remembered" in forget_all(address, None)
    assert Memory(address, "ana", folder, is_person=True).lines.earlier == []
