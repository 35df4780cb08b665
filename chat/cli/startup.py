"""How both programs begin: while they import what they need, nothing ends them in a traceback.

Imports nothing but the standard library, as do its neighbours here.
"""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from chat.cli import streams
from chat.cli.dependencies import explain_import_error


@contextmanager
def importing() -> Iterator[None]:
    """Prepare the standard streams; what cannot be imported in the block ends the program.

    By a sentence that says what to install. Ctrl-C ends it as it ends any program that does not
    handle it (a shell sees 130).
    """
    streams.prepare()
    try:
        with _quiet_interrupts():
            yield
    except Exception as error:
        sys.exit(explain_import_error(error))


@contextmanager
def _quiet_interrupts() -> Iterator[None]:
    """Let the system handle Ctrl-C, where Python would raise it as an exception in any line."""
    is_main = threading.current_thread() is threading.main_thread()
    if not is_main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
