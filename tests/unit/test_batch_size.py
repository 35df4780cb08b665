"""How large batches may be: more for who takes them soon, and together no more than there is."""

from __future__ import annotations

from chat.protocol.limits import MAX_BATCH_BYTES, MAX_QUICK_BATCH_BYTES
from chat.server.batch_size import LARGE_BYTES, SOON_SECONDS, STEP_BYTES, BatchSize
from chat.server.budget import Budget


def test_size_grows_by_steps_and_begins_anew() -> None:
    """A large write that was taken soon is a step; a late one ends it."""
    budget = Budget(1 << 20)
    size = BatchSize(budget)
    for _write in range(20):
        size.note_write(size.most_bytes, SOON_SECONDS)
    assert size.most_bytes == MAX_QUICK_BATCH_BYTES
    assert budget.lent_bytes == MAX_QUICK_BATCH_BYTES - MAX_BATCH_BYTES
    size.note_write(1, SOON_SECONDS + 0.1)
    assert size.most_bytes == MAX_BATCH_BYTES and budget.lent_bytes == 0


def test_small_writes_say_nothing() -> None:
    """Of what a larger one would take."""
    size = BatchSize(Budget(1 << 20))
    for _write in range(20):
        size.note_write(LARGE_BYTES, 0.0)
    assert size.most_bytes == MAX_BATCH_BYTES


def test_first_window_proves_nothing() -> None:
    """By the time that the 64 KiB are written that gRPC takes at once, one step has grown."""
    size, written = BatchSize(Budget(1 << 20)), 0
    while written + size.most_bytes <= 64 << 10:
        written += size.most_bytes
        size.note_write(size.most_bytes, 0.0)
    assert size.most_bytes == MAX_BATCH_BYTES + STEP_BYTES


def test_all_together_have_no_more_than_there_is() -> None:
    """Who comes late stays small; who ends gives back, and borrows no more."""
    budget = Budget(STEP_BYTES + 1)
    sizes = [BatchSize(budget) for _client in range(2)]
    for size in sizes * 2:
        size.note_write(size.most_bytes, 0.0)
    assert [size.most_bytes - MAX_BATCH_BYTES for size in sizes] == [STEP_BYTES, 1]
    sizes[0].close()
    sizes[0].note_write(MAX_BATCH_BYTES, 0.0)
    sizes[1].note_write(MAX_BATCH_BYTES, 0.0)
    assert [size.most_bytes - MAX_BATCH_BYTES for size in sizes] == [0, STEP_BYTES + 1]
