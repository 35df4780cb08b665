"""The ledger of rooms and inboxes: what was acknowledged, what the log holds and who heard what.

Ten people in five rooms enter, leave, take other names and write privately, while the server is
killed and their own programs, and the server, are stopped and continued. The suite kills the server
twenty times; `make soak` sets CHAT_SOAK.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import string
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from support import (
    Program,
    RunningServer,
    eventually,
    running_program,
    running_server,
    stable_port,
)

from chat.server.directory import identity_of

KILLS = int(os.environ.get("CHAT_SOAK", "20"))
LIFETIME_SECONDS = (0.2, 0.6)
STOPPED_SECONDS = 0.2
REPORT_SECONDS = 150.0
NAMES = [f"{letter}." for letter in "abcdefghij"]

PAUSE_SECONDS = "0.02"  # between two things that one does, at most

Report = dict[str, Any]
# Of the log: id, room or inbox, whom it was for, text, key.
Row = tuple[int, str, str, str, str]


@pytest.mark.skipif(sys.platform == "win32", reason="programs are stopped by signals of POSIX")
def test_every_message_is_heard_once_in_order_where_it_was_said_by_all_who_were_there(
    tmp_path: Path,
) -> None:
    """And by nobody else; private ones too."""
    db, port = tmp_path / "chat.db", stable_port()
    with ExitStack() as stack:
        groups = [
            stack.enter_context(
                running_program(
                    "tests/system/people.py", f"localhost:{port}", "5", PAUSE_SECONDS, *names
                )
            )
            for names in (NAMES[:5], NAMES[5:])
        ]
        chance = random.Random()
        for _kill in range(KILLS):
            with running_server("--rate", "0", "--quiet", db=db, port=port) as server:
                disturb(server, [group.process.pid for group in groups], chance)
                server.process.kill()
        with running_server("--rate", "0", "--quiet", db=db, port=port):
            tell(groups, "enough", 2)  # the first line is that they are in
            tell(groups, "report", 3)
        reports: list[Report] = [one for group in groups for one in json.loads(group.lines[2])]
        for group in groups:
            assert group.stderr == ""
    print(f"{KILLS} kills, {check(reports, db)}")


def tell(groups: Sequence[Program], word: str, lines: int) -> None:
    """Tell all programs something; return when each has written so many lines in all."""
    for group in groups:
        group.type(word)
    eventually(lambda: all(len(group.lines) == lines for group in groups), REPORT_SECONDS)


def disturb(server: RunningServer, people: list[int], chance: random.Random) -> None:
    """Let the server live for a while, and stop it, or those who talk, for a moment."""
    pause = threading.Event()
    pause.wait(chance.uniform(*LIFETIME_SECONDS))
    stopped = chance.choice([*people, server.process.pid])
    os.kill(stopped, signal.SIGSTOP)
    pause.wait(STOPPED_SECONDS)
    os.kill(stopped, signal.SIGCONT)
    pause.wait(chance.uniform(*LIFETIME_SECONDS))


def check(reports: list[Report], db: Path) -> str:
    """Hold the log against what each one was told and heard; return what there was, in words."""
    with closing(sqlite3.connect(db)) as connection:
        query = "SELECT id, room, addressee, message, key FROM message ORDER BY id"
        rows: list[Row] = connection.execute(query).fetchall()
    stored = Counter(key for _id, _room, _to, _text, key in rows)
    places = {key: (room, to) for _id, room, to, _text, key in rows}
    inboxes = {report["name"]: identity_of(report["id"]) for report in reports}
    assert {r["name"]: r["error"] for r in reports if r["error"]} == {}
    assert max(stored.values()) == 1
    total = 0
    for report in reports:
        assert report["pending"] == [], report["name"]
        for key in set(report["acknowledged"]):
            meant, _text = report["sent"][key]
            room, to = places[key]
            assert (f"@{to}" if to else room) == meant, (report["name"], key, room, to)
            assert not to or room == inboxes[to.rstrip(string.digits)], (key, room, to)
            total += 1
        answered = {*report["acknowledged"], *(key for key, _reason in report["refused"])}
        assert set(report["sent"]) <= answered
        refused = [one for one in report["refused"] if one[0] in stored and one[1] != "NOT_READ"]
        assert refused == [], "told that it is not stored, which it is"
        check_heard(report, rows)
    check_order(reports, rows)
    return f"{total} acknowledged, {len(rows)} stored: each heard once, in order, in its place"


def check_order(reports: list[Report], rows: list[Row]) -> None:
    """What one has said in a place stands there in the order in which it was said."""
    said = {key: number for report in reports for number, key in enumerate(report["sent"])}
    last: dict[tuple[str, str], int] = {}
    for _id, room, _to, _text, key in rows:
        place = (room, key.partition("|")[0])
        assert said[key] > last.get(place, -1), (key, room)
        last[place] = said[key]


def check_heard(report: Report, rows: list[Row]) -> None:
    """Every room from where it was first heard, and the whole inbox: once, in order, all of it."""
    identity = identity_of(report["id"])
    for place, start in [*report["starts"].items(), ("inbox", 0)]:
        key = identity if place == "inbox" else place
        expected = [[i, text] for i, room, _to, text, _key in rows if room == key and i > start]
        assert report["heard"].get(place, []) == expected, (report["name"], place)
    assert set(report["heard"]) <= {*report["starts"], "inbox"}
