"""Commands in a pipe: where they are warned of."""

from __future__ import annotations

import pytest

from chat.cli import i18n
from chat.client.piped_lines import PipedLines


@pytest.mark.parametrize("lang", ["en", "pt_BR"])
def test_first_command_in_a_pipe_is_warned_of(lang: str) -> None:
    """Once, by the word that was typed; a path, an unknown word or `//` is none."""
    i18n.use(lang)
    warnings: list[str] = []
    lines = PipedLines(warnings.append)
    for line in ("oi", "/etc/passwd", "/", "//msg bia oi", " /msg bia oi"):
        lines.note(line)
    assert not warnings
    for line in ("/msg bia secret", "/sala x"):
        lines.note(line)
    [warning] = warnings
    assert warning.startswith("* /msg ") and "--json" in warning and "secret" not in warning
