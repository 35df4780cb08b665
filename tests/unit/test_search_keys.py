"""What keys do while earlier lines are searched; each as bash does it."""

from __future__ import annotations

import sys

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

pytest.importorskip("prompt_toolkit")

from desk import desk

LINES = ("say one", "say two", "say three")
CTRL_C, CTRL_G, CTRL_J, CTRL_L, CTRL_O = "\x03", "\x07", "\n", "\x0c", "\x0f"
CTRL_R, CTRL_S, CTRL_U, CTRL_X = "\x12", "\x13", "\x15", "\x18"
ESCAPE, ALT_B, UP, DOWN, LEFT, END = "\x1b", "\x1bb", "\x1b[A", "\x1b[B", "\x1b[D", "\x1b[F"


@pytest.mark.parametrize("key", ["\r", CTRL_O])
async def test_found_line_is_sent(key: str) -> None:
    """By Enter and Ctrl-O; the line that was begun before is not."""
    async with desk(*LINES) as ana:
        await ana.press("half", CTRL_R, "TWO", key)
        assert ana.said == ["say two"] and ana.line == "|"


@pytest.mark.parametrize("key", ["\r", CTRL_O])
@pytest.mark.parametrize("wanted", ["", "nobody said it"])
async def test_nothing_is_sent_where_nothing_is_found(wanted: str, key: str) -> None:
    """Neither by accident what was being typed; the second Enter sends that."""
    async with desk(*LINES) as ana:
        await ana.press("half", CTRL_R, wanted + key)
        assert ana.said == [] and ana.line == "half|"
        await ana.press(key)
        assert ana.said == ["half"]


@pytest.mark.parametrize("key", ["\r", ESCAPE, CTRL_J, LEFT])
async def test_what_was_searched_for_before_is_not_found_again_unasked(key: str) -> None:
    """With nothing typed, what is shown is the line that was being typed, and that stays."""
    async with desk(*LINES) as ana:
        await ana.press(CTRL_R, "two", ESCAPE, CTRL_C, "half", CTRL_R, key)
        assert ana.said == [] and ana.line.replace("|", "") == "half"


@pytest.mark.parametrize(
    ("keys", "line"),
    [
        (ESCAPE, "say |two"),
        (CTRL_J, "say |two"),
        (LEFT, "say| two"),
        (END, "say two|"),
        (UP, "say one|"),
        (DOWN, "say three|"),
        (ALT_B, "|say two"),
        (f"{ESCAPE}#", "say |two"),
        (CTRL_L, "say |two"),
        (f"{CTRL_X}{CTRL_X}", "say two|"),
        ("\t", "say |two"),
    ],
)
async def test_key_ends_the_search_and_does_what_it_does(keys: str, line: str) -> None:
    """On the line that was found, where the words stand."""
    async with desk(*LINES) as ana:
        await ana.press("half", CTRL_R, "two", keys)
        assert ana.line == line and ana.said == (["/clear"] if keys == CTRL_L else [])
        await ana.press("X")
        assert ana.line == line.replace("|", "X|")


@pytest.mark.parametrize("key", [CTRL_G, CTRL_C])
async def test_search_that_is_given_up_leaves_the_line(key: str) -> None:
    """As it was, the cursor too, however many lines were looked at."""
    async with desk(*LINES) as ana:
        await ana.press("half a line", ALT_B, CTRL_R, "say", CTRL_R, CTRL_R, key)
        assert ana.line == "half a |line" and ana.said == []


async def test_search_goes_on_with_the_last_words() -> None:
    """Ctrl-R twice, as in readline; the first time there are none."""
    async with desk(*LINES) as ana:
        await ana.press("half", CTRL_R, CTRL_R, CTRL_J)
        assert ana.line == "half|"
        await ana.press(CTRL_R, "one", CTRL_G, CTRL_R, "two", CTRL_J, DOWN, DOWN)
        assert ana.line == "half|"
        await ana.press(CTRL_R, CTRL_R, CTRL_J)
        assert ana.line == "say |two"


async def test_what_is_searched_for_is_edited() -> None:
    """By the keys that edit a line; Ctrl-S goes the other way."""
    async with desk(*LINES) as ana:
        await ana.press(CTRL_R, "one", CTRL_U, "twx", "\x7f", "o", CTRL_J)
        assert ana.line == "say |two"
        await ana.press(CTRL_R, "say", CTRL_R, CTRL_R, CTRL_J)
        assert ana.line == "|say one"
        await ana.press(CTRL_S, "say", CTRL_S, CTRL_J)
        assert ana.line == "|say two"
