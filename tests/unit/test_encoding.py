"""A delivery is encoded once for all; batches are what protobuf would write."""

from __future__ import annotations

from collections import Counter

import pytest
from rooms import Chat, FakeLog, Message, Reader, come_true, quiet

import chat_pb2
from chat.protocol.limits import (
    MAX_BATCH_BYTES,
    MAX_BROKEN_KEY_BYTES,
    MAX_KEY_CHARACTERS,
    MAX_MESSAGE_BYTES,
    MAX_NAME_CHARACTERS,
)
from chat.server import encoding
from chat.server.encoding import Backlog, Delivery


def messages(count: int, text: str = "oi") -> list[Message]:
    made = [Message(user="ana", message=text, id=n + 1, key=str(n)) for n in range(count)]
    for message in made:
        message.sent_at.FromNanoseconds(1_800_000_000_000_000_000 + message.id)
    return made


def test_group_is_cut_into_batches() -> None:
    """In order, each a batch at most; one that is longer by itself alone."""
    backlog = Backlog()
    said = [*messages(3, "x" * 8192), Message(message="y" * MAX_BATCH_BYTES), *messages(700)]
    parts = list(encoding.cut(said, backlog))
    assert [message for part in parts for message in part.messages] == said
    assert [len(part.batch()) for part in parts] == [1] * len(parts)
    assert [len(part.messages) for part in parts[:2]] == [3, 1]
    assert all(part.size_bytes <= MAX_BATCH_BYTES for part in (parts[0], *parts[2:]))
    assert len(parts) == 4 and all(part.is_logged for part in parts)
    assert backlog.held_bytes == sum(part.size_bytes for part in parts)
    parts.clear()
    assert backlog.held_bytes == 0


def test_longest_message_is_far_below_a_batch() -> None:
    """Every field at its longest, as a server sends it."""
    message = Message(message="x" * MAX_MESSAGE_BYTES, key="\U0001f600" * MAX_KEY_CHARACTERS)
    message.user = message.to = message.room = "\U0001f600" * MAX_NAME_CHARACTERS
    message.id, message.kind = (1 << 64) - 1, chat_pb2.KIND_ACTION
    message.sent_at.FromJsonString("9999-12-31T23:59:59.999999999Z")
    (piece,) = Delivery([message]).batch()
    assert len(piece) < MAX_BATCH_BYTES // 3


@pytest.mark.parametrize("size", [1, 100, 127, 128, 8192])
def test_batch_is_the_messages_themselves(size: int) -> None:
    """Bytes joined end to end are what protobuf itself would have written."""
    said = messages(3, "x" * size)
    (piece,) = Delivery(said).batch()
    assert piece == Message(batch=said).SerializeToString()
    assert list(Message.FromString(piece).batch) == said


def test_pieces_stay_below_the_limit_of_a_batch() -> None:
    """Every client takes them, and nothing is lost between two pieces."""
    said = messages(1000, "x" * 8000)
    pieces = Delivery(said).batch()
    assert len(pieces) > 1
    assert all(len(piece) <= MAX_BATCH_BYTES for piece in pieces)
    parsed = [message for piece in pieces for message in Message.FromString(piece).batch]
    assert parsed == said


def test_pieces_are_as_few_as_the_limit_allows() -> None:
    """Each is filled to the byte."""
    half = MAX_BATCH_BYTES // 2
    assert [len(piece) for piece in encoding.join([b"x" * half] * 4)] == [MAX_BATCH_BYTES] * 2
    larger = [b"x" * (MAX_BATCH_BYTES + 1), b"x" * half, b"x" * (half + 1)]
    assert encoding.join(larger) == larger
    assert encoding.join([]) == []


@pytest.mark.parametrize(
    ("size", "key"), [(MAX_BROKEN_KEY_BYTES, "k" * 1024), (MAX_BROKEN_KEY_BYTES + 1, "")]
)
def test_key_of_a_broken_message_is_bounded(size: int, key: str) -> None:
    """A kilobyte; a longer one is none of ours."""
    broken_name = b"\x0a\x01\xff"
    assert encoding.key_of(broken_name + b"\x32" + encoding.varint(size) + b"k" * size) == key


def test_what_comes_after_an_id_is_shared_where_it_can_be() -> None:
    """The very object for whoever has seen nothing of it, a new one only for whoever has."""
    delivery = Delivery(messages(3), is_logged=True)
    assert delivery.after(0) is delivery
    assert [message.id for message in delivery.after(1).messages] == [2, 3]
    assert delivery.after(2).last_id == 3 and delivery.after(2).is_logged
    assert not delivery.after(3).messages
    event = Delivery(messages(1))
    assert event.after(9) is event


async def test_what_waited_comes_in_one_batch() -> None:
    """Whoever asked for batches gets one frame; others get a frame for each message."""
    chat = await Chat().start()
    (ana,) = await chat.full("ana")
    bulk = await chat.join_asleep("b", wants_batches=True)
    single = await chat.join_asleep("s", history=0)
    for number in range(20):
        await ana.say(str(number))
    await quiet()
    bulk.read()
    single.read()
    await quiet()
    # Whoever asked for the history starts by a page of the log; what follows is joined as well.
    assert bulk.texts == single.texts == [str(number) for number in range(20)]
    assert len(bulk.frames) <= 2
    assert (
        len([m for m in single.messages if m.id]) == 20 == len(single.frames) - len(single.events)
    )


async def test_message_is_encoded_once_for_each_sort_of_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """However many readers there are: ten messages, ten encodings in full and ten plain."""
    counts: Counter[str] = Counter()
    count_calls(monkeypatch, "encode", counts)
    count_calls(monkeypatch, "encode_plain", counts)
    log = FakeLog(is_automatic=False)
    chat = await Chat(log).start()
    readers: list[Reader] = []
    for number in range(30):
        readers.append(await chat.join())
        readers.append(await chat.join(f"f{number}"))
        readers.append(await chat.join(f"b{number}", wants_batches=True))
    await come_true(lambda: not any(one.member.queue.queued_messages for one in readers))
    await quiet()
    counts.clear()
    for number in range(10):
        await readers[1].say(str(number))
        log.commit_and_deliver()
        await quiet()
    assert all(len(reader.texts) == 10 for reader in readers)
    assert counts == {"encode": 10, "encode_plain": 10}


def count_calls(monkeypatch: pytest.MonkeyPatch, name: str, counts: Counter[str]) -> None:
    """Count the calls of a function of `encoding.py`."""
    original = getattr(encoding, name)

    def counted(message: Message) -> bytes:
        counts[name] += 1
        encoded: bytes = original(message)
        return encoded

    monkeypatch.setattr(encoding, name, counted)
