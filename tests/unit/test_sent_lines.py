"""Lines that were typed, until they are answered."""

from __future__ import annotations

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


def test_unsent_line_is_quoted_counted_and_given_back() -> None:
    """On one line, and not the whole of a long one."""
    terminal = FakeTerminal()
    lines = SentLines(terminal)
    lines.report_unsent("a\nb", "why")
    lines.report_unsent("", "why")
    lines.give_back("x" * 100, "why")
    assert terminal.errors == ["Not sent: why: a b", "Not sent: why", f"Not sent: why: {'x' * 60}…"]
    assert terminal.restored == ["x" * 100]
    lines.count_failure()
    assert lines.failures == 4
