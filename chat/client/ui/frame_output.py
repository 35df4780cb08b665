"""Where the editor draws: the terminal, several parts as one write where that can be.

Everything here runs in the main thread.
"""

from __future__ import annotations

import sys

from prompt_toolkit.output import ColorDepth, Output, create_output

if sys.platform == "win32":
    from prompt_toolkit.output.win32 import NoConsoleScreenBufferError
else:
    from prompt_toolkit.output.vt100 import Vt100_Output
    from prompt_toolkit.utils import get_term_environment_variable


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

        def erase_down(self) -> None:
            """Erase from the cursor, which is at the beginning of a row, to the end.

            tmux keeps what it erases from the top left corner, in its scrollback
            (`scroll-on-clear`): there the first column is erased by itself.
            """
            self.erase_end_of_line()
            self.cursor_forward(1)
            super().erase_down()
            self.cursor_backward(1)

        def scroll_away(self) -> None:
            """Scroll all that is on the screen into the scrollback; go to the top left corner.

            What a terminal erases it forgets, or not, as it likes (`CSI 2 J`).
            """
            rows = self.get_size().rows
            self.cursor_goto(rows, 1)
            self.write_raw("\n" * rows)
            self.cursor_goto(1, 1)
            self.flush()

        def flush(self) -> None:
            """Write what was drawn, unless more belongs to it."""
            if not self.is_held:
                super().flush()


def columns_of(output: Output) -> int:
    """Return the present width of the terminal."""
    return output.get_size().columns


def rows_of(output: Output) -> int:
    """Return the present height of the terminal."""
    return output.get_size().rows


def hold(output: Output) -> None:
    """Write nothing until `release`, where the output knows how to wait."""
    if hasattr(output, "is_held"):
        output.is_held = True


def release(output: Output) -> None:
    """Let the next flush write everything."""
    if hasattr(output, "is_held"):
        output.is_held = False
