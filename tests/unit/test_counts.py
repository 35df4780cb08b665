"""How many messages a wish is for."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from chat.protocol.counts import count_in, counts_in
from chat.protocol.errors import ChatError

NO_NUMBERS = ["", "-1", "+5", " 5", "5 ", "1.0", "5,5", "x", "\u0663", "0x5", "1_0", "9" * 21]


def refusal_of(call: Callable[[], object]) -> str:
    """Return why a call is refused."""
    with pytest.raises(ChatError) as refusal:
        call()
    return refusal.value.reason


@pytest.mark.parametrize(
    ("text", "count"),
    [("0", 0), ("007", 7), ("1000", 1000), ("1001", 1000), ("5000", 1000), ("9" * 20, 1000)],
)
def test_number_is_cut_down_to_a_thousand(text: str, count: int) -> None:
    """However large it is: clients ask for more than there may be."""
    assert count_in(text) == count


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_what_is_no_number_is_refused(text: str) -> None:
    """In either place of a wish."""
    for wish in (text, f"{text}+5", f"5+{text}"):
        assert refusal_of(partial(counts_in, wish, 7)) == "REQUEST_INVALID"
    assert refusal_of(lambda: count_in(text)) == "REQUEST_INVALID"


@pytest.mark.parametrize(
    ("text", "counts"),
    [("5", (5, 0)), ("1001", (1000, 0)), ("10+3", (10, 3)), ("0+3", (0, 3)), ("3+2000", (3, 1000))],
)
def test_history_is_before_an_id_and_from_it_on(text: str, counts: tuple[int, int]) -> None:
    """Either may be none."""
    assert counts_in(text, 7) == counts


@pytest.mark.parametrize(("text", "message_id"), [("0", 7), ("0+0", 7), ("5+5", 0), ("5+5+5", 7)])
def test_history_of_nothing_or_around_nothing_is_refused(text: str, message_id: int) -> None:
    """It could have no answer."""
    assert refusal_of(lambda: counts_in(text, message_id)) == "REQUEST_INVALID"
