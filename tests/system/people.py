"""People who talk, for `test_rooms_ledger.py`: a program that can be stopped and continued.

    python tests/system/people.py ADDRESS[,ADDRESS…] NAME…

Where there are several servers, they go to them in turns. Each of them says things in rooms, enters
and leaves rooms, takes other names and writes privately, at random, until a line comes on standard
input. Then everybody enters all rooms once more, hears what is left, and the program writes what
each one said, was told and heard, as JSON.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

from chat.client import Change, ChatError, Session, State
from chat_pb2 import KIND_ENTERED, KIND_NOTICE, KIND_UNSPECIFIED, Message

ROOMS = ("", "sala", "cozinha", "varanda", "porão")
PAUSE_SECONDS = (0.0, 0.02)
SETTLE_SECONDS = 90.0
# So long nothing must have come for all to be there.
QUIET_SECONDS = 1.5


class Person:
    """One person's session, with a thread that hears and one that acts."""

    def __init__(self, address: str, name: str, is_over: threading.Event) -> None:
        self.base = name
        self.sent: dict[str, tuple[str, str]] = {}  # key: where it was meant for, text
        self.acknowledged: list[str] = []
        self.refused: list[tuple[str, str]] = []
        self.heard: dict[str, list[tuple[int, str]]] = {}
        self.starts: dict[str, int] = {}  # the id after which a room was first heard
        self.heard_at = time.monotonic()
        self.error = ""
        self._is_over = is_over
        self._is_in = threading.Event()
        self.session = Session(
            address, name, history=0, retry_first_connect=True, on_state=self._note
        )
        self._threads = [
            threading.Thread(target=target, name=name) for target in (self._hear, self._act)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join()

    def _note(self, state: State) -> None:
        if state.change is Change.CONNECTED:
            self.starts[""] = self.session.place.rooms[""]
            self._is_in.set()

    def _hear(self) -> None:
        try:
            for message in self.session:
                self.heard_at = time.monotonic()
                self._take(message)
        except ChatError as error:
            self.error = error.reason
            self._is_in.set()

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

    def _act(self) -> None:
        self._is_in.wait()
        chance = random.Random()
        number = 0
        while not self._is_over.is_set() and not self.error:
            number += 1
            try:
                self._do_something(chance, number)
            except ChatError as error:
                if error.reason not in ("NOT_IN_ROOM", "LAST_ROOM"):
                    self.error = error.reason
            self._is_over.wait(chance.uniform(*PAUSE_SECONDS))

    def _do_something(self, chance: random.Random, number: int) -> None:
        session = self.session
        action = chance.choices(["say", "tell", "enter", "leave", "rename"], [10, 4, 1, 1, 0.5])[0]
        if action == "say":
            room = chance.choice(session.rooms)
            self._send(f"{self.base}|{room}|{number}", room, "")
        elif action == "tell":
            to = chance.choice(PEOPLE).session.name
            self._send(f"{self.base}|@{to}|{number}", "", to)
        elif action == "enter":
            self._wish(chance.choice(ROOMS), session.enter)
        elif action == "leave":
            self._wish(chance.choice(session.rooms), session.leave)
        else:
            session.rename(f"{self.base}{chance.randrange(3)}")

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

    def settle(self) -> None:
        """Be in every room that was ever entered, and hear all that was said there."""
        for room in self.starts:
            if room not in [name.casefold() for name in self.session.rooms]:
                self.session.enter(room)
        deadline = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < deadline and not self.error:
            is_quiet = time.monotonic() - self.heard_at > QUIET_SECONDS
            if is_quiet and not self.session.unacknowledged:
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
            "error": self.error,
        }


PEOPLE: list[Person] = []


def main(addresses: list[str], names: list[str]) -> None:
    is_over = threading.Event()
    places = zip(itertools.cycle(addresses), names, strict=False)
    PEOPLE.extend(Person(address, name, is_over) for address, name in places)
    for person in PEOPLE:
        person.start()
    sys.stdin.readline()
    is_over.set()
    for person in PEOPLE:
        person.settle()
    for person in PEOPLE:
        person.settle()
        person.session.close(5)
        person.join()
    print(json.dumps([person.report() for person in PEOPLE]), flush=True)


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2:])
