"""The line editor: messages print above the line being typed, which nothing damages.

From top to bottom: the terminal's own scrollback, what was sent and is not confirmed yet (dim), the
line being typed, the status line. The main thread runs prompt_toolkit's loop; what other threads
have to show goes through `output_queue.py`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import threading
from collections.abc import Callable

from chat.cli.wrap import in_rows
from chat.client.typed_lines import TypedLines
from chat.client.ui import render
from chat.client.ui.application import EditorApplication, make_app
from chat.client.ui.base import TerminalController
from chat.client.ui.draft import Draft
from chat.client.ui.frame_output import make_output
from chat.client.ui.keyboard import make_input
from chat.client.ui.notifications import make_notifier
from chat.client.ui.output_queue import OutputQueue
from chat.client.ui.render import RenderedMessage
from chat.client.ui.signals import ENDING_SIGNALS
from chat_pb2 import Message

TICK_SECONDS = 1.0


class LineEditor:
    """A terminal with a line editor, see `base.Terminal`.

    `ask`, `run`, `clear` and `finish` in the main thread, in which prompt_toolkit's loop runs. What
    else there is goes through the queue, which has a lock of its own; `show` waits while it is
    full. `_stopped` may be set by any thread.
    """

    is_interactive = True
    is_live = True
    has_typed_lines = False
    failure = None  # a terminal that is gone ends `run` by an error

    def __init__(self) -> None:
        self._queue = OutputQueue(make_output())
        self._stopped = threading.Event()
        self._app: EditorApplication | None = None
        self._draft: Draft | None = None
        self._signal = 0
        self._lines = TypedLines()

    # The main thread.

    def ask(self, question: str) -> str:
        """Return the answer to `question`, asked before the line editor begins."""
        try:
            return input(question)
        except KeyboardInterrupt:
            print(flush=True)  # what the shell says next is below the question
            raise

    def run(self, controller: TerminalController) -> None:
        """Edit lines and hand them to `controller`, until one of them leaves."""
        handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
        self._draft = Draft(controller, self._leave, self._lines, self.show_notice)
        self._draft.tell_waiting(self._lines.drafts.waiting)
        self._app = make_app(self._draft, controller, self._queue, make_input())
        try:
            self._queue.open()
            if not self._stopped.is_set():
                self._app.run(pre_run=lambda: self._begin(controller))
        except EOFError:
            pass  # the terminal is gone
        finally:
            self._queue.close()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._signal:
            sys.exit(128 + self._signal)

    def unread_lines(self) -> int:
        """Return 0: a person's lines are handed over as they are typed."""
        return 0

    def finish(self) -> None:
        """Print what still waits."""
        self._queue.print_rest()

    def clear(self) -> None:
        """Clear the screen; what was on it is in the scrollback then, with what was there."""
        if self._app is None:
            return
        if hasattr(self._queue.output, "scroll_away"):
            self._app.renderer.erase()
            self._queue.output.scroll_away()
        else:
            self._app.renderer.clear()

    def _begin(self, controller: TerminalController) -> None:
        """Start what runs beside the editor; in its loop."""
        assert self._app is not None
        self._queue.attach(asyncio.get_running_loop())
        printing = self._queue.print_entries(self._app, self._app.wait_settled)
        self._app.create_background_task(printing)
        self._app.create_background_task(tick(controller))
        if sys.platform != "win32":
            loop = asyncio.get_running_loop()
            for number in ENDING_SIGNALS:
                loop.add_signal_handler(number, self._terminate, number)
        if self._stopped.is_set():
            self._leave()

    def _terminate(self, number: int) -> None:
        self._signal = number
        self._leave()

    def _leave(self) -> None:
        assert self._app is not None
        if self._app.future is not None and not self._app.future.done():
            self._app.exit()

    # From any thread.

    def show(self, message: Message, rendered: RenderedMessage) -> None:
        """Show one message above the line being typed."""
        self._queue.put_message(rendered)

    def show_notice(self, line: str) -> None:
        """Show a line of the program's own."""
        self._queue.put_message(render.local_notice(line))

    def show_separator(self, title: str) -> None:
        """Show a line between two parts of the conversation."""
        self._queue.put_separator(title)

    def show_error(self, sentence: str) -> None:
        """Show what went wrong; on standard error, while the editor does not run."""
        if self._queue.is_open:
            self._queue.put_message(render.local_notice(f"* {sentence}", "class:complaint"))
        else:
            print(in_rows(sentence, sys.stderr), file=sys.stderr, flush=True)

    def notify(self, title: str, text: str) -> None:
        """Have the terminal notify the user, where it is known to be able to."""
        if (sequence := make_notifier()) is not None:
            self._queue.put_sequence(sequence(title, text))

    def use_lines(self, lines: TypedLines) -> None:
        """Offer earlier lines and the draft, and keep what is typed; in the main thread."""
        self._lines = lines

    def put_back(self, line: str) -> None:
        """Put a refused line into the draft, unless something was typed since."""
        if self._draft is not None:
            self._queue.call_soon(self._draft.put_back, line)

    def when_shown(self, call: Callable[[], None]) -> None:
        """Call something, in the main thread, once all that was shown so far is on the screen."""
        self._queue.put_call(call)

    def ring(self) -> None:
        """Ring the bell, once for all that is shown together."""
        self._queue.put_bell()

    def refresh(self) -> None:
        """Draw the status line anew, and the line that was being typed in the present room."""
        self._queue.call_soon(self._draw)

    def _draw(self) -> None:
        assert self._app is not None and self._draft is not None
        self._draft.follow_room()
        self._app.invalidate()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopped.set()
        self._queue.call_soon(self._leave)


async def tick(controller: TerminalController) -> None:
    """Let the conversation do what is due, once a second."""
    while True:
        await asyncio.sleep(TICK_SECONDS)
        controller.tick()
