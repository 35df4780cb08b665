"""How both programs begin: while they import what they need, nothing ends them in a traceback.

They import this first, and all the rest in its block. It imports next to nothing itself, since
Ctrl-C before the block finds Python itself at work, and that prints where it was.
"""

from __future__ import annotations

import signal
import sys

TYPE_CHECKING = False  # typing's own would be an import
if TYPE_CHECKING:
    from types import TracebackType


class Importing:
    """The block of imports: the standard streams are prepared, and what fails is a sentence.

    What cannot be imported ends the program by one that says what to install. Ctrl-C ends it as it
    ends any program that does not handle it (a shell sees 130).
    """

    def __enter__(self) -> None:
        self._is_handled_by_python = _let_system_handle_interrupts()
        from chat.cli import streams

        streams.prepare()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            if isinstance(error, Exception):
                from chat.cli.dependencies import explain_import_error

                sys.exit(explain_import_error(error))
        finally:
            if self._is_handled_by_python:
                signal.signal(signal.SIGINT, signal.default_int_handler)


def _let_system_handle_interrupts() -> bool:
    """Let it end the program, where Python would raise an exception in any line; say whether so.

    Not where Ctrl-C is ignored or somebody else's, nor outside of the main thread.
    """
    if signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        return False
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # it is not the main thread
        return False
    return True
