"""Lines that were typed, until they are answered."""

from __future__ import annotations

import pytest
from fakes import FakeTerminal

from chat.client.sent_lines import MAX_UNREAD_LINES, SentLines


def test_line_is_taken_once_by_its_key() -> None:
    """An answer comes once."""
    lines = SentLines(FakeTerminal())
    lines.add("k", "/msg bia oi")
    assert lines.take("other") is None
    assert lines.take("k") == "/msg bia oi"
    assert lines.take("k") is None


def test_delivered_lines_are_remembered_but_not_for_ever() -> None:
    """The newest ones, since nobody may ever say that they were not read."""
    lines = SentLines(FakeTerminal())
    for number in range(MAX_UNREAD_LINES + 1):
        lines.note_delivered(str(number), f"/msg bia {number}")
    assert lines.take_delivered("0") == ""
    assert lines.take_delivered("1") == "/msg bia 1"
    assert lines.take_delivered("1") == ""


def test_unsent_line_is_quoted_and_counted() -> None:
    """On one line, and not the whole of a long one."""
    terminal = FakeTerminal()
    lines = SentLines(terminal)
    lines.report_unsent("a\nb", "why")
    lines.report_unsent("", "why")
    lines.report_unsent("x" * 100, "why")
    assert terminal.errors == [
        'Not sent: "a b": why',
        "Not sent: why",
        'Not sent: "' + "x" * 60 + '…": why',
    ]
    lines.count_failure()
    assert lines.failures == 4


@pytest.mark.parametrize(
    ("line", "is_interactive", "said"),
    [
        ("/nome x", True, "/nome x: why"),
        ("/quem", True, "/quem: why"),
        ("/msg bia oi", True, 'Not sent: "/msg bia oi": why'),
        ("//nome", True, 'Not sent: "//nome": why'),
        ("/nome x", False, 'Not sent: "/nome x": why'),
    ],
)
def test_command_that_says_nothing_is_not_called_unsent(
    line: str, is_interactive: bool, said: str
) -> None:
    """In a pipe there are no commands, and all that is refused was to be said."""
    terminal = FakeTerminal(is_interactive=is_interactive)
    SentLines(terminal).report_unsent(line, "why")
    assert terminal.errors == [said]
