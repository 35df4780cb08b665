"""Settings of the running programs: by the environment alone, and wrong ones."""

from __future__ import annotations

from support import running_program, running_server


def test_variables_reach_the_running_programs() -> None:
    """A server that is set up by its environment alone, and a client likewise."""
    environment = {"CHAT_HOST": "localhost", "CHAT_QUIET": "1", "CHAT_RATE": "0"}
    with running_server(env=environment) as running:
        answer = {"CHAT_SERVER": running.address, "CHAT_NAME": "ana"}
        with running_program("client.py", env=answer) as ana:
            ana.type("oi")
            ana.wait_for_line("[ana]: oi")
            ana.end_input()
            assert ana.wait() == 0
        assert len(running.lines) == 1


def test_wrong_command_line_ends_the_program_with_two() -> None:
    """Nothing is started, nothing is written."""
    with running_program("server.py", "--port", "x") as program:
        assert program.wait() == 2
        assert len(program.errors) == 1 and program.lines == []
