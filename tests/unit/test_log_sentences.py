"""What is wrong with the log, in a sentence for each problem."""

from __future__ import annotations

import pytest

from chat.server.log.base import LogError, Problem
from chat.server.log_sentences import explain_log_error


@pytest.mark.parametrize("problem", Problem)
def test_every_problem_has_a_sentence(problem: Problem) -> None:
    """With its path, where that says anything."""
    said = explain_log_error(LogError(problem, "path", "detail"))
    assert said.endswith(".") and "{" not in said
    assert "path" in said or problem in (Problem.NO_NAME, Problem.STOPPED)
