"""What messages look like, how they are fitted into rows, and the table of commands."""

from __future__ import annotations

import pytest

import chat_pb2
from chat.cli import i18n as language
from chat.client import commands
from chat.client.ui import render as style
from chat.client.ui.wrap import cell_width, cut, text_width, wrapped

Message = chat_pb2.Message


def rows(text: str, columns: int, lead: str = "") -> list[str]:
    """Return the rows that `text` takes after `lead`."""
    fragments = wrapped([("", lead)] if lead else [], [("", text)], columns)
    return "".join(text for _style, text in fragments).removesuffix("\n").split("\n")


@pytest.mark.parametrize("columns", [8, 20, 39, 40, 80, 300])
@pytest.mark.parametrize(
    "text",
    [
        "",
        "oi",
        "word " * 40,
        "x" * 500,
        "漢字" * 100,
        "a漢" * 90,
        "e\u0301" * 90,
        "a\n\nb\n",
        "👩‍💻" * 30,
    ],
)
def test_no_row_is_wider_than_the_terminal(text: str, columns: int) -> None:
    """Nothing is left for the terminal to break, and nothing is lost but spaces."""
    fitted = rows(style.clean(text), columns, "12:00 [ana]: ")
    assert all(text_width(row) <= columns for row in fitted)
    assert "".join(fitted).replace(" ", "") == (
        ("12:00 [ana]: " + style.clean(text)).replace(" ", "").replace("\n", "")
    )


@pytest.mark.parametrize("text", ["x" * 300, "a b " * 90, "oi\n[bia]: sim", "漢" * 99])
def test_later_rows_are_indented(text: str) -> None:
    """Only the first row begins where lines of the conversation begin."""
    for columns in (20, 80):
        assert all(row.startswith("  ") or not row for row in rows(text, columns, "[mal]: ")[1:])


def test_right_to_left_text_is_isolated() -> None:
    """A name or a text written from right to left cannot reorder what is around it."""
    look = style.look_of(Message(user="דנה", message="שלום 123"))
    assert look is not None
    text = "".join(text for _style, text in wrapped(look.lead, look.body, 80))
    assert text == "[\u2068דנה\u2069]: \u2068שלום 123\u2069\n"


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("ana", "ana"),
        ("bia]: sim [x", "bia): sim (x"),
        ("［bia］", "(bia)"),
        ("a\nb", "a b"),
        ("a → b", "a � b"),
        ("a\u202eb\x1b", "a�b�"),
        ("x" * 99, "x" * 64),
    ],
)
def test_name_cannot_leave_its_brackets(name: str, shown: str) -> None:
    """A name is one line, bounded, and has none of the signs that we mark names with."""
    assert style.shown_name(name) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("tab\there", "tab    here"),
        ("soft\u00adhyphen", "soft�hyphen"),
        ("❤\ufe0f", "❤"),
        ("👩\u200d💻", "👩💻"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("a\u200db", "a�b"),
        ("é\u200c\u200cé", "é��é".replace("��", "�")),
        ("tag\U000e0041", "tag�"),
        ("e" + "\u0301" * 9, "e" + "\u0301" * 4),
    ],
)
def test_nothing_hidden_is_shown(text: str, shown: str) -> None:
    """What shows nothing is shown as such; joiners of scripts that need them stay."""
    assert style.clean(text) == shown


def luminance(colour: str) -> float:
    """Return the relative luminance of a colour (WCAG 2)."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    red, green, blue = (p / 12.92 if p <= 0.03928 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colour", style.NAME_COLOURS)
def test_colours_of_names_are_readable_on_any_ground(colour: str) -> None:
    """Each has a contrast of 4 or more to black and to white."""
    light = luminance(colour) + 0.05
    assert light / 0.05 >= 4 and 1.05 / light >= 4


@pytest.mark.parametrize(
    ("text", "is_mention"),
    [("oi Ana!", True), ("@ana", True), ("banana", False), ("ana_b", False), ("ANA:", True)],
)
def test_mention_is_a_word_of_its_own(text: str, is_mention: bool) -> None:
    """A name inside another word is no mention; case makes no difference."""
    assert style.mentions(text, "ana") is is_mention


def test_time_that_makes_no_sense_is_now() -> None:
    """A server's impossible time is no reason to stop."""
    message = Message(user="a", message="b")
    message.sent_at.seconds = 10**15
    assert style.time_of(message).date() == style.now().date()


def test_cutting_counts_columns() -> None:
    """A text is cut to columns, not to characters, and says that it was."""
    assert cut("abcdef", 6) == "abcdef"
    assert cut("abcdefg", 6) == "abcde…"
    assert text_width(cut("漢字漢字", 6)) <= 6
    assert cell_width("\u0600") == 1


# Commands.


def test_commands_are_found_whatever_their_case_and_accents() -> None:
    """Each name finds its command, and nothing else does."""
    for command in commands.COMMANDS:
        for name in command.names:
            assert commands.parse(f"/{name.upper()} x y")[0] is command
    assert commands.parse("/Histórico 5") == (commands.HISTORY, "5")
    assert commands.parse("/nada")[0] is None
    assert not commands.is_command("//sair") and not commands.is_command("sair")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("/qem", "/quem"),
        ("/hlep", "/help"),
        ("/quitt", "/quit"),
        ("/zzz", "/ajuda"),
        ("/sala1", "/sala"),
    ],
)
def test_nearest_command(typed: str, meant: str) -> None:
    """A mistyped command is taken for the nearest one, and for the help if none is near."""
    assert commands.nearest(typed) == meant


def test_help_and_guide_list_every_command() -> None:
    """Both are made from the one table, in the user's language."""
    for lang in ("en", "pt_BR"):
        language.use(lang)
        for text in ("\n".join(commands.help_lines()), commands.markdown()):
            for command in commands.COMMANDS:
                assert all(f"/{name}" in text for name in command.names)


def test_completion_knows_what_belongs_where() -> None:
    """Commands at the start, names in a message, rooms and bell modes after their commands."""
    choices = {"names": ["Ana", "Zé"], "rooms": ["redes"], "bells": ["all", "off"]}
    assert commands.candidates("/sa", choices) == (3, ["/sair", "/sala"])
    assert commands.candidates("oi z", choices) == (1, ["Zé"])
    assert commands.candidates("oi @a", choices) == (2, ["@Ana"])
    assert commands.candidates("/sala ", choices) == (0, ["redes"])
    assert commands.candidates("/sino o", choices) == (1, ["off"])
