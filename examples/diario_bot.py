"""A bot that writes down what is said: `python -m examples.diario_bot FILE HOST:PORT [ROOM...]`."""

import json
import sqlite3
import sys
from contextlib import suppress

from chat.client import Place, Session


def main(diary: sqlite3.Connection, address: str, *rooms: str) -> None:
    """Write each message down once, whichever side is killed, and started again, in between."""
    diary.execute("CREATE TABLE IF NOT EXISTS said (room, id, user, text)")
    diary.execute("CREATE TABLE IF NOT EXISTS seen (one PRIMARY KEY, session, place)")
    _one, session, seen = diary.execute("SELECT * FROM seen").fetchone() or (1, "", "{}")
    place = Place(**json.loads(seen))
    chat = Session(address, "diario", rooms=rooms or ("",), session_id=session, place=place)
    chat.on_pause = diary.commit  # what came together, and how far that goes: both or neither
    for message in chat:
        if message.id:
            said = (message.room, message.id, message.user, message.message)
            diary.execute("INSERT INTO said VALUES (?, ?, ?, ?)", said)
        kept = (chat.id, json.dumps(vars(chat.place)))
        diary.execute("REPLACE INTO seen VALUES (1, ?, ?)", kept)


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        main(sqlite3.connect(sys.argv[1]), *sys.argv[2:])
