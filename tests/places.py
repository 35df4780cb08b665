"""Many rooms and inboxes through one tiny queue: random steps, and the check of what was heard."""

from __future__ import annotations

import asyncio
import random

from rooms import Chat, FakeLog, Message, Reader, quiet

import chat_pb2


class ManyPlaces:
    """Three people who speak, and readers in several rooms with an inbox each.

    What a reader of a place must have heard in all its streams together is the log of that place,
    from where it began: each stream goes on where the one before had come.
    """

    ROOMS = ("", "sala", "cozinha")

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.log = FakeLog(is_automatic=False)
        self.chat = Chat(self.log)
        self.spoken = 0
        self.readers: dict[str, Reader] = {}
        # By reader and place ("inbox" is one): what was heard, and the last id of it.
        self.heard: dict[tuple[str, str], list[str]] = {}
        self.cursor: dict[tuple[str, str], int] = {}
        self.leaving: set[tuple[str, str]] = set()  # whose EXITED has not been answered yet

    async def run(self) -> None:
        await self.chat.start()
        self.speakers = [
            await self.chat.join(name, room=room, history=0)
            for name, room in zip("abc", self.ROOMS, strict=True)
        ]
        for number in range(3):
            await self.come(f"r{number}")
        for _ in range(400):
            await self.step()
        for name in list(self.readers):
            await self.end_politely(name)
        self.log.commit_and_deliver()
        self.check()

    async def step(self) -> None:
        """Do one thing that may happen next."""
        self.log.read_turns = self.dice.randrange(4)
        name = self.dice.choice(list(self.readers))
        actions = [self.say, self.say_privately, self.commit, self.turn]
        if self.dice.random() < 0.06:
            await self.dice.choice([self.lose, self.enter, self.exit])(name)
        else:
            await self.dice.choices(actions, [5, 3, 6, 6])[0]()

    async def say(self) -> None:
        self.spoken += 1
        await self.dice.choice(self.speakers).say(f"{self.spoken}", key=f"{self.spoken}")

    async def say_privately(self) -> None:
        self.spoken += 1
        to = self.dice.choice(list(self.readers))
        await self.dice.choice(self.speakers).say(f"{self.spoken}", key=f"{self.spoken}", to=to)

    async def commit(self) -> None:
        self.log.commit()
        self.log.deliver_next()

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def come(self, name: str) -> None:
        """Begin a stream, in the common room, and enter the rooms where it has been."""
        session = name.encode().hex().ljust(32, "0")
        inbox = self.cursor.setdefault((name, "inbox"), 0)
        after = self.cursor.setdefault((name, ""), 0)
        reader = await self.chat.join_asleep(name, session=session, inbox=inbox, after=after)
        self.readers[name] = reader
        for room in self.ROOMS[1:]:
            if (name, room) in self.cursor:
                await self.enter_at(reader, room, self.cursor[name, room])
        reader.read()

    async def enter_at(self, reader: Reader, room: str, after: int) -> None:
        kind = chat_pb2.KIND_ENTERED
        await reader.post(Message(kind=kind, room=room, id=after, key="e"))

    async def enter(self, name: str) -> None:
        self.take(name, self.readers[name])
        room = self.dice.choice(self.ROOMS[1:])
        if (name, room) not in self.leaving:  # else what is still on its way would come twice
            after = self.cursor.setdefault((name, room), 0)
            await self.enter_at(self.readers[name], room, after)

    async def exit(self, name: str) -> None:
        """Leave a room; what was not heard by then is not missed: it comes with the next entry."""
        reader = self.readers[name]
        rooms = [room for room in reader.member.rooms if room]
        if rooms:
            room = self.dice.choice(rooms)
            self.leaving.add((name, room))
            await reader.post(Message(kind=chat_pb2.KIND_EXITED, room=room))

    async def lose(self, name: str) -> None:
        """Lose the connection, and come back where what was heard ends."""
        reader = self.readers[name]
        assert reader.task is not None
        reader.task.cancel()
        self.take(name, reader)
        self.leaving = {place for place in self.leaving if place[0] != name}
        reader.leave(is_lost=self.dice.random() < 0.7)
        await self.come(name)

    async def end_politely(self, name: str) -> None:
        """Enter every room where it has been once more, and hear all that is owed."""
        reader = self.readers[name]
        await quiet()
        for room in self.ROOMS[1:]:
            if (name, room) in self.cursor and room not in reader.member.rooms:
                self.take(name, reader)
                await self.enter_at(reader, room, self.cursor[name, room])
        self.log.commit_and_deliver()
        await quiet()
        reader.member.close()
        await reader.ends()
        self.take(name, reader)

    def take(self, name: str, reader: Reader) -> None:
        """Note what was heard, each place by itself; an id that was heard before is a double."""
        for message in reader.messages:
            if message.kind == chat_pb2.KIND_EXITED:
                self.leaving.discard((name, message.room))
            if message.kind != chat_pb2.KIND_UNSPECIFIED:
                continue
            place = (name, "inbox" if message.to else message.room)
            assert message.id > self.cursor[place], (place, message)
            self.cursor[place] = message.id
            self.heard.setdefault(place, []).append(message.message)
        reader.messages.clear()

    def check(self) -> None:
        for name, room in self.cursor:
            key = self.readers[name].member.person
            assert key is not None
            place = key.identity if room == "inbox" else room
            expected = [m.message for where, m in self.log.rows if where == place]
            assert self.heard.get((name, room), []) == expected, (name, room)
