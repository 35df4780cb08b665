"""What is said on its way into a stream: one group at a time, until it is back. Without NATS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from rooms import come_true, quiet

import chat_pb2
from chat.server.log import publisher
from chat.server.log.base import Entry
from chat.server.log.groups import MAX_BYTES, MAX_ENTRIES, GroupBuilder, OwnGroup, StreamGroup
from chat.server.log.publisher import Publisher


class Stream:
    """A stream that stores what it is told to, and a publisher into it."""

    def __init__(self) -> None:
        self.published: list[OwnGroup] = []
        self.given_back: list[Entry] = []
        self.failures: list[BaseException] = []
        self.is_there = True
        self.publisher = Publisher(
            self._publish, lambda: self.is_there, self.given_back.extend, self.failures.append
        )
        self.publisher.start()

    async def _publish(self, group: OwnGroup) -> None:
        self.published.append(group)

    def say(self, text: str, key: str = "", sender: str = "ana") -> Entry:
        """Append a message."""
        entry = Entry("", sender, chat_pb2.Message(user=sender, message=text, key=key))
        self.publisher.append(entry)
        return entry

    def store(self, number: int) -> OwnGroup | None:
        """Let a group of this publisher's come out of the stream."""
        instance = self.publisher.instance
        own = self.publisher.take_back(StreamGroup(1, 0, instance, number, b""))
        if own is not None:
            self.publisher.note_delivered(own.entries)
        return own

    def texts(self) -> list[list[str]]:
        """Return what was published, group by group."""
        return [[entry.message.message for entry in group.entries] for group in self.published]


@pytest.fixture
async def stream() -> AsyncIterator[Stream]:
    """A stream that is there."""
    one = Stream()
    yield one
    await one.publisher.close()
    assert one.failures == []


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let what takes seconds take less."""
    monkeypatch.setattr(publisher, "AGAIN_SECONDS", 0.02)
    monkeypatch.setattr(publisher, "LOOK_SECONDS", 0.01)
    monkeypatch.setattr(publisher, "MAX_AGE_SECONDS", 0.1)
    monkeypatch.setattr(publisher, "NOTE_SECONDS", 0.01)


async def test_news_of_an_earlier_group_sends_no_later_one_twice(stream: Stream) -> None:
    """Nothing is under way when it comes: it is about what is stored already."""
    stream.say("one")
    await come_true(lambda: len(stream.published) == 1)
    stream.store(1)
    await quiet()
    stream.publisher.publish_again()
    assert not stream.publisher.has_sent
    stream.say("two")
    await come_true(lambda: len(stream.published) == 2)
    await quiet()
    assert stream.texts() == [["one"], ["two"]] and stream.publisher.has_sent


async def test_next_group_waits_for_the_one_that_is_under_way(stream: Stream) -> None:
    """What comes meanwhile is the next one, in its order."""
    stream.say("one")
    await come_true(lambda: len(stream.published) == 1)
    stream.say("two")
    stream.say("three")
    await quiet()
    assert stream.texts() == [["one"]]
    stream.store(1)
    await come_true(lambda: len(stream.published) == 2)
    assert stream.texts() == [["one"], ["two", "three"]]
    assert [group.number for group in stream.published] == [1, 2]


async def test_group_is_published_again_until_it_is_back(stream: Stream, quick: None) -> None:
    """The same under the same number; one that is not this publisher's is none of it."""
    stream.say("one")
    await come_true(lambda: len(stream.published) >= 3)
    assert len({id(group) for group in stream.published}) == 1
    assert stream.publisher.take_back(StreamGroup(1, 0, "another", 1, b"")) is None
    assert stream.store(1) is stream.published[0]
    assert stream.store(1) is None  # it was stored twice


async def test_nothing_is_published_while_nothing_would_come_back(
    stream: Stream, quick: None
) -> None:
    """nats-py would keep it, and send it when nobody waits for it any more."""
    stream.is_there = False
    entry = stream.say("one")
    await come_true(lambda: stream.given_back == [entry])
    assert stream.published == []


async def test_what_may_be_stored_is_never_given_back(stream: Stream, quick: None) -> None:
    """However long it takes; what was never sent is, after a while."""
    unknown = stream.say("one")
    await come_true(lambda: len(stream.published) == 1)
    stream.is_there = False
    never = stream.say("two")
    await come_true(lambda: stream.given_back == [never])
    stream.is_there = True
    await come_true(lambda: len(stream.published) > 1)
    assert stream.store(1) is not None and not unknown.is_lost


async def test_key_that_is_under_way_is_joined(stream: Stream) -> None:
    """It is not queued twice, and shares what becomes of the first; another's key does not."""
    first, again = stream.say("one", "k"), stream.say("changed", "k")
    other = stream.say("two", "k", "bia")
    await come_true(lambda: len(stream.published) == 1)
    assert stream.texts() == [["one", "two"]]
    own = stream.publisher.take_back(StreamGroup(1, 0, stream.publisher.instance, 1, b""))
    assert own is not None and own.entries == [first, other]
    assert stream.publisher.note_delivered(own.entries) == [again]
    assert again.is_repeated and again.message is first.message
    assert again.said.message == "changed"
    await asyncio.wait_for(stream.publisher.flush(), 5)


async def test_group_is_bounded_in_messages_and_in_bytes(stream: Stream) -> None:
    """What does not fit is in the next one; one that is larger than all goes alone."""
    for _number in range(MAX_ENTRIES + 1):
        stream.say("x")
    for size in (MAX_BYTES // 2, MAX_BYTES // 2, 2 * MAX_BYTES):
        stream.say("x" * size)
    for number in range(1, 5):
        await come_true(lambda n=number: len(stream.published) == n)  # type: ignore[misc]
        stream.store(number)
    assert [len(group.entries) for group in stream.published] == [MAX_ENTRIES, 2, 1, 1]


async def test_records_go_with_messages_or_alone(stream: Stream, quick: None) -> None:
    """The last of each key, once."""
    stream.publisher.keep("owner", "a", "1")
    stream.publisher.keep("owner", "a", None)
    stream.publisher.keep("owner", "b", "2")
    assert stream.publisher.has_newer("owner", "a")
    await come_true(lambda: len(stream.published) == 1)
    assert stream.published[0].notes == {("owner", "a"): None, ("owner", "b"): "2"}
    group = StreamGroup(1, 0, "somebody", 1, stream.published[0].content)
    assert group.decode() == ([], stream.published[0].notes)
    stream.store(1)
    assert not stream.publisher.has_newer("owner", "a")
    await asyncio.wait_for(stream.publisher.flush(), 5)


async def test_flush_waits_until_it_is_given_up(stream: Stream) -> None:
    """What is open stays so."""
    entry = stream.say("one")
    flushing = asyncio.ensure_future(stream.publisher.flush())
    await quiet()
    assert not flushing.done()
    stream.publisher.give_up()
    await asyncio.wait_for(flushing, 5)
    assert not entry.is_lost and stream.given_back == []


async def test_who_appends_waits_while_much_is_open(
    stream: Stream, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until something has been delivered."""
    monkeypatch.setattr(publisher, "MAX_WAITING", 2)
    stream.say("one")
    await asyncio.wait_for(stream.publisher.wait_for_space(), 5)
    stream.say("two")
    waiting = asyncio.ensure_future(stream.publisher.wait_for_space())
    await come_true(lambda: len(stream.published) == 1)
    assert not waiting.done()
    stream.store(1)
    await asyncio.wait_for(waiting, 5)


def test_what_a_group_holds_is_what_comes_out_of_it() -> None:
    """At another server, with all that a message has."""

    said = chat_pb2.Message(user="Ana", message="oi", key="k", to="Bia", sealed=b"\xff")
    builder = GroupBuilder()
    assert builder.add(Entry("room", "sender", said))
    assert builder.add_notes({("kind", "key"): "text"}) == {}
    entries, notes = StreamGroup(1, 0, "somebody", 1, builder.content()).decode()
    assert [(one.room, one.sender, one.message, one.origin) for one in entries] == [
        ("room", "sender", said, None)
    ]
    assert notes == {("kind", "key"): "text"}
