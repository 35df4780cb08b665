"""What a process that ends in the middle leaves of the log: its messages, and no lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from support import ROOT

from chat.server.log.sqlite import SqliteLog

EXIT_CODE = 9
SAYS_MUCH = """
import asyncio, os, sys
from chat.server.log.sqlite import SqliteLog
from chat.server.log.base import Entry
import chat_pb2

def deliver(entries):
    os.write(1, entries[-1].message.message.encode())
    os._exit(9)

async def main():
    log = SqliteLog(sys.argv[1])
    log.start(deliver)
    for number in range(100):
        log.append(Entry("", "ana", chat_pb2.Message(user="ana", message=str(number))))
    await log.flush()

asyncio.run(main())
"""
OPENS_IT = """
import os, sys
from chat.server.log.sqlite import SqliteLog
SqliteLog(sys.argv[1])
os._exit(9)
"""


def run(program: str, db: Path) -> str:
    """Run a program that ends without closing the log; what it wrote."""
    command = [sys.executable, "-c", program, str(db)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == EXIT_CODE, done.stderr
    return done.stdout


async def texts_in(db: Path) -> list[str]:
    """Open the log and read all that it has."""
    log = SqliteLog(str(db))
    log.start(lambda entries: None)
    try:
        return [message.message for message in await log.read("", 0, 1000)]
    finally:
        await log.close()


async def test_killed_process_loses_nothing_that_was_delivered(tmp_path: Path) -> None:
    """A process that ends right after the delivery, without closing, has left it in the file."""
    delivered = run(SAYS_MUCH, tmp_path / "chat.db")
    texts = await texts_in(tmp_path / "chat.db")
    assert delivered in texts
    assert texts == [str(number) for number in range(len(texts))]


async def test_lock_goes_with_its_process(tmp_path: Path) -> None:
    """A server that was killed leaves nothing that keeps the next one away."""
    run(OPENS_IT, tmp_path / "chat.db")
    assert await texts_in(tmp_path / "chat.db") == []
