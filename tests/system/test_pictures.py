"""The pictures of the guide: each letter at its place in every viewer, and the same each time.

Judged by the SVG itself, without a renderer.
"""

from __future__ import annotations

import re
import sys
from xml.etree import ElementTree

import pytest

if sys.platform == "win32":
    pytest.skip("the pictures are taken in pseudo-terminals", allow_module_level=True)

import pyte
from pictures import (
    FIRST_MINUTE,
    SCRIPTS,
    SHOWN_PORT,
    Stage,
    stage,
    start,
    take_return,
    text_of,
)
from terminal_svg import (
    CELL_WIDTH,
    FOREGROUND,
    MARGIN,
    STRIP_STEP,
    Emulator,
    Frame,
    Shot,
    Window,
    film,
    still,
)

SVG = "{http://www.w3.org/2000/svg}"
COLUMNS, ROWS = 40, 3
WINDOW = Window("a window", 0, 0, COLUMNS, ROWS)


def shot_of(written: str) -> Shot:
    """Return what a terminal shows after a program wrote this."""
    screen = Emulator(COLUMNS, ROWS)
    pyte.ByteStream(screen).feed(written.encode())
    return Shot.of(screen)


def row_of(written: str) -> ElementTree.Element:
    """Return the first row of the picture of what was written."""
    drawn = shot_of(written).drawn(0)
    return ElementTree.fromstring(f'<g xmlns="http://www.w3.org/2000/svg">{drawn}</g>')


def words_of(row: ElementTree.Element) -> dict[str, int]:
    """Return each word of a row and its column; every word must be as wide as its letters."""
    words = {}
    for text in row.iter(f"{SVG}text"):
        word = text.text or ""
        words[word] = round(float(text.attrib["x"]) / CELL_WIDTH)
        if len(word) > 1:
            assert float(text.attrib["textLength"]) == pytest.approx(len(word) * CELL_WIDTH)
    return words


def text_in(name: str, row: ElementTree.Element) -> ElementTree.Element:
    """Return the one element of a row whose text is `name`."""
    (found,) = [text for text in row.iter(f"{SVG}text") if text.text == name]
    return found


def test_leading_and_inner_spaces_are_places() -> None:
    """No viewer's idea of white space matters, since no text contains any."""
    row = row_of("    four,   three\N{NO-BREAK SPACE}one")
    assert words_of(row) == {"four,": 4, "three": 12, "one": 18}


def test_wide_letters_take_two_cells() -> None:
    row = row_of("a🙂b c")
    assert {text.text: text.attrib["x"] for text in row.iter(f"{SVG}text")} == {
        "a": "0",
        "🙂": "8.4",
        "b": "25.2",
        "c": "42",
    }
    assert text_in("🙂", row).attrib["textLength"] == "16.8"


def test_status_bar_is_whole() -> None:
    """Its ground begins before its first word and ends after its last, spaces included."""
    bar = " connected · 3 people "
    row = row_of(f"\x1b[0;7m{bar}\x1b[0m\x1b[?25l")
    (ground,) = row.iter(f"{SVG}rect")
    assert float(ground.attrib["x"]) == 0
    assert float(ground.attrib["width"]) == pytest.approx(len(bar) * CELL_WIDTH)
    assert ground.attrib["fill"] == FOREGROUND
    assert words_of(row) == {"connected": 1, "·": 11, "3": 13, "people": 15}


@pytest.mark.parametrize(
    ("codes", "expected"),
    [
        ("1", {"font-weight": "bold"}),
        ("3", {"font-style": "italic"}),
        ("4", {"text-decoration": "underline"}),
        ("38;5;98", {"fill": "#875fd7"}),
        ("38;2;2;2;2", {"fill": "#020202"}),
        ("31", {"fill": "#e0604f"}),
        ("38;5;231;2", {"fill": "#9fa0a2"}),
        ("38;5;231;2;22", {"fill": "#ffffff"}),
    ],
)
def test_styles_are_those_of_the_terminal(codes: str, expected: dict[str, str]) -> None:
    word = text_in("word", row_of(f"\x1b[{codes}mword"))
    geometry = ("x", "y", "textLength")
    assert {key: word.attrib[key] for key in word.attrib if key not in geometry} == expected


def test_still_is_as_high_as_what_it_shows() -> None:
    one, two = (
        ElementTree.fromstring(still(shot_of(text), "a window")) for text in ("a", "a\r\nb")
    )
    assert float(two.attrib["height"]) - float(one.attrib["height"]) == 18


def test_text_is_escaped() -> None:
    assert words_of(row_of("<b>&amp;")) == {"<b>&amp;": 0}


def test_film_without_motion_is_its_last_moment() -> None:
    """What stands first in a row's strip is seen where nothing moves."""
    frames = [Frame(1, (shot_of("first"),)), Frame(3, (shot_of("last"),))]
    drawn = ElementTree.fromstring(film([WINDOW], frames, "a film"))
    (strip,) = [group for group in drawn.iter(f"{SVG}g") if "id" in group.attrib]
    last, first = strip
    assert "transform" not in last.attrib and words_of(last) == {"last": 0}
    assert words_of(first) == {"first": 0}
    assert first.attrib["transform"] == f"translate(0 {STRIP_STEP})"


def test_film_shows_each_moment_in_its_time() -> None:
    shots = [shot_of(text) for text in ("a", "b", "b", "a")]
    style = film([WINDOW], [Frame(1, (shot,)) for shot in shots], "a film")
    assert "animation-duration:4s" in style
    steps = re.findall(r"([\d.]+)%\{transform:translateY\((-?\d+)px\)\}", style)
    assert steps == [("0", "0"), ("25", f"-{STRIP_STEP}"), ("75", "0")]


def test_film_moves_only_where_motion_is_welcome_and_needs_nothing_else() -> None:
    frames = [Frame(1, (shot_of("a"),)), Frame(1, (shot_of("b"),))]
    drawn = film([WINDOW], frames, "a film")
    before, _query, after = drawn.partition("@media(prefers-reduced-motion:no-preference){")
    assert "animation" not in before and "animation-name" in after
    for foreign in ("<script", "href", "url(", "@import", "<foreignObject"):
        assert foreign not in drawn


def test_film_cuts_the_other_moments_off() -> None:
    """A slit of one row's width and height is before each strip."""
    frames = [Frame(1, (shot_of("a"),)), Frame(1, (shot_of("b"),))]
    drawn = ElementTree.fromstring(film([WINDOW], frames, "a film"))
    _document, slit = drawn.iter(f"{SVG}svg")
    assert float(slit.attrib["x"]) == MARGIN
    assert float(slit.attrib["width"]) == pytest.approx(COLUMNS * CELL_WIDTH)
    assert float(slit.attrib["height"]) < STRIP_STEP


def test_return_shows_what_was_missed_a_search_and_the_menu() -> None:
    """With the script's day and hours instead of the run's."""
    with stage("en", SCRIPTS["en"]) as a_stage:
        rows = [text_of(row).rstrip() for row in take_return(a_stage).rows]
    assert f"─── new since {FIRST_MINUTE} ───" in rows
    found = f"@4 {SCRIPTS['en'].day} {FIRST_MINUTE} [Bob]: {SCRIPTS['en'].missed[-1]}"
    assert found in rows and "─── found in #common: router ───" in rows
    assert any(row.endswith(" more; Tab goes on") for row in rows)


def small_scene(stage: Stage) -> str:
    """Let one person say a word to a server, and return the film of it."""
    server, ana = stage.open(60, 8), stage.open(60, 8)
    start(server, "python server.py", f"{stage.script.port} {stage.port}")
    start(ana, "python client.py --name Ana", f"{stage.script.connected} ·")
    stage.say(ana, "hello")
    return film([Window(name, 0, 0, 60, 8) for name in ("", "Ana")], stage.frames, "a scene")


def test_same_scene_twice_is_the_same_picture() -> None:
    """Whatever the hour, the port and the machine's speed."""
    films = []
    for _time in range(2):
        with stage("en", SCRIPTS["en"]) as a_stage:
            films.append(small_scene(a_stage))
        assert f">{SHOWN_PORT}...</text>" in films[-1] and a_stage.port not in films[-1]
        assert f">{FIRST_MINUTE}</text>" in films[-1]
    assert films[0] == films[1]
