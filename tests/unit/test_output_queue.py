"""What is printed above the line being typed, without a terminal."""

from __future__ import annotations

import io
import threading
from datetime import datetime, timezone

import pytest
from prompt_toolkit.data_structures import Size
from prompt_toolkit.output.plain_text import PlainTextOutput
from support import DEADLINE_SECONDS

from chat.client.ui import output_queue
from chat.client.ui.output_queue import OutputQueue
from chat.client.ui.render import RenderedMessage, local_notice


class Page(PlainTextOutput):
    """An output of 40 columns whose text can be read."""

    def __init__(self) -> None:
        self.text = io.StringIO()
        super().__init__(self.text)

    def get_size(self) -> Size:
        return Size(rows=24, columns=40)


def entry(text: str, when: datetime | None = None) -> RenderedMessage:
    return RenderedMessage(body=[("", text)], when=when)


def printed(queue: OutputQueue, page: Page) -> list[str]:
    queue.print_rest()
    return [line.rstrip() for line in page.text.getvalue().splitlines()]


def test_entries_are_printed_in_order() -> None:
    """Also those that came when no loop ran."""
    page = Page()
    queue = OutputQueue(page)
    queue.put_message(entry("one"))
    queue.put_separator("two")
    queue.put_message(entry("three " * 8))
    assert printed(queue, page) == [
        "one",
        "─── two ───",
        "three three three three three three",
        "      three three",
    ]


def test_new_day_has_a_line() -> None:
    """Not today's first one."""
    page = Page()
    queue = OutputQueue(page)
    queue.put_message(local_notice("today"))
    queue.put_message(entry("long ago", datetime(2024, 2, 29, 12, 0, tzinfo=timezone.utc)))
    lines = printed(queue, page)
    assert lines[0].endswith("today")
    assert lines[1:] == ["─── Thursday, 2024-02-29 ───", "12:00 long ago"]


@pytest.mark.parametrize("closes", [True, False])
def test_full_queue_makes_others_wait(closes: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until there is space, or the editor has ended; the main thread, which empties it, never."""
    monkeypatch.setattr(output_queue, "MAX_QUEUED", 2)
    page = Page()
    queue = OutputQueue(page)
    queue.open()
    for text in ("one", "two", "three"):
        queue.put_message(entry(text))  # in the main thread
    thread = threading.Thread(target=queue.put_message, args=(entry("four"),))
    thread.start()
    thread.join(0.1)
    assert thread.is_alive()
    if closes:
        queue.close()
    else:
        queue.print_rest()
    thread.join(DEADLINE_SECONDS)
    assert not thread.is_alive()
    assert printed(queue, page) == ["one", "two", "three", "four"]
