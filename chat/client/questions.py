"""What a person is asked before the conversation begins, beside the name. In the main thread."""

from __future__ import annotations

from collections.abc import Callable

from chat.cli.i18n import _
from chat.client.ui.base import Terminal

# The whole word, as SSH asks for it: a slip of the finger must not be trust.
YES, NO = ("yes", "sim"), ("no", "n", "não", "nao")


def confirming(terminal: Terminal) -> Callable[[str], bool] | None:
    """Return what asks a question of yes or no; None where nobody is there to be asked."""
    if not terminal.is_interactive:
        return None

    def confirm(question: str) -> bool:
        """Ask until the answer is one; the end of input is no."""
        try:
            while (answer := terminal.ask(question).strip().lower()) not in YES + NO:
                question = _("Type the whole word, yes or no: ")
        except EOFError:
            terminal.show_error("")  # below the question
            return False
        return answer in YES

    return confirm
