"""What is known of a bucket's keys, also of one that was put back."""

from __future__ import annotations

from chat.server.cluster.known_keys import KnownKeys


def test_what_is_not_brought_anew_is_forgotten_once_all_has_come() -> None:
    """And not before; each change is told once."""
    known: KnownKeys[str] = KnownKeys()
    told: list[object] = []
    known.on_change = lambda old, new: told.append((old, new))
    known.on_complete = lambda: told.append("complete")
    known.begin()
    known.take("a", "one", 7, pending=1)
    known.take("b", "two", 8, pending=0)
    known.take("b", None, 9, pending=0)
    assert told == [(None, "one"), (None, "two"), "complete", ("two", None)]
    told.clear()
    known.begin()
    known.take("c", "three", 2, pending=1)
    assert known.is_reading and known.values == {"a": "one", "c": "three"}
    known.take("d", None, 3, pending=0)
    assert not known.is_reading
    assert (known.values, known.revisions) == ({"c": "three"}, {"c": 2})
    assert told == [(None, "three"), (None, None), ("one", None), "complete"]


def test_bucket_that_is_empty_now_holds_nothing() -> None:
    """Of which nothing comes but that all has come."""
    known: KnownKeys[str] = KnownKeys()
    known.take("a", "one", 1, pending=0)
    known.begin()
    known.complete()
    known.complete()
    assert not known.values and not known.revisions and not known.is_reading
