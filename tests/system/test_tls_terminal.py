"""TLS as a person meets it, in a real terminal: asked once, never again, warned of a change."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

if sys.platform == "win32":
    pytest.skip("Windows has no pseudo-terminals", allow_module_level=True)

import pty

from person import CTRL_C, CTRL_D, TAKE_THE_TERMINAL, Person, person
from support import DEADLINE_SECONDS, ROOT, clean_environment, eventually, running_server

ASKED = "Is it the same (yes/no)?"


def alone_on_rows(rows: list[str], screen: str) -> bool:
    """Say whether a terminal shows these rows one after the other, with nothing else on them."""
    shown = [row.rstrip() for row in screen.splitlines()]
    return any(shown[at : at + len(rows)] == rows for at in range(len(shown)))


def test_first_use_asks_then_never_again_until_the_certificate_changes(tmp_path: Path) -> None:
    """The fingerprint on the screen is the one that the server has printed."""
    log, env = tmp_path / "chat.db", {"XDG_STATE_HOME": str(tmp_path / "home")}
    with running_server("--tls", db=log) as server:
        printed = server.fingerprint_rows()
        port, address = server.port, server.address
        with person(address, "ana", "--tls", env=env) as ana:
            ana.wait_for(ASKED)
            assert alone_on_rows(printed, ana.screen)
            ana.type("y\r")  # a slip is no consent
            ana.wait_for("Type the whole word, yes or no:")
            ana.type("yes\r")
            ana.wait_for("ana")
            ana.type("oi\r")
            ana.wait_for("[ana]: oi")
            ana.type("/quit\r")
            assert ana.wait() == 0
        with person(address, "ana", "--tls", columns=120, env=env) as ana:
            ana.wait_for("[ana]: oi")
            assert ASKED not in ana.screen
            ana.type("/quit\r")
            assert ana.wait() == 0
        for arguments in ([address, "--name", "ana"], [address]):  # in the clear
            with closing(Person(["client.py", *arguments], 120, 24, env)) as ana:
                assert ana.wait() == 1
                ana.wait_for("speaks TLS only.")
                assert ana.screen.count("Add --tls.") == 1 and "name:" not in ana.screen
        server.stop()
    for name in ("chat-cert.pem", "chat-key.pem"):
        (tmp_path / name).unlink()
    with running_server("--tls", db=log, port=port) as server:
        printed = server.fingerprint_rows()
        with person(address, "ana", "--tls", env=env) as ana:
            assert ana.wait() == 1
            ana.wait_for("is not the one that was trusted before")
            assert alone_on_rows(printed, ana.screen) and "--forget-certificate" in ana.screen
            assert ASKED not in ana.screen
        with person(address, "ana", "--forget-certificate", env=env) as ana:
            sentence = f"The certificate of {address} is forgotten."
            ana.wait_for(sentence)
            assert ana.wait() == 0 and alone_on_rows([sentence], ana.screen)


def test_no_is_no(tmp_path: Path) -> None:
    """So is the end of input. Nothing is sent, and the next time it is asked again."""
    env = {"XDG_STATE_HOME": str(tmp_path / "home"), "CHAT_LANG": "pt_BR"}
    with running_server("--tls", db=tmp_path / "chat.db") as server:
        for answer in ("no\r", CTRL_D):
            with person(server.address, "ana", "--tls", columns=120, env=env) as ana:
                ana.wait_for("É a mesma (sim/não)?")
                ana.type(answer)
                ana.wait_for("O certificado não foi aceito. Nada foi enviado.")
                assert ana.wait() == 1
        assert not any("ana" in line for line in server.lines)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_interrupt_at_a_question_leaves_the_cursor_below_it(tmp_path: Path, term: str) -> None:
    """So that the shell's next line has a row of its own, with the line editor and without."""
    env = {"XDG_STATE_HOME": str(tmp_path / "home"), "TERM": term}
    with (
        running_server("--tls", db=tmp_path / "chat.db") as server,
        person(server.address, "ana", "--tls", env=env) as ana,
    ):
        ana.wait_for(ASKED)
        ana.type(CTRL_C)
        assert ana.wait() == 130
        eventually(lambda: ana.cursor[0] == 0, what=lambda: ana.screen)


def test_server_ends_with_its_terminal(tmp_path: Path) -> None:
    """In order, though SIGHUP has it read its files again as long as the terminal is there."""
    flags = ["--host", "localhost", "--port", "0", "--db", str(tmp_path / "chat.db"), "--tls"]
    command = [sys.executable, "-IS", "-c", TAKE_THE_TERMINAL, sys.executable, "server.py", *flags]
    terminal, child_end = pty.openpty()
    server = subprocess.Popen(
        command,
        cwd=ROOT,
        env=clean_environment(),
        stdin=child_end,
        stdout=child_end,
        stderr=child_end,
        start_new_session=True,
    )
    try:
        os.close(child_end)
        said = b""
        while b"SHA-256" not in said:
            said += os.read(terminal, 4096)
        os.close(terminal)
        assert server.wait(DEADLINE_SECONDS) == 0
    finally:
        server.kill()
        server.wait()
