"""What a person is asked: yes or no, and nobody else is."""

from __future__ import annotations

import pytest

from chat.client.questions import confirming


class Asked:
    """A terminal where somebody answers by a list, whose end is the end of input."""

    def __init__(self, *answers: str, is_interactive: bool = True) -> None:
        self.is_interactive = is_interactive
        self.questions: list[str] = []
        self.errors: list[str] = []
        self._answers = list(answers)

    def ask(self, question: str) -> str:
        self.questions.append(question)
        if not self._answers:
            raise EOFError
        return self._answers.pop(0)

    def show_error(self, sentence: str) -> None:
        self.errors.append(sentence)


@pytest.mark.parametrize(
    ("answers", "expected", "times"),
    [
        (["yes"], True, 1),
        ([" SIM "], True, 1),
        (["no"], False, 1),
        (["NÃO"], False, 1),
        (["y", "", "s", "yes"], True, 4),
        (["maybe"], False, 2),
    ],
)
def test_answer_is_a_whole_word(answers: list[str], expected: bool, times: int) -> None:
    """In both languages; anything else is asked again, and the end of input is no."""
    terminal = Asked(*answers)
    confirm = confirming(terminal)  # type: ignore[arg-type]
    assert confirm is not None and confirm("Is it?") is expected
    assert len(terminal.questions) == times and terminal.questions[0] == "Is it?"


def test_program_is_not_asked() -> None:
    """Nor whoever only listens."""
    assert confirming(Asked(is_interactive=False)) is None  # type: ignore[arg-type]
