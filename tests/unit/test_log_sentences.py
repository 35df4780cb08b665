"""What is wrong with the log, in a sentence for each problem."""

from __future__ import annotations

import pytest

from chat.server.log.base import LogError, Problem
from chat.server.log_sentences import explain_log_error


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_has_a_sentence(problem: Problem) -> None:
    """With its path, where that says anything."""
    said = explain_log_error(LogError(problem, "path", "detail"))
    assert said.endswith(".") and "{" not in said and "--backup" not in said
    assert "path" in said or problem in (Problem.NO_NAME, Problem.STOPPED)


@pytest.mark.parametrize(
    "problem",
    [
        Problem.NO_NAME,
        Problem.NO_FILE,
        Problem.URI,
        Problem.TOO_LONG,
        Problem.NO_FOLDER,
        Problem.READ_ONLY,
        Problem.RESERVED,
    ],
)
def test_what_is_wrong_with_the_path_of_a_copy_speaks_of_its_flag(problem: Problem) -> None:
    """It is not --db that has to be another one."""
    said = explain_log_error(LogError(problem, "path").of_copy().without_frames())
    assert "--backup" in said and "--db" not in said
