"""The bounded queue, and the seam between the log and what is live."""

from __future__ import annotations

import asyncio
import random

import pytest
from places import ManyPlaces
from rooms import Chat, FakeLog, Message, Reader, bounded, come_true, quiet

import chat_pb2
from chat.protocol.limits import MAX_BATCH_BYTES
from chat.protocol.metadata import JoinRequest
from chat.server import budget, rate_limit, replay, send_queue
from chat.server.budget import Budget
from chat.server.rate_limit import Rate, RateLimits
from chat.server.replay import PageSize

# Joining with history, and coming back.


async def chat_with(count: int, room: str = "", text: str = "") -> Chat:
    """Return a chat in which somebody has said 1, 2, 3, … (or `text`), and left."""
    chat = await Chat().start()
    writer = await chat.join("writer", room=room)
    for number in range(1, count + 1):
        await writer.say(text or str(number))
    await quiet()
    writer.leave()
    return chat


@pytest.mark.parametrize(
    ("history", "expected"), [(0, 0), (1, 1), (20, 20), (30, 25), (5000, 25), (-1, 0)]
)
async def test_newcomer_gets_the_last_messages_first(history: int, expected: int) -> None:
    """As many as it asks for, read at once, and then what is said now."""
    chat = await chat_with(25)
    reads = chat.log.reads
    ana = await chat.join("ana", history=history)
    await ana.hears(expected)
    assert chat.log.reads == reads + 1
    await ana.say("now")
    await ana.hears(expected + 1)
    assert ana.ids == list(range(26 - expected, 27))


async def test_history_is_at_most_a_thousand() -> None:
    """Whatever is asked for."""
    chat = await chat_with(1100)
    ana = await chat.join("ana", history=10_000)
    await ana.hears(1000)
    assert ana.ids == list(range(101, 1101))


async def test_history_is_that_of_the_room() -> None:
    """Not of the others."""
    chat = await chat_with(3, room="sala")
    ana = await chat.join("ana", room="SALA")
    bia = await chat.join("bia")
    plain = await chat.join()
    await ana.hears(3)
    await bia.hears(0)
    await plain.hears(0)


async def test_plain_newcomer_gets_no_history() -> None:
    """From the moment at which it comes, and nothing is read for it."""
    chat = await chat_with(3)
    reads = chat.log.reads
    plain = await chat.join()
    await plain.say("now", user="p")
    await plain.hears(1)
    assert chat.log.reads == reads


@pytest.mark.parametrize("after", [0, 1, 499, 500, 501, 1200])
async def test_returning_client_gets_all_that_came_after(after: int) -> None:
    """In pages, without limit."""
    chat = await chat_with(1200)
    ana = await chat.join("ana", after=after)
    await ana.hears(1200 - after)
    assert ana.ids == list(range(after + 1, 1201))
    assert ana.events == []


async def test_gap_in_the_log_is_told_first() -> None:
    """Where the log no longer reaches back, a NOTICE comes before what is left."""
    chat = await chat_with(10)
    chat.log.trim("", 5)
    ana = await chat.join("ana", after=3)
    await ana.hears(6)
    assert ana.messages[0].kind == chat_pb2.KIND_NOTICE
    assert ana.events == [("NOTICE", "HISTORY_GONE")]
    assert ana.ids == [6, 7, 8, 9, 10]
    bia = await chat.join("bia", after=5)
    await bia.hears(5)  # nothing is missing


async def test_id_beyond_the_log_is_told_and_history_comes_instead() -> None:
    """The log was put back: ids seen earlier mean nothing."""
    chat = await chat_with(10)
    ana = await chat.join("ana", after=1000, history=2)
    await ana.hears(3)
    assert ana.events == [("NOTICE", "LOG_REWOUND")]
    assert ana.messages[0].kind == chat_pb2.KIND_NOTICE
    assert ana.ids == [9, 10]


# The seam.


async def test_slow_reader_gets_everything_later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its queue stays bounded, the rest comes from the log, and then it is live again."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 10)
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 7)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    slow = [
        Reader(chat, await chat.hub.join(request), is_reading=False)
        for request in (
            JoinRequest(),
            JoinRequest(user="bia", history=0),
            JoinRequest(user="carla", history=0, wants_batches=True),
        )
    ]
    for number in range(100):
        await ana.say(str(number))
        await quiet()
        assert all(reader.member.queue.queued_messages <= 10 for reader in slow)
    reads = chat.log.reads
    for reader in slow:
        reader.read()
    await quiet()
    assert chat.log.reads > reads
    reads = chat.log.reads
    await ana.say("live")
    await quiet()
    assert chat.log.reads == reads
    for reader in slow:
        assert reader.texts == [*map(str, range(100)), "live"]


async def test_queue_is_bounded_in_bytes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few long messages fill it as well as many short ones."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_BYTES", 50_000)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    slow = await chat.join_asleep()
    for _ in range(20):
        await ana.say("x" * 8000)
        await quiet()
        assert slow.member.queue.queued_bytes <= 50_000
    slow.read()
    await slow.hears(20)


async def test_pages_grow_with_a_reader_who_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """From a batch to the largest page; each is lent for only as long as it is written."""
    chat = await chat_with(600, text="x" * 4000)
    ana = await chat.join_asleep("ana", after=0)
    chat.log.asked_bytes.clear()
    ana.read()
    await ana.hears(600)
    assert chat.log.asked_bytes[:5] == [kib << 10 for kib in (32, 64, 128, 256, 256)]
    assert ana.ids == list(range(1, 601))


async def test_page_of_a_reader_who_takes_nothing_is_a_batch() -> None:
    """However many of them there are; it is small again after a write that took long."""
    chat = await chat_with(200, text="x" * 4000)
    ana = await chat.join_asleep("ana", after=0)
    sizes = []
    for pause in (0, 0, 0, replay.QUICK_SECONDS, 0, 0):
        frames = await bounded(ana.next_frames())
        sizes.append(sum(map(len, frames)))
        ana.member.queue.mark_written()
        await asyncio.sleep(pause)
    assert [round(size / 2**15 + 0.4) for size in sizes] == [1, 2, 4, 8, 1, 2]


async def test_pages_of_all_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where much is lent, the others' pages are small; a stream that ends gives back its own."""
    monkeypatch.setattr(budget, "MAX_PAGES_BYTES", 32 << 10)
    chat = await chat_with(60, text="x" * 4000)
    ana, bia = [await chat.join_asleep(name, after=0) for name in ("ana", "bia")]
    ana.member.queue.take()  # that bia has come
    for reader in (ana, bia, ana, bia):
        await bounded(reader.next_frames())
        reader.member.queue.mark_written()
    assert [size >> 10 for size in chat.log.asked_bytes[-4:]] == [32, 32, 64, 32]
    ana.leave()
    bia.member.queue.take()  # that ana has left
    await bounded(bia.next_frames())
    assert chat.log.asked_bytes[-1] == 64 << 10


async def test_stream_that_has_ended_borrows_nothing() -> None:
    """Its writer may still hand out what is owed."""
    lender = Budget(32 << 20)
    size = PageSize(lender)
    size.begin()
    size.end()
    size.begin()  # of a page that brought nothing, which nobody writes
    assert size.begin() == 64 << 10 and lender.lent_bytes == 32 << 10
    size.close()
    assert lender.lent_bytes == 0
    size.end()
    assert size.begin() == 32 << 10 and lender.lent_bytes == 0


async def test_parts_of_a_history_are_batches() -> None:
    """With the longest key and room, none is longer than a batch that is written."""
    room = "\U0001d538".join("b" * 16)
    chat = await chat_with(40, room=room, text="x" * 4000)
    ana = await chat.join("ana", room=room, history=0)
    key = "\U0001f600" * 256
    wish = Message(kind=chat_pb2.KIND_HISTORY, message="40", room=room, key=key)
    await ana.post(wish)
    await quiet()
    parts = [len(frame) for frame in ana.frames]
    assert max(parts) <= MAX_BATCH_BYTES and len(parts) == 7


async def test_page_waits_where_an_address_reads_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said meanwhile does not; and it all comes, in order."""
    monkeypatch.setattr(rate_limit, "READING", Rate(1e6, 10_000.0))
    chat = Chat(limits=RateLimits(0))
    await chat.start()
    writer = await chat.join("writer", room="old")
    for _ in range(40):
        await writer.say("x" * 4000)
    await writer.hears(40)
    request = JoinRequest(user="ana", room="old", history=0)
    ana = Reader(chat, await chat.hub.join(request, "192.0.2.7"))
    await quiet()
    await ana.post(Message(kind=chat_pb2.KIND_HISTORY, message="40", room="old", key="k"))
    await writer.say("now")
    await quiet()
    assert ana.ids[0] == 1 and ana.ids[-1] == 41 and len(ana.ids) < 20
    await come_true(lambda: ana.messages[-1].kind == chat_pb2.KIND_HISTORY)
    assert [number for number in ana.ids if number != 41] == list(range(1, 41))


async def test_presence_does_not_fill_the_memory_for_a_slow_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Events that do not fit are dropped: they are worth nothing later."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 10)
    chat = await Chat().start()
    slow = await chat.join_asleep("bia")
    for number in range(50):
        reader = await chat.join(f"p{number}")
        reader.leave()
    assert slow.member.queue.queued_messages == 10
    (ana,) = await chat.full("ana")
    await ana.say("oi")
    slow.read()
    await quiet()
    assert slow.texts == ["oi"]


@pytest.mark.parametrize("seed", range(60))
async def test_seam_has_no_gap_no_double_and_one_order(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the order of commits, deliveries, reads, joins and stops, each reader hears all.

    Tiny queues and pages make the seam come often; `seed` fixes the order.
    """
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 4)
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 3)
    await Interleaving(random.Random(seed)).run()


class Interleaving:
    """Random steps of everybody, and the check of what each reader heard."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.log = FakeLog(is_automatic=False)
        self.chat = Chat(self.log)
        self.spoken = 0
        # Each reader, and the id after which it has to hear everything; None: from where it is.
        self.readers: list[tuple[Reader, int | None]] = []

    async def run(self) -> None:
        await self.chat.start()
        self.writers = await self.chat.full("ana", "bia")
        self.other = await self.chat.join("carla", room="sala")
        for _ in range(300):
            await self.step()
        self.log.commit_and_deliver()
        for reader, _start in self.readers:
            if reader.task is None:
                reader.read()
        stop = asyncio.get_running_loop().create_task(self.chat.hub.stop())
        for reader, start in self.readers:
            await reader.ends()
            self.check(reader, start)
        await stop

    async def step(self) -> None:
        """Do one thing that may happen next."""
        self.log.read_turns = self.dice.randrange(4)
        action = self.dice.choices(
            [self.say, self.commit, self.deliver, self.turn, self.join, self.toggle],
            [6, 3, 3, 6, 0.4, 0.6],
        )[0]
        await action()

    async def say(self) -> None:
        self.spoken += 1
        writer = self.dice.choice([*self.writers, self.other])
        key = f"{self.spoken}" if self.dice.random() < 0.8 else f"{self.spoken - 1}"
        await writer.say(f"{self.spoken}", key=key)

    async def commit(self) -> None:
        self.log.commit()

    async def deliver(self) -> None:
        self.log.deliver_next()

    async def turn(self) -> None:
        await asyncio.sleep(0)

    async def join(self) -> None:
        """Join as one of the sorts of clients; some do not read for a while."""
        known = self.dice.randrange(len(self.log.rows) + 1)
        request, start = self.dice.choice(
            [
                (JoinRequest(), None),
                (JoinRequest(user=f"r{len(self.readers)}", after=known), known),
                (JoinRequest(user=f"r{len(self.readers)}", after=known, wants_batches=True), known),
            ]
        )
        member = await self.chat.hub.join(request)
        if start is None:
            start = next(iter(member.rooms.values())).seen_id
        reader = Reader(self.chat, member, is_reading=self.dice.random() < 0.5)
        self.readers.append((reader, start))

    async def toggle(self) -> None:
        """Let somebody begin to read."""
        sleeping = [reader for reader, _start in self.readers if reader.task is None]
        if sleeping:
            self.dice.choice(sleeping).read()

    def check(self, reader: Reader, start: int | None) -> None:
        """What a reader heard is the log after its beginning, once and in order."""
        assert start is not None
        expected = [m.message for place, m in self.log.rows if place == "" and m.id > start]
        assert reader.texts == expected
        assert reader.member.error is not None
        assert reader.member.error.reason == "SHUTTING_DOWN"


async def test_closing_member_behind_the_others_gets_only_what_it_is_owed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is said after it closed does not keep a slow reader for ever."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 4)
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 5)
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    slow = await chat.join_asleep()
    for number in range(12):
        await ana.say(str(number))
        await quiet()
    slow.member.close()
    for number in range(100):
        await ana.say(f"later {number}")
    await quiet()
    slow.read()
    assert await slow.ends() is None
    assert slow.texts[:12] == [str(number) for number in range(12)]
    assert len(slow.texts) <= 15  # the rest of the last page


@pytest.mark.parametrize("seed", range(60))
async def test_seams_of_many_places_have_no_gap_no_double_and_one_order_each(
    seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rooms and inboxes through one tiny queue, entered, left and lost at any moment."""
    monkeypatch.setattr(send_queue, "MAX_QUEUED_MESSAGES", 4)
    monkeypatch.setattr(replay, "PAGE_MESSAGES", 3)
    await ManyPlaces(random.Random(seed)).run()
