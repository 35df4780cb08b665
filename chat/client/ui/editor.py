"""The line editor: messages print above the line being typed, which nothing damages.

From top to bottom: the terminal's own scrollback, what was sent and is not confirmed yet (dim), the
line being typed, the status line. The main thread runs prompt_toolkit's loop; what other threads
have to show goes through `output_queue.py`.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from prompt_toolkit import Application
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition, is_searching
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import Input, create_input
from prompt_toolkit.key_binding import KeyBindings
from prompt_toolkit.key_binding.key_processor import KeyProcessor
from prompt_toolkit.keys import Keys
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
from prompt_toolkit.widgets import SearchToolbar

from chat.cli.i18n import _, _n
from chat.cli.wrap import MIN_COLUMNS, cut, in_rows, text_width
from chat.client.commands import PREFIX
from chat.client.other_rooms import waiting_line
from chat.client.typed_lines import TypedLines
from chat.client.ui import render
from chat.client.ui.base import TerminalController
from chat.client.ui.line_buffer import LineBuffer
from chat.client.ui.menu import DraftCompleter, complete, menu_rows
from chat.client.ui.notifications import make_notifier
from chat.client.ui.output_queue import STYLES, OutputQueue, columns_of, make_output, release
from chat.client.ui.render import RenderedMessage
from chat.client.ui.signals import ENDING_SIGNALS
from chat.protocol.names import name_key
from chat_pb2 import Message

if sys.platform != "win32":
    from prompt_toolkit.input.posix_utils import PosixStdinReader
    from prompt_toolkit.input.vt100 import Vt100Input

TICK_SECONDS = 1.0
# How long after the last of several resizes the line being typed is drawn again. tmux has another
# size at once, and tells it up to 0.25 s later (`server_client_check_pane_resize`).
SETTLE_SECONDS = 0.15
TMUX_SETTLE_SECONDS = 0.5
# How long Esc waits for the key that it may be one with: prompt_toolkit's own second, since some
# press Esc and then Enter. While Tab's menu is there Esc closes it, and waits only for what a
# terminal sends as one key.
ESCAPE_SECONDS = 1.0
MENU_ESCAPE_SECONDS = 0.05
# A refused line is put back so much later: what was typed ahead of the refusal goes first.
PUT_BACK_SECONDS = 0.2
# A paste of more lines is asked about.
MAX_UNASKED_LINES = 20
# How much of the screen the line being typed, and what is on its way, may take.
MAX_DRAFT_ROWS = 10
MAX_WAITING_ROWS = 3
# Below this the prompt is not the name.
NARROW_COLUMNS = 40
SEPARATOR = " \N{MIDDLE DOT} "
# What makes an emoji of another character, one of several, or one of another colour.
EMOJI_JOINT = re.compile(
    "\ufe0f|(?<=[\u2190-\u2bff\ufe0f\U0001f000-\U0001fbff])[\u200d\U0001f3fb-\U0001f3ff]"
)
# A flag is two of these, whose letters have two columns each in every terminal.
REGIONAL_A, FULLWIDTH_A = 0x1F1E6, 0xFF21
FLAG_LETTERS = {REGIONAL_A + n: FULLWIDTH_A + n for n in range(26)}

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


class EditorApplication(Application[None]):
    """prompt_toolkit's application, but that it finds its beginning again after resizes.

    While the terminal is resized what it draws is away: what was drawn for one width, and arrives
    at another one, could not be found again. An error in what runs in its loop ends it: `run`
    raises it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._drawn_size: Size | None = None
        self._settling: asyncio.TimerHandle | None = None
        self._settled = asyncio.Event()
        self._settled.set()

    async def wait_settled(self) -> None:
        """Return when the terminal has the size for which the line being typed was drawn."""
        self._look_for_resize()
        await self._settled.wait()

    def _look_for_resize(self) -> None:
        """Find out what the signal has not told yet."""
        is_drawn = self._drawn_size is not None and self._settling is None
        if is_drawn and self.output.get_size() != self._drawn_size:
            self._on_resize()

    def _on_resize(self) -> None:
        if self._settling is not None:
            self._settling.cancel()
        else:
            self._settled.clear()
            self._erase_drawn()
        self._settling = asyncio.get_running_loop().call_later(settle_seconds(), self._settle)

    def _erase_drawn(self) -> None:
        # A row that the terminal has broken anew stands above where it would be looked for.
        if any(name in os.environ for name in REFLOWING_VARIABLES):
            self.output.cursor_up(self._rows_gained())
        self.renderer.erase(leave_alternate_screen=False)

    def _settle(self) -> None:
        """Draw again: there were no more resizes for a while, or the end has come."""
        assert self._settling is not None
        self._settling.cancel()
        self._settling = self._drawn_size = None
        self._settled.set()
        super()._on_resize()

    def _handle_exception(self, _loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        # prompt_toolkit would print a traceback over the screen, and go on without what failed.
        error = context.get("exception")
        if self.future is not None and not self.future.done():
            self.exit(exception=error if isinstance(error, Exception) else RuntimeError(context))

    def _redraw(self, render_as_done: bool = False) -> None:
        if render_as_done and self._settling is not None:
            self._settle()
        self._look_for_resize()
        if self._settling is None or render_as_done:
            super()._redraw(render_as_done)
            self._drawn_size = self.output.get_size()

    def _rows_gained(self) -> int:
        """Return how many more rows what is drawn above the cursor takes in the new width."""
        drawn = self.renderer.last_rendered_screen
        if drawn is None:
            return 0
        columns = self.output.get_size().columns
        cursor = drawn.get_cursor_position(self.layout.current_window)
        widths = [row_width(drawn.data_buffer[y]) for y in range(cursor.y)]
        return sum(max(0, width - 1) // columns for width in widths) + cursor.x // columns


def settle_seconds() -> float:
    """Return how long no resize may come before this terminal is drawn to again."""
    return TMUX_SETTLE_SECONDS if "TMUX" in os.environ else SETTLE_SECONDS


def row_width(row: Mapping[int, Char]) -> int:
    """Return the column after the last one of a row that is not blank."""
    return max((column + cell.width for column, cell in row.items() if cell.char != " "), default=0)


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
        self._app = make_app(self._draft, controller, self._queue)
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


@dataclass(frozen=True, eq=False)
class _Entered:
    """A line that was entered, and where: the same words again are another one."""

    line: str
    room: str


class Draft:
    """The line being typed, and what its keys do. Everything here runs in the loop.

    It belongs to the room that is talked in: in another one it would be for other people. `leave`:
    called when the user leaves. `lines`: those of earlier runs, and the drafts. `tell`: shows a
    line.
    """

    def __init__(
        self,
        controller: TerminalController,
        leave: Callable[[], None],
        lines: TypedLines,
        tell: Callable[[str], None],
    ) -> None:
        self._controller = controller
        self._leave = leave
        self._lines = lines
        self._drafts = lines.drafts
        self._tell = tell
        self.hint = ""  # what the status line says instead, until the next key
        self._is_asked_about = False  # since it is long
        self._untouched: _Entered | None = None  # the last line, until the next is begun
        self._came_back = ""  # the refused line, until it is changed
        self._was_interrupted = False
        self.buffer = LineBuffer(
            multiline=True,
            document=Document(self._drafts.go_to(controller.room)),
            history=InMemoryHistory(lines.earlier),
            completer=DraftCompleter(controller),
            complete_while_typing=False,
            on_text_changed=lambda _buffer: self._note_change(),
        )

    @property
    def offers(self) -> bool:
        """Whether Tab's menu is there."""
        return self.buffer.complete_state is not None

    def tell_waiting(self, rooms: Sequence[str]) -> None:
        """Say in which rooms something is left to be typed on, if it is in any."""
        if rooms:
            self._tell(waiting_line(rooms))

    def follow_room(self) -> bool:
        """Go on with what was being typed where one talks now; say whether that is another room.

        What was being typed is kept for the room that it was typed in.
        """
        before, room = self._drafts.room, self._controller.room
        if name_key(room) == name_key(before):
            return False
        typed, text = self.buffer.text, self._drafts.go_to(room)
        untouched = self._untouched
        if typed or text:
            self.buffer.document = Document(text)
        self._untouched = untouched  # nobody has typed that
        self.tell_waiting([before] if typed.strip() else [])
        return True

    def _note_change(self) -> None:
        self._drafts.edit(self.buffer.text)
        self._untouched, self._came_back = None, ""
        self._forget_hint()

    def _forget_hint(self) -> None:
        self.hint = ""
        self._was_interrupted = self._is_asked_about = False

    def bindings(self) -> KeyBindings:
        """Return what each key does."""
        bindings = KeyBindings()
        is_empty = Condition(lambda: not self.buffer.text)
        came_back = Condition(
            lambda: bool(self._came_back) and self.buffer.document.is_cursor_at_the_end
        )
        offers = Condition(lambda: self.offers)
        add = bindings.add
        add("enter", filter=~is_searching)(lambda _event: self._enter())
        add("escape", "enter")(lambda _event: self.buffer.insert_text("\n"))
        add("c-c", filter=~is_searching)(lambda _event: self._interrupt())
        add("<sigint>")(lambda _event: self._interrupt())
        add(Keys.BracketedPaste)(lambda event: event.current_buffer.insert_text(pasted(event.data)))
        add("c-d", filter=is_empty & ~is_searching)(lambda _event: self._leave())
        add(PREFIX, filter=came_back & ~is_searching)(lambda _event: self._begin_command())
        add("tab", filter=~is_searching)(complete)
        add("escape", filter=offers & ~is_searching)(lambda _event: self.buffer.cancel_completion())
        add("s-tab", filter=~is_searching)(lambda _event: self.buffer.complete_previous())
        if hasattr(signal, "SIGTSTP"):
            add("c-z")(lambda event: event.app.suspend_to_background())
        return bindings

    def _enter(self) -> None:
        """Hand over what is typed, having asked about a long paste; not where it was not typed."""
        if self.follow_room():
            return
        text = self.buffer.text
        lines = text.count("\n") + 1
        if lines > MAX_UNASKED_LINES and not self._is_asked_about:
            self._is_asked_about = True
            question = _("Send these {} lines as one message? Enter sends, Ctrl-C discards.")
            self.hint = question.format(lines)
            return
        self._clear()
        self._forget_hint()
        self._untouched = _Entered(text, self._drafts.room)
        if not self._controller.handle_line(text):
            self._leave()
        self.follow_room()

    def put_back(self, line: str) -> None:
        """Have a refused line edited again, unless something is typed before that can be seen."""
        loop, untouched = asyncio.get_running_loop(), self._untouched
        if untouched is not None and untouched.line == line:
            loop.call_later(PUT_BACK_SECONDS, self._put_back, untouched)

    def _put_back(self, untouched: _Entered) -> None:
        self.follow_room()
        if untouched is not self._untouched:
            return
        if name_key(untouched.room) == name_key(self._drafts.room):
            self.buffer.document = Document(untouched.line)
            self._came_back = untouched.line
        else:
            self._drafts.put(untouched.room, untouched.line)
            self.tell_waiting([untouched.room])

    def _begin_command(self) -> None:
        """Begin another command, instead of what came back and is left as it is."""
        self.buffer.document = Document(PREFIX)

    def _clear(self) -> None:
        """Empty the line; what it was comes back with the arrow up."""
        self._lines.add(self.buffer.text)
        self.buffer.reset(append_to_history=True)
        self._drafts.edit("")

    def _interrupt(self) -> None:
        """Clear the line; on an empty one say how to leave, and the second time leave."""
        self._untouched = None
        if self.buffer.text:
            self._clear()
            self._note_change()
        elif self._was_interrupted:
            self._leave()
        else:
            self._was_interrupted = True
            self.hint = _("Press Ctrl-C again to leave; Ctrl-D and /quit leave too.")


class EditorLayout:
    """What stands where below the conversation. Everything here runs in the loop."""

    def __init__(self, draft: Draft, controller: TerminalController, queue: OutputQueue) -> None:
        self._draft = draft
        self._controller = controller
        self._queue = queue

    @property
    def _columns(self) -> int:
        return columns_of(self._queue.output)

    def layout(self) -> Layout:
        """Return the layout: what waits, the line being typed, search, what Tab offers, status."""

        def earlier() -> str:
            return _("Earlier line with: ")

        search = SearchToolbar(
            ignore_case=True, forward_search_prompt=earlier, backward_search_prompt=earlier
        )
        draft = self._draft_window(search)
        waiting, status = rows_of(self._waiting_rows), rows_of(self._status_rows)
        rows = HSplit([waiting, draft, search, rows_of(self._menu_rows), status])
        return Layout(rows, focused_element=draft)

    def _draft_window(self, search: SearchToolbar) -> Window:
        control = BufferControl(
            self._draft.buffer,
            input_processors=[
                BeforeInput(self._prompt, style="class:prompt"),
                HighlightIncrementalSearchProcessor(),
                Visible(),
            ],
            search_buffer_control=search.control,
            preview_search=True,
        )
        height = Dimension(min=1, max=MAX_DRAFT_ROWS)
        return Window(control, height=height, wrap_lines=True, dont_extend_height=True)

    def _prompt(self) -> StyleAndTextTuples:
        if self._columns < NARROW_COLUMNS:
            return [("class:prompt", "> ")]
        name = render.shown_name(self._controller.name)
        return [("", "["), (render.name_style(name), render.isolated(name)), ("", "]: ")]

    def _waiting_rows(self) -> StyleAndTextTuples:
        """Return what is on its way, dim, the newest last."""
        waiting = self._controller.waiting()
        rows = [apart(render.one_line(line)) for line in waiting[:MAX_WAITING_ROWS]]
        left = len(waiting) - len(rows)
        if left:
            more = _n("and {} more", "and {} more", left).format(left)
            rows[-1] = f"{rows[-1]} ({more})"
        sign = "\N{HORIZONTAL ELLIPSIS} "
        text = "\n".join(cut(sign + row, self._columns - 1) for row in rows)
        return [("class:waiting", text)]

    def _menu_rows(self) -> StyleAndTextTuples:
        rows = menu_rows(self._draft.buffer.complete_state, self._columns)
        return [(fragment[0], apart(fragment[1])) for fragment in rows]

    def _status_rows(self) -> StyleAndTextTuples:
        """Return the hint, or as much of the status as fits, the most important first."""
        if self._draft.hint:
            rows = textwrap.wrap(self._draft.hint, max(self._columns - 3, MIN_COLUMNS))
            return [("class:status", "\n".join(f" {row} " for row in rows))]
        parts = self._controller.status()
        while len(parts) > 1 and text_width(SEPARATOR.join(parts)) + 3 > self._columns:
            parts.pop()
        text = f" {SEPARATOR.join(parts)} "
        return [("class:status", cut(text, self._columns - 1))]


def make_app(draft: Draft, controller: TerminalController, queue: OutputQueue) -> EditorApplication:
    """Return prompt_toolkit's application, which draws below what was printed last."""
    app = EditorApplication(
        EditorLayout(draft, controller, queue).layout(),
        style=STYLES,
        key_bindings=draft.bindings(),
        input=make_input(),
        output=queue.output,
        erase_when_done=True,
    )
    app.before_render += lambda _app: release(queue.output)
    app.after_render += lambda _app: queue.tell_shown()
    app.ttimeoutlen = 0.1

    def choose_timeout(_keys: KeyProcessor) -> None:
        app.timeoutlen = MENU_ESCAPE_SECONDS if draft.offers else ESCAPE_SECONDS

    app.key_processor.before_key_press += choose_timeout
    return app


def make_input() -> Input:
    """Return where keys come from; a byte that is not UTF-8 is U+FFFD, which can be sent."""
    keys = create_input()
    if sys.platform != "win32" and isinstance(keys, Vt100Input):
        keys.stdin_reader = PosixStdinReader(keys.fileno(), errors="replace")
    return keys


def pasted(text: str) -> str:
    """Return pasted text without its last line feeds: a copied line has one, and is one line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")


class Visible(Processor):
    """Shows what was pasted without anything that would deceive whoever sends it."""

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Replace each such character by one sign, so that the cursor stays where it is."""
        return Transformation(
            [
                (fragment[0], apart("".join(map(_visible, fragment[1]))))
                for fragment in transformation_input.fragments
            ]
        )


def _visible(character: str) -> str:
    # Between two letters that a joiner may join.
    shown = character if character.isascii() else render.clean(f"é{character}é")[1:-1]
    return shown if len(shown) == 1 else character


def apart(text: str) -> str:
    """Return `text` with each part of an emoji for itself, in as many characters.

    Terminals do not agree on the width of the whole: where one drew it in another one than
    prompt_toolkit reckons with, the cursor would be at the wrong place. Of a flag the letters that
    it is made of are shown.
    """
    if text.isascii():
        return text
    return EMOJI_JOINT.sub("\N{ZERO WIDTH SPACE}", text).translate(FLAG_LETTERS)


def rows_of(text: Callable[[], StyleAndTextTuples]) -> Window:
    """Return a part of the layout that is as high as its text, and not there without one."""
    control = FormattedTextControl(text)

    def height() -> Dimension:
        content = "".join(fragment[1] for fragment in text())
        return Dimension.exact(content.count("\n") + 1 if content else 0)

    return Window(control, height=height, dont_extend_height=True)
