"""Rows of a terminal: none of a message begins like somebody else's line, or like the server's."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator

import pytest
from support import eventually, full_client

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

from person import Person, person

SERVER = ["server.py", "--port", "0", "--db", ":memory:", "--host", "127.0.0.1", "--rate", "0"]
PORT = re.compile(r"(\d+)\.\.\.")
# What a stranger would like to be seen at the start of a row, after the time or without.
FORGED = re.compile(r"(\d\d:\d\d )?(\[ana\]|\* |#aula).*forged")
SAID = re.compile(r"(\d\d:\d\d )?\[mal\]:")
FORGERIES = ("[ana]: forged", "* server: forged", "* [ana] forged", "#aula [ana]: forged")
# What may stand before it: one or two columns wide, none, or more than one can say.
FILLERS = (" ", "x", "xx ", "\u6f22", "\t", "e\u0301", "\u2764\ufe0f", "\U0001f469\u200d\U0001f4bb")
COLUMNS = (40, 80, 200)


def forgeries(columns: int) -> Iterator[str]:
    """Yield texts that a terminal of so many columns would break just before a forgery."""
    for number, filler in enumerate(FILLERS):
        forgery = FORGERIES[number % len(FORGERIES)]
        # The lead has 7 columns, and 6 more where the time is shown.
        for count in range(columns - 15, columns - 6, 1 if filler in " x" else 4):
            yield "a" + filler * count + forgery
            if filler not in " x":
                yield "a" + filler * (count // 2) + forgery
        # A word that the terminal breaks itself, so that what follows would be at a row's start.
        yield "x" * (2 * columns - 7 - number) + " " + forgery
    yield from (f"a{end}{FORGERIES[0]}" for end in "\n\r\v\f\x85\u2028\u2029")


def test_no_row_is_forged() -> None:
    """On the server's screen, in the line editor and in the plain terminal, in any width."""
    server = Person([*SERVER, "--lang", "en"], COLUMNS[0], 24, None)
    try:
        (port,) = eventually(lambda: PORT.findall(server.screen))
        address = f"127.0.0.1:{port}"
        flags, columns = ("--lang", "en"), COLUMNS[0]
        with (
            person(address, "bia", *flags, columns=columns) as bia,
            person(address, "caio", *flags, columns=columns, env={"TERM": "dumb"}) as caio,
            full_client(address, "mal") as mal,
        ):
            said = 0
            for columns in COLUMNS:
                mal.say(first := f"in {columns} columns")
                for someone in (server, bia, caio):
                    someone.wait_for(first)
                    someone.resize(columns, 24)
                texts = [*forgeries(columns), last := f"no more of {columns}"]
                said += 1 + len(texts)
                for text in texts:
                    mal.say(text)
                for someone in (server, bia, caio):
                    someone.wait_for(last)
                    rows = someone.scrollback
                    assert not [row for row in rows if FORGED.match(row)]
                    assert sum(bool(SAID.match(row)) for row in rows) == said
    finally:
        server.close()
