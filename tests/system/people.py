"""People who talk, for the ledgers of rooms: a program that can be stopped and continued.

    python tests/system/people.py ADDRESS[,ADDRESS…] TALKERS PAUSE_SECONDS NAME…

Each of them enters and leaves rooms and takes other names, at random; the first so many say things
in rooms and write privately too, with pauses up to so long. Where there are several servers, each
is at one of them, and goes on at another. A line on standard input:

    news      answered by the same word when every talker has been confirmed something new
    enough    everybody enters all rooms once more; answered by the same word when all is confirmed
              that they have said
    report    for when all programs have said that: everybody hears what is left; then comes, as
              JSON, what each one said, was told and heard, and where each one was

"ready" is written when everybody is in.
"""

from __future__ import annotations

import json
import random
import sys
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from chat.client import Change, ChatError, Session, State
from chat_pb2 import KIND_ENTERED, KIND_NOTICE, KIND_UNSPECIFIED, Message

ROOMS = ("", "sala", "cozinha", "varanda", "porão")
SETTLE_SECONDS = 60.0
# Between two of the acts of those who do not talk, all of them together.
STROLL_SECONDS = 1.0
# So long nothing must have come for all to be there.
QUIET_SECONDS = 1.5
FAREWELL_SECONDS = 20.0
LEAVING_TOGETHER = 32
# How often they say, tell, enter, leave and rename.
TALKING = (10, 4, 1, 1, 0.5)
STROLLING = (0, 0, 2, 2, 1)


class Person:
    """One person's session, with a thread that hears. `home`: the room where it begins.

    `stays`: each server that was lost as its address, when the session came there and when it lost
    it, in monotonic seconds, which are those of all programs on the machine.
    """

    def __init__(self, address: str, name: str, home: str) -> None:
        self.base = name
        self.sent: dict[str, tuple[str, str]] = {}  # key: where it was meant for, text
        self.acknowledged: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.heard: dict[str, list[tuple[int, str]]] = {}
        self.starts: dict[str, int] = {}  # the id after which a room was first heard
        self.heard_at = time.monotonic()
        self.stays: list[tuple[str, float, float]] = []
        self.error = ""
        self.is_in = threading.Event()
        self._came_at: float | None = None
        self._number = 0
        self.session = Session(
            address,
            name,
            rooms=(home,),
            history=0,
            retry_first_connect=True,
            on_state=lambda state: self._note(state),
        )
        self._thread = threading.Thread(target=self._hear, name=name)

    def start(self) -> None:
        self._thread.start()

    def leave(self) -> None:
        """End the session as a person does."""
        self.session.close(FAREWELL_SECONDS)
        self._thread.join()

    def _note(self, state: State) -> None:
        if state.change is Change.CONNECTED:
            self.starts.update(self.session.place.rooms)
            self.is_in.set()
        if state.change in (Change.CONNECTED, Change.RESUMED):
            self._came_at = time.monotonic()
        elif state.change is Change.LOST:
            if self._came_at is not None:  # else it was another attempt that failed
                self.stays.append((state.address, self._came_at, time.monotonic()))
            self._came_at = None
        elif state.change in (Change.NAME_TAKEN, Change.PASSED_OVER, Change.NEW_LOG):
            self.error = state.change.name

    def _hear(self) -> None:
        try:
            for message in self.session:
                self.heard_at = time.monotonic()
                self._take(message)
        except ChatError as error:
            self.error = error.reason
        finally:
            self.is_in.set()

    def _take(self, message: Message) -> None:
        if message.kind == KIND_NOTICE:
            self.refused.append((message.key, message.user))
        elif message.kind == KIND_ENTERED:
            self.starts.setdefault(message.room, message.id)
        elif message.kind == KIND_UNSPECIFIED:
            if message.key in self.sent:
                self.acknowledged.append(message.key)
            if message.id:
                place = "inbox" if message.to else message.room
                self.heard.setdefault(place, []).append((message.id, message.message))

    def act(self, chance: random.Random, weights: Sequence[float]) -> None:
        """Do one thing: say, tell, enter, leave or rename, as often as the weights have it."""
        acts = (self._say, self._tell, self._enter, self._leave, self._rename)
        (act,) = chance.choices(acts, weights)
        self._number += 1
        try:
            act(chance)
        except ChatError as error:
            if error.reason not in ("NOT_IN_ROOM", "LAST_ROOM"):
                self.error = self.error or error.reason

    def _say(self, chance: random.Random) -> None:
        room = chance.choice(self.session.rooms)
        self._send(f"{self.base}|{room}|{self._number}", room, "")

    def _tell(self, chance: random.Random) -> None:
        to = chance.choice(PEOPLE).session.name
        self._send(f"{self.base}|@{to}|{self._number}", "", to)

    def _enter(self, chance: random.Random) -> None:
        self._wish(chance.choice(ROOMS), self.session.enter)

    def _leave(self, chance: random.Random) -> None:
        self._wish(chance.choice(self.session.rooms), self.session.leave)

    def _rename(self, chance: random.Random) -> None:
        self.session.rename(f"{self.base}{chance.randrange(3)}")

    def _wish(self, room: str, wish: Callable[[str], str]) -> None:
        """Enter or leave, unless the last wish for that room is still under way.

        Where the next entry is to begin is known only when the last one has been answered.
        """
        if not any(m.room == room and m.kind != KIND_UNSPECIFIED for m in self.session.pending):
            wish(room)

    def _send(self, text: str, room: str, to: str) -> None:
        key = text  # its own for each message; noted before the echo can come
        self.sent[key] = (f"@{to}" if to else room, text)
        try:
            self.session.send(text, None if to else room, to, key)
        except ChatError:
            del self.sent[key]
            raise

    def return_everywhere(self) -> None:
        """Enter every room that was ever entered."""
        try:
            for room in self.starts:
                if room not in [name.casefold() for name in self.session.rooms]:
                    self.session.enter(room)
        except ChatError as error:  # the session has ended, and mostly has said already why
            self.error = self.error or error.reason

    def settle(self, deadline: float) -> None:
        """Have all that was said confirmed, and hear what there is to hear."""
        while time.monotonic() < deadline and not self.error:
            is_quiet = time.monotonic() - self.heard_at > QUIET_SECONDS
            is_here = self._came_at is not None  # where the line is lost it is quiet as well
            if is_quiet and is_here and not self.session.unacknowledged:
                return
            time.sleep(0.05)

    def report(self) -> dict[str, Any]:
        return {
            "name": self.base,
            "id": self.session.id,
            "sent": self.sent,
            "acknowledged": self.acknowledged,
            "refused": self.refused,
            "heard": self.heard,
            "starts": self.starts,
            "pending": [message.message for message in self.session.pending],
            "stays": self.stays,
            "error": self.error,
        }


PEOPLE: list[Person] = []
is_over = threading.Event()


def talk(person: Person, pause_seconds: float) -> None:
    """Do all that people do, until it is over."""
    chance = random.Random()
    while not is_over.is_set() and not person.error:
        person.act(chance, TALKING)
        is_over.wait(chance.uniform(0, pause_seconds))


def stroll(people: Sequence[Person]) -> None:
    """Have people who do not talk go from room to room, one after the other, until it is over."""
    chance = random.Random()
    while people and not is_over.wait(STROLL_SECONDS):
        chance.choice(people).act(chance, STROLLING)


def wait_for_news(talkers: Sequence[Person]) -> None:
    """Return when each talker has been confirmed something new, or cannot be any more."""
    for talker, before in [(talker, len(talker.acknowledged)) for talker in talkers]:
        while len(talker.acknowledged) <= before and not talker.error:
            time.sleep(0.01)


def settle_all() -> None:
    """Have everybody settle, all within one time."""
    deadline = time.monotonic() + SETTLE_SECONDS
    for person in PEOPLE:
        person.settle(deadline)


def main(address: str, talkers: int, pause_seconds: float, names: Sequence[str]) -> None:
    """Have people talk until it is enough, and say what came of it."""
    PEOPLE.extend(
        Person(address, name, ROOMS[number % len(ROOMS)]) for number, name in enumerate(names)
    )
    for person in PEOPLE:
        person.start()
    for person in PEOPLE:
        person.is_in.wait()
    print("ready", flush=True)
    acting = [threading.Thread(target=stroll, args=(PEOPLE[talkers:],), name="stroll")]
    for person in PEOPLE[:talkers]:
        acting.append(threading.Thread(target=talk, args=(person, pause_seconds)))
    for thread in acting:
        thread.start()
    while sys.stdin.readline().strip() == "news":
        wait_for_news(PEOPLE[:talkers])
        print("news", flush=True)
    is_over.set()
    for thread in acting:
        thread.join()
    for person in PEOPLE:
        person.return_everywhere()
    settle_all()
    print("enough", flush=True)
    sys.stdin.readline()
    settle_all()  # once more: what one has confirmed late, in whichever program, others hear late
    with ThreadPoolExecutor(LEAVING_TOGETHER) as pool:
        list(pool.map(Person.leave, PEOPLE))
    print(json.dumps([person.report() for person in PEOPLE]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4:])
