"""What is printed above the line being typed: a bounded queue, and frames of all that came.

Other threads put entries into the queue; the main thread's loop prints them some fifty times a
second, with one write to the terminal for all that came meanwhile, so that a flood does not delay a
key press.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable
from typing import Any

from prompt_toolkit import Application
from prompt_toolkit.output import Output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style

from chat.cli.wrap import cut, wrapped
from chat.client.ui.days import Days, with_time
from chat.client.ui.frame_output import columns_of, hold
from chat.client.ui.render import Fragment, RenderedMessage

# The pause between two writes to the terminal, in which keys are taken.
FRAME_SECONDS = 0.02
# How long preparing one write may take.
BUDGET_SECONDS = 0.01
# How many entries may wait to be shown before whoever brings more has to wait.
MAX_QUEUED = 5000

STYLES = Style.from_dict(
    {
        "time": "dim",
        "day": "dim",
        "event": "dim",
        "local": "italic",
        "notice": "bold #af5f00",
        "private": "#d700d7",
        "room": "bold",
        "mention": "bold reverse",
        "complaint": "bold #d7005f",
        "waiting": "dim",
        "menu.chosen": "reverse",
        "menu.more": "dim",
        "status": "reverse",
        "prompt": "bold",
    }
)

Entry = Callable[[], Iterable[Fragment]]


class OutputQueue:
    """Entries of the conversation on their way to the terminal.

    Bounded: while `MAX_QUEUED` wait, whoever puts another one waits, unless it is the main thread,
    which empties the queue, or nobody empties it.

    `_changed` guards `_entries`, `_loop`, `_is_open`, `_is_woken` and when `_news` is replaced.
    `_days`, `_bell_is_due`, `_sequences` and `_when_shown` belong to the main thread.
    """

    def __init__(self, output: Output) -> None:
        self.output = output
        self._news = asyncio.Event()
        self._changed = threading.Condition()
        self._entries: deque[Entry] = deque()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._is_open = False
        self._is_woken = False
        self._days = Days()
        self._bell_is_due = False
        self._sequences = ""
        self._when_shown: list[Callable[[], None]] = []

    # From any thread.

    @property
    def is_open(self) -> bool:
        """Whether the editor runs, so that what is put here is soon printed."""
        with self._changed:
            return self._is_open

    def put_message(self, rendered: RenderedMessage) -> None:
        """Have an entry of the conversation printed."""
        self._put(lambda: self._message(rendered))

    def put_separator(self, title: str) -> None:
        """Have a line between two parts printed."""
        self._put(lambda: self._separator(title))

    def put_bell(self) -> None:
        """Have the bell ring, once for all that is printed together."""
        self._put(self._note_bell)

    def put_sequence(self, sequence: str) -> None:
        """Have a sequence sent to the terminal that moves nothing on the screen."""
        self._put(lambda: self._note_sequence(sequence))

    def put_call(self, call: Callable[[], None]) -> None:
        """Have something called once all that was put before is on the screen."""
        self._put(lambda: self._note_call(call))

    def call_soon(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Call something in the loop, if it runs."""
        with self._changed:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(callback, *arguments)

    def _put(self, entry: Entry) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        with self._changed:
            self._changed.wait_for(
                lambda: len(self._entries) < MAX_QUEUED or is_main or not self._is_open
            )
            self._entries.append(entry)
            if self._loop is not None and not self._is_woken:
                self._is_woken = True
                self._loop.call_soon_threadsafe(self._news.set)

    # In the main thread.

    def open(self) -> None:
        """Let entries wait for the loop, which is about to begin."""
        with self._changed:
            self._is_open = True

    def attach(self, loop: asyncio.AbstractEventLoop) -> None:
        """Let entries be printed by `loop`, which runs."""
        with self._changed:
            self._news = asyncio.Event()
            self._news.set()
            self._loop = loop

    def close(self) -> None:
        """Make nobody wait any more: the loop has ended."""
        with self._changed:
            self._is_open = False
            self._loop = None
            self._changed.notify_all()

    async def print_entries(
        self, app: Application[None], wait_settled: Callable[[], Awaitable[None]]
    ) -> None:
        """Print what is put, above what `app` draws, until this is cancelled as the loop ends.

        `wait_settled` returns when the terminal is not being resized.
        """
        try:
            while True:
                await self._news.wait()
                await wait_settled()
                self._news.clear()
                with self._changed:
                    self._is_woken = False
                self._print_frame(app)
                if self._has_entries:
                    self._news.set()
                await asyncio.sleep(FRAME_SECONDS)
        finally:
            self._detach()

    def _detach(self) -> None:
        """Call nothing in the loop any more, which is about to be closed."""
        with self._changed:
            self._loop = None

    def print_rest(self) -> None:
        """Print what still waits, without a loop."""
        while self._has_entries:
            self._print(self._prepare())
            self.output.flush()
            self.tell_shown()

    def tell_shown(self) -> None:
        """Note that everything that was printed so far was written to the terminal."""
        calls, self._when_shown = self._when_shown, []
        for call in calls:
            call()

    def _print_frame(self, app: Application[None]) -> None:
        """Print what waits above the line being typed, all in one write."""
        if app.is_done:
            return  # what waits is printed when the line being typed is gone
        fragments = self._prepare()
        if not (fragments or self._bell_is_due or self._sequences):
            self.tell_shown()
            return
        hold(self.output)
        app.renderer.erase()
        self._print(fragments)
        app.invalidate()

    def _prepare(self) -> list[Fragment]:
        """Take as much from the queue as there is time for."""
        fragments: list[Fragment] = []
        deadline = time.monotonic() + BUDGET_SECONDS
        while time.monotonic() < deadline and (entry := self._take()) is not None:
            fragments += entry()
        with self._changed:
            self._changed.notify_all()
        return fragments

    @property
    def _has_entries(self) -> bool:
        with self._changed:
            return bool(self._entries)

    def _take(self) -> Entry | None:
        with self._changed:
            return self._entries.popleft() if self._entries else None

    def _print(self, fragments: list[Fragment]) -> None:
        print_formatted_text(self.output, [*fragments], STYLES)
        if self._bell_is_due:
            self._bell_is_due = False
            self.output.bell()
        if self._sequences:
            self.output.write_raw(self._sequences)
            self._sequences = ""

    # Entries; made in the main thread, since they depend on the width and on the day before.

    def _message(self, rendered: RenderedMessage) -> Iterable[Fragment]:
        """Yield an entry of the conversation, after the line for a new day where one began."""
        if title := self._days.title_before(rendered.when):
            yield from self._separator(title)
        timed = with_time(rendered)
        yield from wrapped(timed.lead, timed.body, columns_of(self.output))

    def _separator(self, title: str) -> Iterable[Fragment]:
        dashes = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 3
        yield "class:day", cut(f"{dashes} {title} {dashes}", columns_of(self.output) - 1)
        yield "", "\n"

    def _note_sequence(self, sequence: str) -> Iterable[Fragment]:
        self._sequences += sequence
        return ()

    def _note_call(self, call: Callable[[], None]) -> Iterable[Fragment]:
        self._when_shown.append(call)
        return ()

    def _note_bell(self) -> Iterable[Fragment]:
        self._bell_is_due = True
        return ()
