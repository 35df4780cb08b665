"""The line editor: messages print above the line being typed, which nothing damages.

From top to bottom: the terminal's own scrollback, what was sent and is not confirmed yet (dim), the
line being typed, the status line. The main thread runs prompt_toolkit's loop; other threads put
what is to be shown into a bounded queue, which the loop empties some fifty times a second: one
write to the terminal for all that came meanwhile, so that a flood does not delay a key press.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from datetime import date

from prompt_toolkit import Application
from prompt_toolkit.buffer import Buffer
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.layout import (
    BufferControl,
    Dimension,
    FormattedTextControl,
    HSplit,
    Layout,
    Window,
)
from prompt_toolkit.layout.processors import (
    BeforeInput,
    HighlightIncrementalSearchProcessor,
    Processor,
    Transformation,
    TransformationInput,
)
from prompt_toolkit.layout.screen import Char
from prompt_toolkit.output import ColorDepth, Output, create_output
from prompt_toolkit.renderer import print_formatted_text
from prompt_toolkit.styles import Style
from prompt_toolkit.widgets import CompletionsToolbar, SearchToolbar

import chat_pb2
from chat.cli.i18n import _, _n
from chat.client.ui import render as style
from chat.client.ui.plain import ENDING_SIGNALS, Talk
from chat.client.ui.render import Fragment, Look
from chat.client.ui.wrap import MIN_COLUMNS, cut, text_width, wrapped

if sys.platform == "win32":
    from prompt_toolkit.output.win32 import NoConsoleScreenBufferError
else:
    from prompt_toolkit.output.vt100 import Vt100_Output
    from prompt_toolkit.utils import get_term_environment_variable

# The pause between two writes to the terminal, in which keys are taken.
FRAME_SECONDS = 0.02
# How long preparing one write may take.
BUDGET_SECONDS = 0.01
# How many entries may wait to be shown before whoever brings more has to wait.
MAX_QUEUED = 5000
TICK_SECONDS = 1.0
# A paste of more lines is asked about.
MAX_UNASKED_LINES = 20
# How much of the screen the line being typed, and what is on its way, may take.
MAX_DRAFT_ROWS = 10
MAX_WAITING_ROWS = 3
# Below this the prompt is not the name.
NARROW_COLUMNS = 40
SEPARATOR = " \N{MIDDLE DOT} "

STYLES = Style.from_dict(
    {
        "time": "dim",
        "day": "dim",
        "event": "dim",
        "told": "italic",
        "notice": "bold #af5f00",
        "private": "#d700d7",
        "mention": "bold reverse",
        "complaint": "bold #d7005f",
        "waiting": "dim",
        "status": "reverse",
        "prompt": "bold",
    }
)


# Terminals that break long rows anew when they become narrower, by the variables that they set.
# Over ssh they are not seen: then one row too few is cleared, rather than one too many.
REFLOWING_VARIABLES = (
    "TMUX",
    "VTE_VERSION",
    "KITTY_WINDOW_ID",
    "WT_SESSION",
    "KONSOLE_VERSION",
    "ALACRITTY_WINDOW_ID",
    "WEZTERM_PANE",
    "GHOSTTY_RESOURCES_DIR",
    "ITERM_SESSION_ID",
)


class Editor(Application[None]):
    """prompt_toolkit's application, but that it finds its beginning again after a resize."""

    def _on_resize(self) -> None:
        # A row that the terminal has broken anew stands above where it would be looked for.
        if any(name in os.environ for name in REFLOWING_VARIABLES):
            self.output.cursor_up(self._rows_gained())
        super()._on_resize()

    def _rows_gained(self) -> int:
        """Return how many more rows what is drawn above the cursor takes in the new width."""
        drawn = self.renderer.last_rendered_screen
        if drawn is None:
            return 0
        columns = self.output.get_size().columns
        cursor = drawn.get_cursor_position(self.layout.current_window)
        widths = [row_width(drawn.data_buffer[y]) for y in range(cursor.y)]
        return sum(max(0, width - 1) // columns for width in widths) + cursor.x // columns


def row_width(row: Mapping[int, Char]) -> int:
    """Return the column after the last one of a row that is not blank."""
    return max((column + cell.width for column, cell in row.items() if cell.char != " "), default=0)


class Screen:
    """A terminal with a line editor; see `terminal.Terminal`. Main thread: `ask`, `run`, `finish`.

    The queue of what is to be shown is bounded (`MAX_QUEUED`): `show` waits while it is full.
    """

    is_interactive = True
    is_live = True
    has_typed_lines = False

    def __init__(self) -> None:
        self._output = make_output()
        self._talk: Talk | None = None
        self._app: Editor | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news = asyncio.Event()
        # Guards the queue and what depends on whether it is being emptied.
        self._changed = threading.Condition()
        self._queue: deque[Callable[[], Iterable[Fragment]]] = deque()
        self._is_woken = False
        self._is_running = False
        self._is_stopped = False
        self._day: date | None = None
        self._bell_is_due = False
        self._signal = 0
        # What the status line says instead, until the next key.
        self._hint = ""
        self._is_asked_about = False  # the draft, since it is long
        self._last_interrupt = False
        self._draft = Buffer(
            multiline=True,
            history=InMemoryHistory(),
            completer=DraftCompleter(lambda: self._talk),
            complete_while_typing=False,
            on_text_changed=lambda _buffer: self._forget_hint(),
        )

    # The main thread.

    def ask(self, question: str) -> str:
        """Return the answer to `question`, asked before the line editor begins."""
        return input(question)

    def run(self, talk: Talk) -> None:
        """Edit lines and hand them to `talk`, until one of them leaves."""
        self._talk = talk
        handlers = {number: signal.getsignal(number) for number in ENDING_SIGNALS}
        self._app = self._make_app()
        try:
            with self._changed:
                if self._is_stopped:
                    return
                self._is_running = True
            self._app.run(pre_run=self._begin)
        except EOFError:
            pass  # the terminal is gone
        finally:
            with self._changed:
                self._is_running = False
                self._loop = None
                self._changed.notify_all()
            for number, handler in handlers.items():
                signal.signal(number, handler)
        if self._signal:
            sys.exit(128 + self._signal)

    def finish(self) -> None:
        """Print what still waits."""
        while self._queue:
            self._print(self._prepare())
            self._output.flush()

    def _begin(self) -> None:
        """Start what runs beside the editor; in its loop."""
        assert self._app is not None
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._app.create_background_task(self._show_news())
        self._app.create_background_task(self._tick())
        if sys.platform != "win32":
            for number in ENDING_SIGNALS:
                self._loop.add_signal_handler(number, self._terminate, number)
        with self._changed:
            if self._is_stopped:
                self._leave()
        self._news.set()

    def _terminate(self, number: int) -> None:
        self._signal = number
        self._leave()

    def _leave(self) -> None:
        assert self._app is not None
        if self._app.future is not None and not self._app.future.done():
            self._app.exit()

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            assert self._talk is not None
            self._talk.tick()

    # Showing; `show` and its like from any thread.

    def show(self, message: chat_pb2.Message, look: Look) -> None:
        """Show one message above the line being typed."""
        self._put(lambda: self._entry(look))

    def tell(self, line: str) -> None:
        """Show a line of the program's own."""
        self._put(lambda: self._entry(style.told(line)))

    def rule(self, title: str) -> None:
        """Show a line between two parts of the conversation."""
        self._put(lambda: self._rule(title))

    def complain(self, sentence: str) -> None:
        """Show what went wrong; on standard error, while the editor does not run."""
        if not self._is_running:
            print(sentence, file=sys.stderr, flush=True)
        else:
            self._put(lambda: self._entry(style.told(f"* {sentence}", "class:complaint")))

    def ring(self) -> None:
        """Ring the bell, once for all that is shown together."""
        self._put(self._note_bell)

    def _note_bell(self) -> Iterable[Fragment]:
        self._bell_is_due = True
        return ()

    def clear(self) -> None:
        """Clear the screen; the scrollback stays."""
        if self._app is not None:
            self._app.renderer.clear()

    def refresh(self) -> None:
        """Draw the status line anew."""
        if self._app is not None and self._is_running:
            self._app.invalidate()

    def give_back(self, line: str) -> None:
        """Put a refused line where it can be mended, unless another one is being typed."""
        with self._changed:
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._put_back, line)

    def _put_back(self, line: str) -> None:
        if not self._draft.text:
            self._draft.document = Document(line)

    def stop(self) -> None:
        """Make `run` return."""
        with self._changed:
            self._is_stopped = True
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._leave)

    def _put(self, entry: Callable[[], Iterable[Fragment]]) -> None:
        is_main = threading.current_thread() is threading.main_thread()
        with self._changed:
            # The main thread, which empties the queue, must not wait for it.
            self._changed.wait_for(
                lambda: len(self._queue) < MAX_QUEUED or is_main or not self._is_running
            )
            self._queue.append(entry)
            if self._loop is not None and not self._is_woken:
                self._is_woken = True
                self._loop.call_soon_threadsafe(self._news.set)

    # Printing; in the loop.

    async def _show_news(self) -> None:
        while True:
            await self._news.wait()
            self._news.clear()
            with self._changed:
                self._is_woken = False
            self._frame()
            if self._queue:
                self._news.set()
            await asyncio.sleep(FRAME_SECONDS)

    def _frame(self) -> None:
        """Print what waits above the line being typed, all in one write."""
        assert self._app is not None
        fragments = self._prepare()
        if self._app.is_done or not (fragments or self._bell_is_due):
            return
        hold(self._output)
        self._app.renderer.erase()
        self._print(fragments)
        self._app.invalidate()

    def _prepare(self) -> list[Fragment]:
        """Take as much from the queue as there is time for."""
        fragments: list[Fragment] = []
        deadline = time.monotonic() + BUDGET_SECONDS
        while self._queue and time.monotonic() < deadline:
            fragments += self._queue.popleft()()
        with self._changed:
            self._changed.notify_all()
        return fragments

    def _print(self, fragments: list[Fragment]) -> None:
        formatted: StyleAndTextTuples = list(fragments)
        print_formatted_text(self._output, formatted, STYLES)
        if self._bell_is_due:
            self._bell_is_due = False
            self._output.bell()

    def _entry(self, look: Look) -> Iterable[Fragment]:
        """Yield an entry of the conversation, after the line for a new day where one began."""
        if look.when is not None and look.when.date() != self._day:
            is_first = self._day is None and look.when.date() == style.now().date()
            self._day = look.when.date()
            if not is_first:
                yield from self._rule(style.day_of(look.when))
        hour = [("class:time", f"{look.when:%H:%M} ")] if look.when is not None else []
        yield from wrapped([*hour, *look.lead], look.body, self._columns)

    def _rule(self, title: str) -> Iterable[Fragment]:
        dashes = "\N{BOX DRAWINGS LIGHT HORIZONTAL}" * 3
        yield "class:day", cut(f"{dashes} {title} {dashes}", self._columns - 1)
        yield "", "\n"

    @property
    def _columns(self) -> int:
        return self._output.get_size().columns

    # The layout; in the loop.

    def _make_app(self) -> Editor:
        earlier = _("Earlier line with: ")
        search = SearchToolbar(
            ignore_case=True, forward_search_prompt=earlier, backward_search_prompt=earlier
        )
        control = BufferControl(
            self._draft,
            input_processors=[
                BeforeInput(self._prompt, style="class:prompt"),
                HighlightIncrementalSearchProcessor(),
                Visible(),
            ],
            search_buffer_control=search.control,
            preview_search=True,
        )
        draft = Window(
            control,
            height=Dimension(min=1, max=MAX_DRAFT_ROWS),
            wrap_lines=True,
            dont_extend_height=True,
        )
        waiting, status = _rows_of(self._waiting_line), _rows_of(self._status_line)
        rows = HSplit([waiting, draft, search, CompletionsToolbar(), status])
        app = Editor(
            Layout(rows, focused_element=draft),
            style=STYLES,
            key_bindings=self._bindings(),
            output=self._output,
            erase_when_done=True,
        )
        app.before_render += lambda _app: release(self._output)
        app.ttimeoutlen = 0.1
        return app

    def _prompt(self) -> StyleAndTextTuples:
        name = style.shown_name(self._talk.name) if self._talk else ""
        if self._columns < NARROW_COLUMNS:
            return [("class:prompt", "> ")]
        return [("", "["), (style.name_style(name), style.isolated(name)), ("", "]: ")]

    def _waiting_line(self) -> StyleAndTextTuples:
        """Return what is on its way, dim, the newest last."""
        waiting = self._talk.waiting() if self._talk else []
        rows = [style.one_line(line) for line in waiting[:MAX_WAITING_ROWS]]
        left = len(waiting) - len(rows)
        if left:
            more = _n("and {} more", "and {} more", left).format(left)
            rows[-1] = f"{rows[-1]} ({more})"
        sign = "\N{HORIZONTAL ELLIPSIS} "
        text = "\n".join(cut(sign + row, self._columns - 1) for row in rows)
        return [("class:waiting", text)]

    def _status_line(self) -> StyleAndTextTuples:
        """Return the hint, or as much of the status as fits, the most important first."""
        if self._hint:
            rows = textwrap.wrap(self._hint, max(self._columns - 3, MIN_COLUMNS))
            return [("class:status", "\n".join(f" {row} " for row in rows))]
        parts = self._talk.status() if self._talk else []
        while len(parts) > 1 and text_width(SEPARATOR.join(parts)) + 3 > self._columns:
            parts.pop()
        text = f" {SEPARATOR.join(parts)} "
        return [("class:status", cut(text, self._columns - 1))]

    def _forget_hint(self) -> None:
        self._hint = ""
        self._last_interrupt = self._is_asked_about = False

    # Keys; in the loop.

    def _bindings(self) -> KeyBindings:
        bindings = KeyBindings()
        is_empty = Condition(lambda: not self._draft.text)
        add = bindings.add
        add("enter", filter=~is_searching)(lambda _event: self._enter())
        add("escape", "enter")(lambda _event: self._draft.insert_text("\n"))
        add("c-c", filter=~is_searching)(lambda _event: self._interrupt())
        add("<sigint>")(lambda _event: self._interrupt())
        add("c-d", filter=is_empty & ~is_searching)(lambda _event: self._leave())
        add("tab", filter=~is_searching)(complete)
        add("s-tab", filter=~is_searching)(lambda _event: self._draft.complete_previous())
        if hasattr(signal, "SIGTSTP"):
            add("c-z")(lambda event: event.app.suspend_to_background())
        return bindings

    def _enter(self) -> None:
        """Hand over what is typed, having asked about a long paste."""
        text = self._draft.text
        lines = text.count("\n") + 1
        if lines > MAX_UNASKED_LINES and not self._is_asked_about:
            self._is_asked_about = True
            question = _("Send these {} lines as one message? Enter sends, Ctrl-C does not.")
            self._hint = question.format(lines)
            return
        self._draft.reset(append_to_history=True)
        self._forget_hint()
        assert self._talk is not None
        if not self._talk.typed(text):
            self._leave()

    def _interrupt(self) -> None:
        """Clear the line; on an empty one say how to leave, and the second time leave."""
        if self._draft.text:
            self._draft.reset()
            self._forget_hint()
        elif self._last_interrupt:
            self._leave()
        else:
            self._last_interrupt = True
            self._hint = _("Ctrl-C once more leaves, as do Ctrl-D and /sair.")


def complete(event: KeyPressEvent) -> None:
    """Complete the word, or go to the next possibility."""
    draft = event.current_buffer
    if draft.complete_state:
        draft.complete_next()
    else:
        draft.start_completion(insert_common_part=True)


class DraftCompleter(Completer):
    """What Tab offers, as the conversation knows it."""

    def __init__(self, talk: Callable[[], Talk | None]) -> None:
        self._talk = talk

    def get_completions(
        self, document: Document, complete_event: CompleteEvent
    ) -> Iterable[Completion]:
        """Yield the candidates for the word before the cursor."""
        talk = self._talk()
        if talk is None:
            return
        length, words = talk.candidates(document.current_line_before_cursor)
        for word in words:
            yield Completion(word + " ", start_position=-length, display=word)


class Visible(Processor):
    """Shows what was pasted without anything that would deceive whoever sends it."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace each such character by one sign, so that the cursor stays where it is."""
        return Transformation(
            [
                (fragment[0], "".join(map(_visible, fragment[1])))
                for fragment in transformation_input.fragments
            ]
        )


def _visible(character: str) -> str:
    # Between two letters that a joiner may join.
    shown = character if character.isascii() else style.clean(f"é{character}é")[1:-1]
    return shown if len(shown) == 1 else character


def _rows_of(text: Callable[[], StyleAndTextTuples]) -> Window:
    """Return a part of the layout that is as high as its text, and not there without one."""
    control = FormattedTextControl(text)

    def height() -> Dimension:
        content = "".join(fragment[1] for fragment in text())
        return Dimension.exact(content.count("\n") + 1 if content else 0)

    return Window(control, height=height, dont_extend_height=True)


# The terminal's side.


def make_output() -> Output:
    """Return where to draw: standard output, or raise `OSError` where nothing can be drawn.

    It is not asked where its cursor is, since the answers come between the keys: everything is
    drawn below what was printed last.
    """
    if sys.platform == "win32":
        try:
            return create_output(sys.stdout)
        except NoConsoleScreenBufferError as error:
            raise OSError(str(error)) from error
    depth = ColorDepth.from_env()
    term = get_term_environment_variable()
    return FrameOutput.from_pty(sys.stdout, term=term, default_color_depth=depth)


if sys.platform != "win32":

    class FrameOutput(Vt100_Output):
        """Lets several parts be written as one, so that nobody sees a screen half drawn."""

        is_held = False

        @property
        def responds_to_cpr(self) -> bool:
            return False

        def flush(self) -> None:
            """Write what was drawn, unless more belongs to it."""
            if not self.is_held:
                super().flush()


def hold(output: Output) -> None:
    """Write nothing until `release`, where the output knows how to wait."""
    if hasattr(output, "is_held"):
        output.is_held = True


def release(output: Output) -> None:
    """Let the next flush write everything."""
    if hasattr(output, "is_held"):
        output.is_held = False
